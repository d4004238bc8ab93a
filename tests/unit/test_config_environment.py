from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from syncer.config import Settings, load
from syncer.config.environment import variable_name
from syncer.config.keys import all_paths
from syncer.errors import ConfigurationError

FILE = """
[schedule]
every = "1h"
[cloudflare]
api_token_env = "FROM_FILE"
per_page = 10
[log]
level = "error"
[[accounts]]
id = "a0"
name = "zero"
api_email = "a@b"
api_key_file = "key"
[[accounts]]
id = "a1"
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration in the current directory of each test."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def findings(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(environ=environ)
    return caught.value.findings


def test_single_keys_win_over_the_file() -> None:
    settings = load(
        environ={
            "SYNCER_SCHEDULE__EVERY": "30m",
            "SYNCER_SCHEDULE__RUN_ON_START": "false",
            "SYNCER_DATABASE__SCHEMA": "billing",
            "SYNCER_DATABASE__DATA_DIR": "pg",
            "SYNCER_CLOUDFLARE__RATE_LIMIT__REQUESTS": "7",
            "SYNCER_ACCOUNTS__1__NAME": "one",
            "SYNCER_ACCOUNTS__2__ID": "a2",
        }
    )
    assert settings.schedule.every == timedelta(minutes=30)
    assert settings.schedule.run_on_start is False
    assert settings.database.schema_ == "billing"
    assert settings.database.data_dir == Path.cwd() / "pg"
    assert settings.cloudflare.rate_limit.requests == 7
    assert settings.cloudflare.rate_limit.per == timedelta(minutes=5)
    assert settings.cloudflare.per_page == 10
    assert [(account.id, account.name) for account in settings.accounts] == [
        ("a0", "zero"),
        ("a1", "one"),
        ("a2", "a2"),
    ]


def test_sections_and_lists_as_json() -> None:
    settings = load(
        environ={
            "SYNCER_LOG": '{"level": "debug", "format": null}',
            "SYNCER_CLOUDFLARE__RATE_LIMIT": '{"requests": 5, "per": "1s"}',
            "SYNCER_CLOUDFLARE__RATE_LIMIT__REQUESTS": "6",
            "SYNCER_ACCOUNTS": '[{"id": "j0", "name": null}, {"id": "j1"}]',
            "SYNCER_ACCOUNTS__1__NAME": "one",
        }
    )
    assert (settings.log.level, settings.log.format) == ("debug", "auto")
    assert settings.cloudflare.rate_limit.requests == 6
    assert settings.cloudflare.rate_limit.per == timedelta(seconds=1)
    assert [(a.id, a.name, a.api_email) for a in settings.accounts] == [
        ("j0", "j0", None),
        ("j1", "one", None),
    ]


def test_ten_and_more_accounts_keep_their_order() -> None:
    environ = {f"SYNCER_ACCOUNTS__{number}__ID": f"n{number}" for number in range(12)}
    environ["SYNCER_ACCOUNTS__11"] = '{"name": "eleven"}'
    settings = load(environ=environ)
    assert [account.id for account in settings.accounts] == [f"n{number}" for number in range(12)]
    assert settings.accounts[11].name == "eleven"


def test_a_choice_between_keys_is_made_by_the_environment() -> None:
    settings = load(
        environ={
            "SYNCER_SCHEDULE__CRON": "0 * * * *",
            "SYNCER_CLOUDFLARE__API_TOKEN": "inline",
            "SYNCER_ACCOUNTS__0__API_TOKEN_ENV": "OTHER",
        }
    )
    assert (settings.schedule.every, settings.schedule.cron) == (None, "0 * * * *")
    assert settings.cloudflare.api_token_env is None
    assert settings.accounts[0].api_token_env == "OTHER"
    assert settings.accounts[0].api_key_file is None
    assert settings.accounts[0].api_email is None


def test_a_pair_of_keys_is_completed_by_the_file() -> None:
    account = load(environ={"SYNCER_ACCOUNTS__0__API_KEY_ENV": "KEY"}).accounts[0]
    assert (account.api_email, account.api_key_env, account.api_key_file) == ("a@b", "KEY", None)


def test_an_empty_variable_counts_as_not_set_except_for_the_address_to_listen_on() -> None:
    settings = load(
        environ={
            "SYNCER_DATABASE__URL": "",
            "SYNCER_LOG__LEVEL": "",
            "SYNCER_ACCOUNTS": "",
            "SYNCER_HEALTH__LISTEN": "",
        }
    )
    assert settings.database.url is None
    assert settings.log.level == "error"
    assert len(settings.accounts) == 2
    assert settings.health.listen is None


def test_two_choices_in_the_environment_are_a_finding() -> None:
    assert findings(SYNCER_SCHEDULE__CRON="0 * * * *", SYNCER_SCHEDULE__EVERY="1h") == (
        "schedule.every and schedule.cron: only one of them; drop the other",
    )


def test_a_wrong_value_names_its_variable() -> None:
    assert findings(SYNCER_SYNC__MAX_PAGES="many", SYNCER_DATABASE__URL="hunter2") == (
        'sync.max_pages = "many" (SYNCER_SYNC__MAX_PAGES): not a whole number from 1 to 1000000',
        (
            "database.url (SYNCER_DATABASE__URL): not a PostgreSQL address; write one such as "
            "postgresql://user@host:5432/database"
        ),
    )


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("SYNCER_LOG__LVEL", 'no such key; did you mean "SYNCER_LOG__LEVEL"?'),
        ("SYNCER_DATABSE__URL", 'no such key; did you mean "SYNCER_DATABASE__URL"?'),
        (
            "SYNCER_ACCOUNTS__0__API_TOKN",
            'no such key; did you mean "SYNCER_ACCOUNTS__0__API_TOKEN"?',
        ),
        ("SYNCER_ACCOUNTS__FIRST__ID", "no such key"),
        ("SYNCER_LOG__LEVEL__MORE", "no such key"),
        ("SYNCER_PORT__8080", "no such key"),
        ("SYNCER_LOG__", "no such key"),
        ("SYNCER_ACCOUNTS__3__ID", "there is no item 2; number them from 0 without gaps"),
        ("SYNCER_ACCOUNTS", "not a JSON list"),
        ("SYNCER_ACCOUNTS__0", "not a JSON object"),
        ("SYNCER_LOG", "not a JSON object"),
    ],
)
def test_a_variable_that_fits_nothing_is_named_without_its_value(name: str, finding: str) -> None:
    assert findings(**{name: "hunter2"}) == (f"{name}: {finding}",)


@pytest.mark.parametrize("text", ["[", "5", "[" * 100_000])
def test_what_is_no_json_of_a_section(text: str) -> None:
    assert findings(SYNCER_LOG=text) == ("SYNCER_LOG: not a JSON object",)


def test_an_unknown_key_inside_of_json_names_the_variable() -> None:
    assert findings(SYNCER_LOG='{"lvel": "hunter2"}') == (
        'log.lvel (SYNCER_LOG): unknown key; did you mean "level"?',
    )


def test_sections_of_the_file_that_are_none_give_way(file: Path) -> None:
    file.write_text('log = 5\naccounts = "x"\n')
    settings = load(environ={"SYNCER_LOG__LEVEL": "debug", "SYNCER_ACCOUNTS__0__ID": "a"})
    assert (settings.log.level, settings.accounts[0].id) == ("debug", "a")


def test_names_that_kubernetes_sets_are_not_ours() -> None:
    environ = {
        "SYNCER_PORT": "tcp://10.0.0.1:80",
        "SYNCER_SERVICE_HOST": "10.0.0.1",
        "SYNCER_PORT_80_TCP_ADDR": "10.0.0.1",
        "OTHER__THING": "x",
    }
    assert load(environ=environ).warnings == ()


def test_a_missing_underscore_is_worth_a_warning() -> None:
    assert load(environ={"SYNCER_DATABASE_URL": "postgresql://h/d"}).warnings == (
        "SYNCER_DATABASE_URL is not read; the variable is SYNCER_DATABASE__URL",
    )


def test_every_key_has_a_variable() -> None:
    names = {variable_name(path) for path in all_paths(Settings)}
    assert {
        "SYNCER_DATABASE__SCHEMA",
        "SYNCER_CLOUDFLARE__RATE_LIMIT__PER",
        "SYNCER_ACCOUNTS__0__API_TOKEN_FILE",
    } < names
