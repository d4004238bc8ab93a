import pytest

from syncer.account import Account, Credential


def test_a_credential_makes_its_headers() -> None:
    assert Credential(token="t").headers() == {"Authorization": "Bearer t"}
    assert Credential(email="a@b.test", key="k").headers() == {
        "X-Auth-Email": "a@b.test",
        "X-Auth-Key": "k",
    }


@pytest.mark.parametrize("credential", [Credential(), Credential(email="a@b.test")])
def test_half_a_credential_is_none(credential: Credential) -> None:
    with pytest.raises(ValueError, match="a credential is"):
        credential.headers()


def test_no_repr_shows_a_secret() -> None:
    account = Account("1", "a", Credential(token="secret", email="mail", key="secret"))
    assert repr(account) == "Account(id='1', name='a', credential=Credential(), problem=None)"
