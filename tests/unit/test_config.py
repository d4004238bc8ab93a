from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from syncer.config import Settings, load
from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACCOUNT = '[[accounts]]\nid = "a1"\n'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of each test, without a configuration."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, environ: Mapping[str, str] | None = None, *, path: Path) -> Settings:
    file = path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file, environ=environ or {})


def findings(text: str, environ: Mapping[str, str] | None = None, *, path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(text, environ, path=path)
    assert all("\n" not in finding for finding in caught.value.findings)
    return list(caught.value.findings)


def test_an_account_is_all_that_is_needed(tmp_path: Path) -> None:
    settings = loaded(ACCOUNT, path=tmp_path)
    assert settings.schedule.every == timedelta(minutes=15)
    assert settings.schedule.cron is None
    assert settings.cloudflare.api_token_env == "CLOUDFLARE_API_TOKEN"
    assert settings.database.url is None
    assert settings.database.schema_ == "public"
    assert settings.database.data_dir == tmp_path / ".syncer/postgres"
    assert settings.health.listen == ("127.0.0.1", 8080)
    assert [(account.id, account.name) for account in settings.accounts] == [("a1", "a1")]
    assert settings.warnings == ()


def test_without_a_file_the_environment_is_enough(tmp_path: Path) -> None:
    environ = {"CLOUDFLARE_ACCOUNT_ID": "a1", "CLOUDFLARE_API_TOKEN": "token"}
    settings = load(environ=environ)
    assert [account.id for account in settings.read_accounts()] == ["a1"]
    assert settings.database.data_dir == tmp_path / ".syncer/postgres"


def test_accounts_that_are_given_win_over_the_variable_of_one(tmp_path: Path) -> None:
    environ = {"CLOUDFLARE_ACCOUNT_ID": "a1", "SYNCER_ACCOUNTS__0__ID": "a2"}
    assert [account.id for account in load(environ=environ).accounts] == ["a2"]
    settings = loaded(ACCOUNT, {"CLOUDFLARE_ACCOUNT_ID": "a3"}, path=tmp_path)
    assert [account.id for account in settings.accounts] == ["a1"]


def test_an_account_id_that_cannot_be_one_names_its_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environ={"CLOUDFLARE_ACCOUNT_ID": "a/b"})
    assert caught.value.findings == (
        (
            'accounts[0].id = "a/b" (CLOUDFLARE_ACCOUNT_ID): not an account id; '
            "Cloudflare's have 32 hexadecimal digits"
        ),
    )


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('[[accounts]]\nid = "default"\n')
    (tmp_path / "named.toml").write_text('[[accounts]]\nid = "named"\n')
    (tmp_path / "given.toml").write_text('[[accounts]]\nid = "given"\n')
    variable = {"SYNCER_CONFIG": str(tmp_path / "named.toml")}
    assert load(environ={}).accounts[0].id == "default"
    assert load(environ={"SYNCER_CONFIG": ""}).accounts[0].id == "default"
    assert load(environ=variable).accounts[0].id == "named"
    assert load(tmp_path / "given.toml", environ=variable).accounts[0].id == "given"
    monkeypatch.setenv("SYNCER_CONFIG", str(tmp_path / "given.toml"))
    assert load().accounts[0].id == "given"


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    for path, environ in ((missing, {}), (None, {"SYNCER_CONFIG": str(missing)})):
        with pytest.raises(ConfigurationError) as caught:
            load(path, environ=environ)
        assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"[log]\nlevel = debug\n", ", line 2, column 9: not TOML: Invalid value"),
        (b"[log\n", ", line 1, column 5: not TOML: Expected ']' at the end of a table declaration"),
        (b"x = 1\nx = 2", ", at end of document: not TOML: Cannot overwrite a value"),
        (b'name = "\xff"', ": not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_toml_says_where(tmp_path: Path, content: bytes, finding: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file, environ={})
    assert str(caught.value) == f"{file}{finding}".replace(", at end", ", end")


def test_a_byte_order_mark_is_not_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbf" + ACCOUNT.encode())
    assert load(file, environ={}).accounts[0].id == "a1"


def test_every_finding_comes_at_once_and_says_what_would_be_right(tmp_path: Path) -> None:
    text = """
        evry = 3
        [schedule]
        every = "15 minutes"
        timezone = "Mars"
        [sync]
        invoice_type = "both"
        concurrent_accounts = 0
        account_timeout = "2d"
        max_pages = true
        [databse]
        url = "postgresql://u:hunter2@h/d"
        [database]
        auto_migrate = "maybe"
        schema = "pg_catalog"
        [cloudflare]
        per_page = "most"
        rate_limit = 5
        tokn = "hunter2"
        [health]
        listen = "8080"
        [[accounts]]
        name = 2024-01-01
        [[accounts]]
        id = "a/b"
        colour = "hunter2"
    """
    found = findings(text, path=tmp_path)
    assert found == [
        (
            'schedule.every = "15 minutes": not a duration; write a number and a unit, such as '
            '"30s", "15m" or "2h"'
        ),
        (
            'schedule.timezone = "Mars": not a time zone; write a name such as "UTC" or '
            '"Europe/Berlin"'
        ),
        'sync.invoice_type = "both": write "all", "auto" or "manual"',
        "sync.concurrent_accounts = 0: not a whole number from 1 to 1000",
        'sync.account_timeout = "2d": out of range; write a duration from 1s to 1d',
        "sync.max_pages = true: not a whole number from 1 to 1000000",
        'cloudflare.per_page = "most": not a whole number from 1 to 1000, or "auto"',
        "cloudflare.rate_limit = 5: not a table of keys",
        'cloudflare.tokn: unknown key; did you mean "api_token"?',
        'database.schema = "pg_catalog": PostgreSQL keeps this name for itself; choose another',
        'database.auto_migrate = "maybe": not true or false',
        (
            'health.listen = "8080": not an address; write a host and a port, such as '
            '"127.0.0.1:8080", "0.0.0.0:8080" or "[::1]:8080", or "" to turn it off'
        ),
        "accounts[0].id: missing",
        'accounts[0].name = "2024-01-01": not a name; 1 to 100 printable characters in quotes',
        'accounts[1].id = "a/b": not an account id; Cloudflare\'s have 32 hexadecimal digits',
        "accounts[1].colour: unknown key",
        'evry: unknown key; did you mean "schedule.every"?',
        'databse: unknown key; did you mean "database"?',
    ]
    assert "hunter2" not in "\n".join(found)


def test_a_value_of_several_lines_or_any_length_stays_one_short_line(tmp_path: Path) -> None:
    (found,) = findings(f'{ACCOUNT}[log]\nlevel = "a\\nb\\u2028{"x " * 500}"\n', path=tmp_path)
    assert found.startswith('log.level = "a\\nb\\u2028x x x')
    assert len(found) < 200


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('accounts = "x"', 'accounts = "x": not a list of tables'),
        ("accounts = [1]", "accounts[0] = 1: not a table of keys"),
        ("accounts = []", "accounts: none is configured; add [[accounts]]"),
        ("", "accounts: none is configured; add [[accounts]]"),
        (f"log = 1\n{ACCOUNT}", "log = 1: not a table of keys"),
        (f"database = 1\n{ACCOUNT}", "database = 1: not a table of keys"),
        (f"cloudflare = []\n{ACCOUNT}", "cloudflare: not a table of keys"),
        (
            f'{ACCOUNT}[schedule]\nevery = "1h"\ncron = "* * * * *"',
            "schedule.every and schedule.cron: only one of them; drop the other",
        ),
        (
            f'{ACCOUNT}[schedule]\njitter = "15m"',
            'schedule.jitter = "15m": not shorter than schedule.every, "15m"',
        ),
        (
            f'{ACCOUNT}[schedule]\nevery = "1s"\njitter = "2s"',
            'schedule.jitter = "2s": not shorter than schedule.every, "1s"',
        ),
        (
            '[[accounts]]\nid = "a"\n[[accounts]]\nid = "b"\n[[accounts]]\nid = "a"',
            'accounts[0].id and accounts[2].id = "a": the same id twice; drop one',
        ),
        (
            '[[accounts]]\nid = "a"\nname = "n"\n[[accounts]]\nid = "b"\nname = " n "',
            'accounts[0].name and accounts[1].name = "n": the same name twice; drop one',
        ),
        (
            '[[accounts]]\nid = "a"\nname = "b"\n[[accounts]]\nid = "b"\nname = "c"',
            'accounts[0].name = "b": another account has this id',
        ),
        (
            f'{ACCOUNT}[database]\npassword_env = "X"',
            "database.password_env: there is no database.url for it; add one",
        ),
        (
            f'{ACCOUNT}[database]\nurl = "postgresql://u:p@h/d"\npassword_env = "X"',
            "database.password_env: database.url holds a password already; drop one of them",
        ),
        (
            f'{ACCOUNT}[database]\nurl = "postgresql://h/d"\npassword = "p"\npassword_file = "f"',
            "database.password and database.password_file: the same secret more than once",
        ),
        (
            f'{ACCOUNT}[database]\nurl = "postgresql://[h/d"\npassword = ""',
            "database.password: not a password; one or more characters in quotes",
        ),
        (f'{ACCOUNT}[database]\nurl = "mysql://u:p@h/d"', "database.url: not a PostgreSQL address"),
        (
            f'{ACCOUNT}[cloudflare]\nbase_url = "ftp://u:p@h"',
            "cloudflare.base_url: not an address; write a URL such as",
        ),
        (
            f'{ACCOUNT}[cloudflare]\napi_token = "t"\napi_token_env = "T"',
            "cloudflare.api_token and cloudflare.api_token_env: the same secret more than once",
        ),
        (
            f'{ACCOUNT}api_key = "k"\napi_key_file = "f"\napi_email = "a@b"',
            "accounts[0].api_key and accounts[0].api_key_file: the same secret more than once",
        ),
        (
            f'{ACCOUNT}api_token = "t"\napi_email = "a@b"\napi_key = "k"',
            "accounts[0]: an API token, or api_email with an API key, not both; drop one",
        ),
        (f'{ACCOUNT}api_key = "k"', "accounts[0].api_email: missing; an API key goes with"),
        (f'{ACCOUNT}api_email = "a@b"', "accounts[0].api_key: missing; api_email goes with"),
        (f'{ACCOUNT}api_token_env = "$T"', "accounts[0].api_token_env: not the name of an"),
        ('"a\\nb" = 1\n' + ACCOUNT, "'a\\nb': unknown key"),
    ],
)
def test_rules(tmp_path: Path, text: str, finding: str) -> None:
    (found,) = findings(text, path=tmp_path)
    assert found.startswith(finding)


def test_jitter_has_no_interval_to_be_shorter_than_with_cron(tmp_path: Path) -> None:
    text = f'{ACCOUNT}[schedule]\ncron = "0 6 * * *"\njitter = "1h"\n'
    schedule = loaded(text, path=tmp_path).schedule
    assert (schedule.every, schedule.cron, schedule.jitter) == (
        None,
        "0 6 * * *",
        timedelta(hours=1),
    )


def test_rules_are_checked_where_values_are_wrong(tmp_path: Path) -> None:
    found = findings(
        '[schedule]\nevery = "x"\ncron = "y"\njitter = "z"\n[[accounts]]\nid = "a"\nname = ""\n'
        '[[accounts]]\nid = "a"\n',
        path=tmp_path,
    )
    assert [finding.split(" ")[0] for finding in found] == [
        *("schedule.every", "schedule.cron", "schedule.jitter", "accounts[0].name"),
        *("schedule.every", "accounts[0].id"),
    ]


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc/syncer.toml"
    file.write_text(
        f'[database]\nurl = "postgresql://h/d"\npassword_file = "pw"\ndata_dir = "data"\n{ACCOUNT}'
        'api_token_file = "/run/token"\n'
    )
    settings = load(file, environ={})
    assert settings.database.password_file == tmp_path / "etc/pw"
    assert settings.database.data_dir == tmp_path / "etc/data"
    assert str(settings.accounts[0].api_token_file) == "/run/token"


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    text = f'[database]\ndata_dir = "~/pg"\n{ACCOUNT}api_token_file = "~nobody-of-that-name/t"\n'
    settings = loaded(text, path=tmp_path)
    assert str(settings.database.data_dir) == "/home/x/pg"
    assert settings.accounts[0].api_token_file == tmp_path / "~nobody-of-that-name/t"


def test_words_may_be_in_any_case_and_digits_in_quotes(tmp_path: Path) -> None:
    text = f'{ACCOUNT}[log]\nlevel = "DEBUG"\nformat = "Json"\n[sync]\nmax_pages = " 7 "\n'
    settings = loaded(text, path=tmp_path)
    assert (settings.log.level, settings.log.format, settings.sync.max_pages) == (
        "debug",
        "json",
        7,
    )


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = loaded(ACCOUNT, path=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.log = settings.log
    with pytest.raises(ValueError, match="frozen"):
        settings.log.level = "debug"


def test_a_file_with_a_secret_that_others_can_read_is_worth_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for text, warned in (
        (f'{ACCOUNT}api_token = "t"', True),
        (f'{ACCOUNT}[database]\nurl = "postgresql://u:p@h/d"', True),
        (f'{ACCOUNT}[database]\nurl = "postgresql://u@h/d?password=p"', True),
        (f'{ACCOUNT}[database]\nurl = "postgresql://u@h/d?sslkey=k&sslpassword=p"', True),
        (f'{ACCOUNT}[database]\nurl = "postgresql://u@h/d?sslkey=k"', False),
        (f'{ACCOUNT}[database]\nurl = "postgresql://u@h/d"', False),
        (f'{ACCOUNT}api_token_env = "T"', False),
    ):
        file.write_text(text)
        file.chmod(0o640)
        expected = f"{file} holds a secret and others can read it (mode 0640); chmod 600"
        assert load(file, environ={}).warnings == ((expected,) if warned else ())
        file.chmod(0o600)
        assert load(file, environ={}).warnings == ()


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost", False),
        ("https://proxy", False),
        ("http://proxy:80", True),
    ],
)
def test_credentials_in_the_clear_are_worth_a_warning(
    tmp_path: Path, url: str, *, warned: bool
) -> None:
    settings = loaded(f'{ACCOUNT}[cloudflare]\nbase_url = "{url}"', path=tmp_path)
    expected = "cloudflare.base_url: credentials travel to proxy unencrypted; use https"
    assert settings.warnings == ((expected,) if warned else ())
