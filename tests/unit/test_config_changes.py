from pathlib import Path

import pytest

from syncer.config import Settings, load
from syncer.config.changes import changes, with_started

A, B = "a" * 32, "b" * 32
PLAIN = f"""
[cloudflare]
api_token = "a-token-that-is-secret"
[[accounts]]
id = "{A}"
name = "first"
"""


def read(directory: Path, text: str) -> Settings:
    path = directory / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load(path, environ={})


def test_the_same_twice_is_no_change(tmp_path: Path) -> None:
    found = changes(read(tmp_path, PLAIN), read(tmp_path, PLAIN))
    assert not any((found.keys, found.restart_needed, found.accounts_changed))


@pytest.mark.parametrize(
    ("more", "keys", "restart_needed"),
    [
        ('[schedule]\nevery = "1h"', ("schedule.every",), ()),
        ('[schedule]\ncron = "0 * * * *"', ("schedule.every", "schedule.cron"), ()),
        ('[log]\nlevel = "debug"', ("log.level",), ()),
        ('[log]\nformat = "json"', ("log.format",), ("log.format",)),
        ('[health]\nlisten = ""\nmax_age = "2h"', ("health.listen", "health.max_age"), None),
        ('[database]\nschema = "other"', ("database.schema",), ("database.schema",)),
        ("[cloudflare.rate_limit]\nrequests = 5", ("cloudflare.rate_limit.requests",), ()),
    ],
)
def test_it_names_the_keys(
    tmp_path: Path, more: str, keys: tuple[str, ...], restart_needed: tuple[str, ...] | None
) -> None:
    found = changes(read(tmp_path, PLAIN), read(tmp_path, f"{PLAIN}{more}\n"))
    assert found.keys == keys
    assert found.restart_needed == (
        ("health.listen",) if restart_needed is None else restart_needed
    )


def test_it_names_accounts_and_no_secret(tmp_path: Path) -> None:
    old = read(tmp_path, f'{PLAIN}[[accounts]]\nid = "{B}"\nname = "second"\n')
    text = PLAIN.replace("a-token", "another-token").replace('"first"', '"renamed"')
    new = read(tmp_path, f'{text}[[accounts]]\nid = "{"c" * 32}"\nname = "third"\n')
    found = changes(old, new)
    assert found.accounts_added == ("third",)
    assert found.accounts_removed == ("second",)
    assert found.accounts_changed == ("renamed",)
    assert found.keys == ("cloudflare.api_token", "accounts")
    assert "secret" not in repr(found)


def test_what_is_fixed_at_the_start_stays(tmp_path: Path) -> None:
    started = read(tmp_path, PLAIN)
    text = f"""{PLAIN}
[database]
schema = "other"
[log]
format = "json"
level = "debug"
[health]
listen = ""
max_age = "2h"
"""
    kept = with_started(read(tmp_path, text), started)
    assert changes(started, kept).keys == ("log.level", "health.max_age")
    assert [account.credential.token for account in kept.read_accounts()] == [
        "a-token-that-is-secret"
    ]
