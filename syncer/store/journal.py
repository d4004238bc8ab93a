"""What every run and every walk did; each function leaves the transaction to its caller."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from sqlalchemy import ARRAY, Text, cast, func, insert, select, text, update

from syncer.errors import DatabaseError, Reason, Superseded
from syncer.store.locks import RUN_KEY
from syncer.store.statements import Statement
from syncer.store.tables import account_syncs, sync_runs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

Trigger = Literal["start", "schedule", "command"]
RunStatus = Literal["succeeded", "partial", "failed"]
AccountStatus = Literal["complete", "incomplete", "failed", "skipped"]

_TO_BE_DONE = text("""
INSERT INTO account_syncs (run_id, account_id)
SELECT cast(:run_id AS uuid), unnest(cast(:accounts AS text[]))
""")

# Trying for the lock of a running run alone, and for a row that nobody is finishing at this moment,
# is what the two materialized steps are for.
_ABANDON = text("""
WITH running AS MATERIALIZED (
    SELECT id FROM sync_runs WHERE status = 'running' FOR UPDATE SKIP LOCKED
),
dead AS MATERIALIZED (
    SELECT id
    FROM running
    WHERE pg_try_advisory_xact_lock(
        hashtextextended(format(cast(:run_key AS text), current_schema(), id), 0)
    )
),
walks AS (
    UPDATE account_syncs
    SET status = 'abandoned', finished_at = now()
    FROM dead
    WHERE account_syncs.run_id = dead.id AND account_syncs.status IS NULL
)
UPDATE sync_runs
SET status = 'abandoned', finished_at = now()
FROM dead
WHERE sync_runs.id = dead.id
RETURNING sync_runs.id
""")

# A start in the future comes from a clock that was set back since, and would block for ever.
_FENCE = Statement("""
SELECT
    consecutive_failures,
    coalesce(
        last_started_at > cast(:started_at AS timestamptz) AND last_started_at <= clock_timestamp(),
        false
    ) AS superseded
FROM sync_state
WHERE account_id = cast(:account_id AS text)
FOR UPDATE
""")

_FIRST_STATE = text("""
INSERT INTO sync_state (account_id, account_name)
VALUES (cast(:account_id AS text), cast(:account_id AS text))
ON CONFLICT DO NOTHING
""")

# A row comes back where everything that was to be written has been.
_RECORD = Statement("""
WITH walk AS (
    UPDATE account_syncs SET
        started_at = cast(:started_at AS timestamptz),
        finished_at = clock_timestamp(),
        status = cast(:status AS text),
        reason = cast(:reason AS text),
        pages = cast(:pages AS integer),
        requests = cast(:requests AS integer),
        retries = cast(:retries AS integer),
        fetched = cast(:fetched AS integer),
        inserted = cast(:inserted AS integer),
        updated = cast(:updated AS integer),
        unchanged = cast(:unchanged AS integer),
        missing = cast(:missing AS integer),
        rejected = cast(:rejected AS integer),
        total_reported = cast(:total_reported AS bigint),
        error_kind = cast(:error_kind AS text),
        error = cast(:error AS text),
        http_status = cast(:http_status AS integer),
        cf_ray = cast(:cf_ray AS text)
    WHERE run_id = cast(:run_id AS uuid) AND account_id = cast(:account_id AS text)
    RETURNING *, status = 'complete' AS complete
),
state AS (
    UPDATE sync_state SET
        account_name = cast(:account_name AS text),
        last_run_id = walk.run_id,
        last_started_at = coalesce(walk.started_at, last_started_at),
        last_finished_at = walk.finished_at,
        last_status = walk.status,
        last_complete_at = CASE WHEN complete THEN walk.finished_at ELSE last_complete_at END,
        complete_as_of = CASE WHEN complete THEN walk.started_at ELSE complete_as_of END,
        last_error_kind = CASE WHEN NOT complete THEN walk.error_kind END,
        last_error = CASE WHEN NOT complete THEN walk.error END,
        consecutive_failures = CASE WHEN complete THEN 0 ELSE consecutive_failures + 1 END,
        pages = walk.pages,
        invoices_fetched = walk.fetched,
        total_reported = walk.total_reported,
        stale_after = cast(:stale_after AS interval),
        last_tick = cast(:tick AS timestamptz)
    FROM walk
    WHERE sync_state.account_id = walk.account_id AND walk.status <> 'skipped'
    RETURNING sync_state.account_id
)
SELECT account_id FROM walk WHERE status = 'skipped'
UNION ALL
SELECT account_id FROM state
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """The outcome of one account in one run.

    `started_at` is when the walk began by the database's clock, after the account was locked
    (None: never begun). `requests` counts those that failed too, `fetched` the distinct records,
    rejected ones included; `inserted` to `rejected` are the merge's. `error_kind` is the stable
    word for the error behind the outcome, which may not be the `reason` (rate_limited behind a
    timeout), `error` one line that is safe to store.
    """

    run_id: UUID
    account_id: str
    account_name: str
    status: AccountStatus
    reason: Reason | None = None
    started_at: datetime | None = None
    pages: int = 0
    requests: int = 0
    retries: int = 0
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    rejected: int = 0
    total_reported: int | None = None
    error_kind: str | None = None
    error: str | None = None
    http_status: int | None = None
    cf_ray: str | None = None


_RECORDED = [field.name for field in fields(AccountRecord)]


@dataclass(frozen=True, slots=True)
class PreviousState:
    """How an account stands before a walk is stored; 0 where nothing was recorded yet."""

    consecutive_failures: int = 0


async def begin_run(
    conn: AsyncConnection,
    *,
    run_id: UUID,
    trigger: Trigger,
    accounts: Sequence[str],
    version: str,
    host: str,
) -> datetime:
    """Insert the run as running, and a row to be done for each account id; return when it began.

    Call `Locks.hold_run` first, or another process takes the run for a dead one.
    """
    run = {
        "id": run_id,
        "trigger": trigger,
        "started_at": func.now(),
        "status": "running",
        "accounts_total": len(accounts),
        "version": version,
        "host": host,
    }
    begun = await conn.execute(insert(sync_runs).values(run).returning(sync_runs.c.started_at))
    await conn.execute(_TO_BE_DONE, {"run_id": run_id, "accounts": list(accounts)})
    started_at: datetime = begun.scalar_one()
    return started_at


async def finish_run(
    conn: AsyncConnection, run_id: UUID, *, status: RunStatus, accounts_complete: int
) -> None:
    """End the run; accounts without an outcome become abandoned.

    It has the last word over `abandon_dead_runs`, which can have taken it for a dead one when the
    connection of its locks broke.
    """
    ended = {"status": status, "accounts_complete": accounts_complete, "finished_at": func.now()}
    await conn.execute(update(sync_runs).where(sync_runs.c.id == run_id).values(ended))
    await conn.execute(
        update(account_syncs)
        .where(account_syncs.c.run_id == run_id, account_syncs.c.status.is_(None))
        .values(status="abandoned", finished_at=func.now())
    )


async def skip_accounts(
    conn: AsyncConnection, run_id: UUID, accounts: Sequence[str], *, reason: Reason, error: str
) -> None:
    """Finish at once all of these that have no outcome yet, as skipped."""
    skipped = {"status": "skipped", "reason": reason, "error_kind": reason, "error": error}
    await conn.execute(
        update(account_syncs)
        .where(
            account_syncs.c.run_id == run_id,
            account_syncs.c.account_id == func.any(cast(accounts, ARRAY(Text))),
            # A run that was taken for a dead one still has the last word.
            func.coalesce(account_syncs.c.status, "abandoned") == "abandoned",
        )
        .values(skipped | {"finished_at": func.clock_timestamp()})
    )


async def abandon_dead_runs(conn: AsyncConnection) -> list[UUID]:
    """Mark the running runs whose process is gone abandoned, with their accounts; return their ids.

    A run is alive while a session holds its lock (`Locks.hold_run`), on whatever host.
    """
    return list((await conn.execute(_ABANDON, {"run_key": RUN_KEY})).scalars())


async def fence_account(
    conn: AsyncConnection, account_id: str, started_at: datetime
) -> PreviousState:
    """Lock the account's state row until the transaction ends, making it where there is none.

    `started_at`: see AccountRecord. Raises Superseded when a walk that began later is
    stored already: this one lost its lock meanwhile, and must not overwrite what is newer.
    """
    state = await _FENCE.fetch_one(conn, account_id=account_id, started_at=started_at)
    if state is None:
        await conn.execute(_FIRST_STATE, {"account_id": account_id})
        state = await _FENCE.fetch_one(conn, account_id=account_id, started_at=started_at)
    if state is None or state["superseded"]:
        raise Superseded(f"account {account_id}: a walk that began later is stored already")
    return PreviousState(state["consecutive_failures"])


async def recorded(
    conn: AsyncConnection, run_id: UUID, account_id: str, account_name: str
) -> AccountRecord | None:
    """Return the outcome that the run has stored for the account; None: none yet.

    It waits for a transaction of a lost connection that may still be committing one.
    """
    found = await conn.execute(
        select(account_syncs)
        .where(account_syncs.c.run_id == run_id, account_syncs.c.account_id == account_id)
        .with_for_update()
    )
    row = found.mappings().one_or_none()
    # A run that was taken for a dead one still has the last word.
    if row is None or row["status"] in (None, "abandoned"):
        return None
    columns = {name: value for name, value in row.items() if name not in ("reason", "finished_at")}
    reason = None if row["reason"] is None else Reason(row["reason"])
    return AccountRecord(**columns, account_name=account_name, reason=reason)


async def record_account(
    conn: AsyncConnection,
    record: AccountRecord,
    *,
    stale_after: timedelta,
    tick: datetime | None = None,
) -> None:
    """Finish the account's row of the run, and unless it was skipped bring its state up to date.

    `stale_after` is the age of the last complete walk past which the account counts as stale,
    `tick` the time on the schedule that the run stands for, None where it is not scheduled. Call
    `fence_account` before it in the same transaction unless the account was skipped. Raises
    DatabaseError where `begin_run` wrote no row for the account, or there is no state.
    """
    values = {name: getattr(record, name) for name in _RECORDED}
    if await _RECORD.fetch_one(conn, **values, stale_after=stale_after, tick=tick) is None:
        raise DatabaseError(f"account {record.account_id} is not part of run {record.run_id}")
