from __future__ import annotations

from pathlib import Path

import pytest

from syncer.account import Credential, Discovery
from syncer.app import require_credentials
from syncer.config import Settings, load
from syncer.errors import ConfigurationError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, **environ: str) -> Settings:
    Path("config.toml").write_text(text)
    return load(environ=environ)


def credentials(text: str, **environ: str) -> list[Credential]:
    return [account.credential for account in loaded(text, **environ).read_accounts()]


def findings(settings: Settings) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        require_credentials(settings.read_accounts())
    return caught.value.findings


def test_each_form_of_a_token() -> None:
    Path("token").write_text("from-file\r\n")
    found = credentials(
        """
        [[accounts]]
        id = "a"
        api_token = "inline"
        [[accounts]]
        id = "b"
        api_token_env = "TOKEN"
        [[accounts]]
        id = "c"
        api_token_file = "token"
        """,
        TOKEN="from-variable\n",
    )
    assert found == [
        Credential(token="inline"),
        Credential(token="from-variable"),
        Credential(token="from-file"),
    ]


def test_each_form_of_a_key() -> None:
    Path("key").write_text("from-file")
    found = credentials(
        """
        [cloudflare]
        api_email = "default@example.com"
        api_key = "default"
        [[accounts]]
        id = "a"
        [[accounts]]
        id = "b"
        api_email = "b@example.com"
        api_key_env = "KEY"
        [[accounts]]
        id = "c"
        api_email = "c@example.com"
        api_key_file = "key"
        """,
        KEY="from-variable",
    )
    assert found == [
        Credential(email="default@example.com", key="default"),
        Credential(email="b@example.com", key="from-variable"),
        Credential(email="c@example.com", key="from-file"),
    ]


def test_the_default_variable_is_only_needed_by_accounts_that_name_nothing() -> None:
    assert credentials('[[accounts]]\nid = "a"', CLOUDFLARE_API_TOKEN="t") == [
        Credential(token="t")
    ]
    assert credentials('[[accounts]]\nid = "a"\napi_token = "x"') == [Credential(token="x")]


def test_a_default_that_cannot_be_read_is_one_finding_however_many_need_it() -> None:
    settings = loaded('[[accounts]]\nid = "a"\n[[accounts]]\nid = "b"\n')
    assert findings(settings) == (
        "cloudflare.api_token_env: the variable CLOUDFLARE_API_TOKEN is not set",
    )


def test_all_that_cannot_be_read_is_found_at_once(tmp_path: Path) -> None:
    Path("empty").write_text("\n")
    Path("binary").write_bytes(b"\xff\xfe")
    Path("large").write_bytes(b"x" * 70_000)
    Path("spaced").write_text("Bearer token")
    names = ("missing", ".", "empty", "binary", "large", "spaced")
    text = "\n".join(
        f'[[accounts]]\nid = "a{index}"\napi_token_file = "{name}"'
        for index, name in enumerate(names)
    )
    text += '\n[[accounts]]\nid = "e"\napi_token_env = "EMPTY"\n'
    text += '[[accounts]]\nid = "f"\napi_token_env = "UMLAUT"\n'
    assert findings(loaded(text, EMPTY="", UMLAUT="tökén")) == (
        f"accounts[0].api_token_file: {tmp_path}/missing cannot be read: No such file or directory",
        f"accounts[1].api_token_file: {tmp_path} cannot be read: Is a directory",
        f"accounts[2].api_token_file: {tmp_path}/empty is empty",
        f"accounts[3].api_token_file: {tmp_path}/binary is not UTF-8 text",
        f"accounts[4].api_token_file: {tmp_path}/large is larger than any secret",
        (
            f"accounts[5].api_token_file: {tmp_path}/spaced holds a space, a line break or a "
            "character outside ASCII, which no token has"
        ),
        "accounts[6].api_token_env: the variable EMPTY is empty",
        (
            "accounts[7].api_token_env: the variable UMLAUT holds a space, a line break or a "
            "character outside ASCII, which no token has"
        ),
    )


def test_a_token_in_place_of_a_name_is_not_shown() -> None:
    token = "v4jRq0kQbPzX8mW2nT6yL1sD9fGhJ3aUcEoI5xZB"
    settings = loaded(
        f'[[accounts]]\nid = "a"\napi_token_env = "{token}"\n'
        f'[[accounts]]\nid = "b"\napi_token_file = "{token}"\n'
    )
    text = "\n".join(findings(settings))
    assert token not in text
    assert text.count("(not shown, it may be a secret)") == 2


def test_a_rotated_secret_is_seen_at_the_next_reading() -> None:
    Path("token").write_text("old")
    environ = {"TOKEN": "old"}
    Path("config.toml").write_text(
        '[[accounts]]\nid = "a"\napi_token_file = "token"\n'
        '[[accounts]]\nid = "b"\napi_token_env = "TOKEN"\n'
    )
    settings = load(environ=environ)
    assert [account.credential.token for account in settings.read_accounts()] == ["old", "old"]
    Path("token").write_text("new")
    environ["TOKEN"] = "new"
    assert [account.credential.token for account in settings.read_accounts()] == ["new", "new"]


DATABASE = '[[accounts]]\nid = "a"\n[database]\nurl = "postgresql://u@h/d"\n'


def test_the_password_of_the_database() -> None:
    Path("pw").write_text(" päss word \n")
    assert loaded(DATABASE).read_database_password() is None
    assert loaded(DATABASE + 'password = "p w"').read_database_password() == "p w"
    assert loaded(DATABASE + 'password_env = "P"', P="x").read_database_password() == "x"
    assert loaded(DATABASE + 'password_file = "pw"').read_database_password() == " päss word "


@pytest.mark.parametrize(
    ("content", "finding"), [("\n", "is empty"), ("a\0b", "holds a NUL character")]
)
def test_a_password_that_cannot_be_one(tmp_path: Path, content: str, finding: str) -> None:
    Path("pw").write_text(content)
    settings = loaded(DATABASE + 'password_file = "pw"')
    with pytest.raises(
        ConfigurationError, match=f"database.password_file: {tmp_path}/pw {finding}"
    ):
        settings.read_database_password()


def test_no_secret_is_in_any_representation() -> None:
    settings = loaded(
        """
        [cloudflare]
        api_token = "hunter2"
        [database]
        url = "postgresql://u:hunter2@h/d"
        [[accounts]]
        id = "a"
        api_email = "a@b"
        api_key = "hunter2"
        """,
        SYNCER_HUNTER="hunter2",
    )
    texts = (repr(settings), str(settings), repr(settings.read_accounts()), f"{settings.warnings}")
    assert not any("hunter2" in text for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        'api_token = ["hunter2"]',
        'api_token = { x = "hunter2" }',
        'api_token = "hunter2 hunter2"',
        'api_key = "hunter2\\u0000"',
        'api_token_env = "hunter2-x"',
        'hunter = "hunter2"',
    ],
)
def test_no_secret_is_in_any_finding(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(f'[[accounts]]\nid = "a"\n{text}\n')
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


TOKEN = "v4jRq0kQbPzX8mW2nT6yL1sD9fGhJ3aUcEoI5xZB"
KEY = "c2547eb745079dac9320b638f5e225cf483cc"


@pytest.mark.parametrize("secret", [TOKEN, KEY, "cfut_" + TOKEN, "postgresql:///d?password=" + KEY])
@pytest.mark.parametrize(
    "text",
    [
        'id = "{}"',
        'id = "a"\nname = ["{}"]',
        'id = "a"\n"{}" = 1',
        'id = "a"\n[cloudflare]\nbase_url = "{}"',
        'id = "a"\n[cloudflare]\nbase_url = "https://api.test/?token={}"',
        'id = "a"\n[cloudflare]\nper_page = "{}"',
        'id = "a"\n[log]\nlevel = "{}"',
        'id = "a"\n[schedule]\nevery = "{}"',
        'id = "a"\n[schedule]\ntimezone = "{}"',
        'id = "a"\n[health]\nlisten = "{}"',
        'id = "a"\n[database]\nschema = "{}/{}"',
        'id = "a"\n[[accounts]]\nid = "{}"\n[[accounts]]\nid = "{}"',
        'id = "a"\n[[accounts]]\nid = "b"\nname = "{}"\n[[accounts]]\nid = "c"\nname = "{}"',
    ],
)
def test_no_secret_in_a_wrong_place_is_shown(text: str, secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded("[[accounts]]\n" + text.replace("{}", secret))
    assert TOKEN not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'log = "{}"',
        'database = "{}"',
        'database = "host=h password=hunter2"',
        'database = "postgresql:///d?host=h&password=hunter2"',
        'accounts = "{}"',
        'accounts = ["{}"]',
        '"{}" = "{}"',
        'cloudflare = "hunter2@example.com"',
    ],
)
def test_no_secret_in_place_of_a_section_is_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(text.replace("{}", TOKEN))
    assert TOKEN not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_key_and_a_short_value_are_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded('[[accounts]]\nid = "a"\napi_tokens = "x"\n[log]\nlevel = "loud"\n')
    assert caught.value.findings == (
        'log.level = "loud": write "debug", "info", "warning", "error" or "critical"',
        'accounts[0].api_tokens: unknown key; did you mean "api_token"?',
    )


def discoveries(*blocks: str) -> tuple[Discovery, ...]:
    text = "".join(f"[[discover]]\n{block}\n" for block in blocks)
    return loaded(text, CLOUDFLARE_API_TOKEN="default").read_discoveries()


def test_a_discovery_is_the_same_in_another_place_and_with_a_rotated_token() -> None:
    token = Path("token")
    token.write_text("old")
    blocks = (
        "exclude = []",
        'api_token_file = "token"',
        'api_token = "first"',
        'api_token = "second"',
        'api_token = "second"\ninclude = ["prod-*"]',
    )
    before = discoveries(*blocks)
    token.write_text("new")
    after = discoveries(*reversed(blocks))
    assert [one.key for one in before] == [one.key for one in reversed(after)]
    assert len({one.key for one in before}) == len(blocks)
    assert after[3].credential.token == "new"
    assert before[0].exclude == ()
    assert "second" not in repr(before)


def test_only_a_secret_in_the_configuration_is_told_by_where_it_stands() -> None:
    key = 'api_email = "a@example.com"\napi_key'
    first, elsewhere, other, default = (
        discoveries('api_token = "one"', f'{key} = "two"', f'{key}_env = "KEY"', "exclude = []"),
        discoveries('api_token_env = "ONE"', f'{key}_file = "two"', "exclude = []"),
        discoveries('api_token = "uno"', f'{key} = "due"'.replace("a@", "b@")),
        loaded('[cloudflare]\napi_token = "x"\n[[discover]]\n[[discover]]\n').read_discoveries(),
    )
    assert [one.inline_at is None for one in first] == [False, False, True, True]
    assert [one.inline_at for one in elsewhere] == [None] * 3
    assert first[0].inline_at == other[0].inline_at
    assert first[1].inline_at != other[1].inline_at
    assert default[0].inline_at == default[1].inline_at != first[0].inline_at
    assert "example" not in repr(first)
