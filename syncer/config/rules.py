"""Rules between keys. They look at what was given, so that they hold even where values are wrong.

Each finding is one line that begins with the path of the key.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from syncer.config.keys import written
from syncer.config.secrets import may_hold_secret
from syncer.config.values import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from syncer.config.keys import Table

_IN_QUERY = frozenset({"password", "sslpassword"})
NO_ACCOUNTS = (
    'accounts: none is configured; add [[accounts]] with id = "..." to the configuration file, or '
    "[[discover]] to find them, or set SYNCER_ACCOUNTS__0__ID, or without a file "
    "CLOUDFLARE_ACCOUNT_ID"
)


def broken_rules(values: Table, *, needs_accounts: bool = True) -> Iterator[str]:
    """Find every rule between keys that the values break."""
    yield from _schedule(_table(values.get("schedule")))
    yield from _credential("cloudflare", _table(values.get("cloudflare")))
    yield from _database(_table(values.get("database")))
    accounts, discover = values.get("accounts", []), values.get("discover", [])
    if accounts == [] and discover == []:
        if needs_accounts:
            yield NO_ACCOUNTS
    elif isinstance(accounts, list):
        yield from _accounts([_table(account) for account in accounts])
    if isinstance(discover, list):
        for index, one in enumerate(discover):
            yield from _credential(f"discover[{index}]", _table(one))


def _schedule(given: Table) -> Iterator[str]:
    if "every" in given and "cron" in given:
        yield "schedule.every and schedule.cron: only one of them; drop the other"
    jitter = _duration(given.get("jitter", "0s"))
    every = _duration(given.get("every", "31d" if "cron" in given else "15m"))
    if jitter is not None and every is not None and jitter and jitter >= every:
        yield (
            f'schedule.jitter = "{format_duration(jitter)}": not shorter than schedule.every, '
            f'"{format_duration(every)}"'
        )


def _credential(path: str, given: Table) -> Iterator[str]:
    tokens, keys = _forms(given, "api_token"), _forms(given, "api_key")
    yield from _only_one(path, tokens)
    yield from _only_one(path, keys)
    if tokens and (keys or "api_email" in given):
        yield f"{path}: an API token, or api_email with an API key, not both; drop one"
    elif keys and "api_email" not in given:
        yield f"{path}.api_email: missing; an API key goes with the e-mail address of its user"
    elif "api_email" in given and not keys:
        yield f"{path}.api_key: missing; api_email goes with api_key, api_key_env or api_key_file"


def _database(given: Table) -> Iterator[str]:
    passwords = _forms(given, "password")
    yield from _only_one("database", passwords)
    for form in passwords[:1]:
        if "url" not in given:
            yield (
                f"database.{form}: there is no database.url for it; add one, or drop the password "
                "(the embedded PostgreSQL has none)"
            )
        elif holds_password(given["url"]):
            yield f"database.{form}: database.url holds a password already; drop one of them"


def _accounts(accounts: list[Table]) -> Iterator[str]:
    yield from _repeated("id", [account.get("id") for account in accounts])
    yield from _repeated("name", [account.get("name") for account in accounts])
    ids = {account.get("id") for account in accounts if isinstance(account.get("id"), str)}
    for index, account in enumerate(accounts):
        name = account.get("name")
        if isinstance(name, str) and name in ids - {account.get("id")}:
            yield f"accounts[{index}].name{_shown(name)}: another account has this id"
        yield from _credential(f"accounts[{index}]", account)


def _repeated(key: str, found: list[object]) -> Iterator[str]:
    texts = [text.strip() if isinstance(text, str) else None for text in found]
    for text, count in Counter(texts).items():
        if text is not None and count > 1:
            places = [f"accounts[{index}].{key}" for index, one in enumerate(texts) if one == text]
            yield f"{' and '.join(places)}{_shown(text)}: the same {key} twice; drop one"


def _only_one(path: str, forms: list[str]) -> Iterator[str]:
    if len(forms) > 1:
        names = " and ".join(f"{path}.{form}" for form in forms)
        yield f"{names}: the same secret more than once; keep one of them"


def _forms(given: Table, key: str) -> list[str]:
    return [form for form in (key, f"{key}_env", f"{key}_file") if form in given]


def holds_password(url: object) -> bool:
    """Whether a connection URI has the password in it."""
    return "password" in secrets_in(url)


def secrets_in(url: object) -> frozenset[str]:
    """Name the secrets that a connection URI holds: its `password`, and that of the client's key.

    Empty where it cannot be read, which is another finding.
    """
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        given = {name for name, value in parse_qsl(parts.query) if value}
        return frozenset({"password"} if parts.password is not None else ()) | (given & _IN_QUERY)
    except ValueError:
        return frozenset()


def _shown(text: str) -> str:
    return "" if may_hold_secret(text) else f" = {written(text)}"


def _duration(value: object) -> timedelta | None:
    try:
        return parse_duration(value)
    except ValueError:
        return None


def _table(value: Any) -> Table:
    return value if isinstance(value, dict) else {}
