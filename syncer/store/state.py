"""How things stand with each account; each function leaves the transaction to its caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from syncer.store.statements import Statement

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_STATES = text("""
SELECT
    sync_state.*,
    sync_freshness.stale,
    sync_freshness.age,
    coalesce(listed.invoices, 0) AS invoices
FROM sync_state
JOIN sync_freshness USING (account_id)
LEFT JOIN (
    SELECT account_id, count(*) AS invoices
    FROM invoices
    WHERE missing_since IS NULL
    GROUP BY account_id
) AS listed USING (account_id)
ORDER BY account_name, account_id
""")


_LAST_WALK = Statement("""
SELECT last_started_at, last_tick, last_error_kind
FROM sync_state
WHERE account_id = cast(:account_id AS text) AND last_started_at <= clock_timestamp()
""")

_FRESHNESS = text("""
SELECT account_id, stale, last_complete_at, consecutive_failures, last_error_kind
FROM sync_freshness
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """A row of `sync_state`, with what follows from it at the time of reading.

    `age` is the time since the last complete walk (None: never), `stale` whether that exceeds
    `stale_after`, `complete_as_of` when that walk began: what the API listed then is stored.
    `invoices` is the number of stored invoices that are not missing.
    """

    account_id: str
    account_name: str
    last_run_id: UUID | None
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_status: str | None
    last_complete_at: datetime | None
    last_error_kind: str | None
    last_error: str | None
    consecutive_failures: int
    pages: int
    invoices_fetched: int
    total_reported: int | None
    stale_after: timedelta
    complete_as_of: datetime | None
    last_tick: datetime | None
    stale: bool
    age: timedelta | None
    invoices: int


@dataclass(frozen=True, slots=True)
class LastWalk:
    """When an account's last recorded walk began, by the database's clock, and how it ended.

    `tick` is the time on the schedule that it stood for, None where it was not scheduled;
    `error_kind` the stable word for what went wrong, None where it was complete.
    """

    started_at: datetime
    tick: datetime | None
    error_kind: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What `sync_freshness` tells of an account that is worth asking for often.

    `last_complete_at` is None where no walk was ever complete, `last_error_kind` where the last
    one was.
    """

    account_id: str
    stale: bool
    last_complete_at: datetime | None
    consecutive_failures: int
    last_error_kind: str | None


async def read_states(conn: AsyncConnection) -> list[SyncState]:
    """Every account that was ever walked, by name; counts all invoices, so not for each tick."""
    return [SyncState(**row) for row in (await conn.execute(_STATES)).mappings()]


async def read_freshness(conn: AsyncConnection) -> dict[str, Freshness]:
    """Tell of every account that was ever recorded, by its id, how fresh it is; cheap."""
    found = (await conn.execute(_FRESHNESS)).mappings()
    return {row["account_id"]: Freshness(**row) for row in found}


async def last_walk(conn: AsyncConnection, account_id: str) -> LastWalk | None:
    """The account's last recorded walk; None: none yet.

    One that began in the future counts for none: the database's clock was set back since.
    """
    row = await _LAST_WALK.fetch_one(conn, account_id=account_id)
    return None if row is None else LastWalk(*row)
