import pytest

from syncer.account import Account, Credential, Discovery
from syncer.sync.roster import admitted, merge

NAMES = {"1": "prod-a", "2": "prod-b", "3": "Prod-c", "4": "test"}
FIRST = Discovery("discover[0]", Credential(token="first"), ("*",), ())
SECOND = Discovery("discover[1]", Credential(token="second"), ("*",), ())


@pytest.mark.parametrize(
    ("include", "exclude", "ids"),
    [
        (("*",), (), "1234"),
        (("prod-*",), (), "12"),
        (("prod-*",), ("*-b",), "1"),
        (("?rod-[bc]", "test"), (), "234"),
        (("prod",), (), ""),
        (("*",), ("*",), ""),
    ],
)
def test_patterns_fit_whole_names(
    include: tuple[str, ...], exclude: tuple[str, ...], ids: str
) -> None:
    assert list(admitted(NAMES, include, exclude)) == list(ids)


def test_what_is_configured_wins_and_then_the_first() -> None:
    configured = Account("1", "mine", Credential(token="own"))
    accounts = merge(
        [configured], [(FIRST, {"1": "one", "2": "two"}), (SECOND, {"2": "deux", "3": "three"})]
    )
    assert [(one.id, one.name, one.credential.token) for one in accounts] == [
        ("1", "mine", "own"),
        ("2", "two", "first"),
        ("3", "three", "second"),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"1": "same", "2": "same"}, ["1", "2"]),
        ({"1": "mine"}, ["1"]),
        ({"1": "2", "2": "two"}, ["1", "two"]),
        ({"1": "1"}, ["1"]),
        ({"1": "", "2": " \t", "3": "a\nb"}, ["1", "2", "a b"]),
        ({"1": "x" * 101}, ["x" * 100]),
    ],
)
def test_a_discovered_name_that_clashes_or_is_none_is_the_id(
    names: dict[str, str], expected: list[str]
) -> None:
    configured = Account("0", "mine", Credential())
    mine, *found = merge([configured], [(FIRST, names)])
    assert mine.name == "mine"
    assert [account.name for account in found] == expected
