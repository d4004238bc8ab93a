"""`syncer status`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

import msgspec

from syncer.app import open_client, open_database, require_existing
from syncer.cli.screen import print_table, say
from syncer.store.migrate import require_head
from syncer.store.state import SyncState, read_states
from syncer.sync.roster import ask_all, merge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from syncer.config import Settings
    from syncer.store.engine import Database

# A run has more time for it; whoever asks how things stand has the database's answer to read.
LONGEST_LIST_S: Final = 30.0

COLUMNS = ("account", "last sync", "complete as of", "age", "fresh", "invoices", "failures", "why")


async def show_status(settings: Settings, *, as_json: bool) -> None:
    """Print every account that is configured, discovered, or was ever synced."""
    require_existing(settings)
    async with open_database(settings) as database:
        await require_head(database)
        names, failures = await asked_accounts(settings)
        if as_json:
            await _print_json(names, database, all_known=not failures)
        else:
            await print_status(names, database, all_known=not failures)
    for failure in failures:
        sys.stderr.write(f"syncer: {failure}\n")


async def asked_accounts(
    settings: Settings, *, longest_s: float = LONGEST_LIST_S
) -> tuple[dict[str, str], list[str]]:
    """Names by id of those that a sync would ask now, and why some of them may be lacking.

    A list that takes longer than `longest_s` is one of the reasons.
    """
    names = {account.id: account.name for account in settings.accounts}
    if not settings.discover:
        return names, []
    discoveries = settings.read_discoveries()
    client = open_client(settings)
    try:
        timeout_s = min(longest_s, settings.sync.account_timeout.total_seconds())
        asked = await ask_all(client, discoveries, timeout_s=timeout_s)
    finally:
        await client.close()
    found = [(one, listed.names) for one, listed in asked if listed.reason is None]
    accounts = merge(settings.read_accounts(), found)
    failures = [f"{one.label}: {listed.error}" for one, listed in asked if listed.reason]
    return {account.id: account.name for account in accounts}, failures


async def print_status(
    names: Mapping[str, str], database: Database, *, all_known: bool = True
) -> None:
    """Print a line per account; `names` by id are those that a sync asks, if `all_known` all."""
    states = await _read(database)
    rows = [_row(state, asked=state.account_id in names or not all_known) for state in states]
    seen = {state.account_id for state in states}
    rows += [
        (name, "never", "never", None, "stale", None, None, None)
        for id_, name in names.items()
        if id_ not in seen
    ]
    print_table("Accounts", COLUMNS, rows)


async def _print_json(names: Mapping[str, str], database: Database, *, all_known: bool) -> None:
    """Print one object; durations are in seconds, and never-synced accounts have null for all.

    `configured` is null where it is not known.
    """
    states = await _read(database)
    accounts = [
        asdict(state)
        | {
            "stale_after": state.stale_after.total_seconds(),
            "age": None if state.age is None else state.age.total_seconds(),
            "configured": state.account_id in names or (False if all_known else None),
        }
        for state in states
    ]
    seen = {state.account_id for state in states}
    nothing = dict.fromkeys((field.name for field in fields(SyncState)), None)
    accounts += [
        nothing | {"account_id": id_, "account_name": name, "stale": True, "configured": True}
        for id_, name in names.items()
        if id_ not in seen
    ]
    # ASCII, so that it stays JSON on whatever encoding standard output has.
    say(json.dumps(msgspec.to_builtins({"accounts": accounts}), indent=2))


async def _read(database: Database) -> list[SyncState]:
    async with database.transaction() as conn:
        return await read_states(conn)


def _row(state: SyncState, *, asked: bool) -> tuple[object, ...]:
    return (
        state.account_name + ("" if asked else " (not asked any more)"),
        state.last_status,
        _complete_as_of(state),
        _age(state.age),
        "stale" if state.stale else "fresh",
        state.invoices,
        state.consecutive_failures,
        state.last_error,
    )


def _complete_as_of(state: SyncState) -> str:
    if state.complete_as_of is not None:
        return f"{state.complete_as_of:%Y-%m-%d %H:%M:%S} UTC"
    # What an older version stored may have been complete, while nobody knows when that began.
    return "never" if state.last_complete_at is None else "unknown"


def _age(age: timedelta | None) -> str | None:
    """Format an age to two units."""
    if age is None:
        return None
    minutes, seconds = divmod(int(age.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"
