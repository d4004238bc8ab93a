"""What every run and every walk did; each function leaves the transaction to its caller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import ARRAY, Text, cast, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from syncer.errors import DatabaseError, Reason, Superseded
from syncer.store.locks import RUN_KEY
from syncer.store.tables import account_syncs, sync_runs, sync_state

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """The outcome of one account in one run.

    `started_at` is what `Locks.try_account` told (None: never begun). `requests` counts those that
    failed too, `fetched` the distinct records, rejected ones included; `inserted` to `rejected`
    are the merge's. `error_kind` is the stable word for the error behind the outcome, which may not
    be the `reason` (rate_limited behind a timeout), `error` one line that is safe to store.
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


@dataclass(frozen=True, slots=True)
class PreviousState:
    """How an account stood before a record; 0 where nothing was recorded yet."""

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


async def fence_account(conn: AsyncConnection, account_id: str, started_at: datetime) -> None:
    """Lock the account's state row until the transaction ends, making it where there is none.

    `started_at` is what `Locks.try_account` told. Raises Superseded when a walk that began later is
    stored already: this one lost its lock meanwhile, and must not overwrite what is newer.
    """
    row = {"account_id": account_id, "account_name": account_id}
    await conn.execute(upsert(sync_state).values(row).on_conflict_do_nothing())
    # A start in the future comes from a clock that was set back since, and would block for ever.
    newer = (
        select(
            (sync_state.c.last_started_at > started_at)
            & (sync_state.c.last_started_at <= func.clock_timestamp())
        )
        .where(sync_state.c.account_id == account_id)
        .with_for_update()
    )
    if (await conn.execute(newer)).scalar_one():
        raise Superseded(f"account {account_id}: a walk that began later is stored already")


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
) -> PreviousState:
    """Finish the account's row of the run, and unless it was skipped bring its state up to date.

    `stale_after` is the age of the last complete walk past which the account counts as stale,
    `tick` the time on the schedule that the run stands for, None where it is not scheduled. Call
    `fence_account` before it in the same transaction unless the account was skipped. Raises
    DatabaseError where `begin_run` wrote no row for the account.
    """
    found = await conn.execute(
        select(sync_state.c.consecutive_failures).where(
            sync_state.c.account_id == record.account_id
        )
    )
    previous = PreviousState(found.scalar_one_or_none() or 0)
    finished_at = await _finish_walk(conn, record)
    if record.status != "skipped":
        state = _state_after(record, previous, finished_at)
        state |= {"stale_after": stale_after, "last_tick": tick}
        await conn.execute(
            upsert(sync_state)
            .values(state | {"account_id": record.account_id})
            .on_conflict_do_update(index_elements=[sync_state.c.account_id], set_=state)
        )
    return previous


async def _finish_walk(conn: AsyncConnection, record: AccountRecord) -> datetime:
    outcome = asdict(record)
    for name in ("run_id", "account_id", "account_name"):
        del outcome[name]
    finished = await conn.execute(
        update(account_syncs)
        .where(
            account_syncs.c.run_id == record.run_id,
            account_syncs.c.account_id == record.account_id,
        )
        .values(outcome | {"finished_at": func.clock_timestamp()})
        .returning(account_syncs.c.finished_at)
    )
    finished_at: datetime | None = finished.scalar_one_or_none()
    if finished_at is None:
        raise DatabaseError(f"account {record.account_id} is not part of run {record.run_id}")
    return finished_at


def _state_after(
    record: AccountRecord, previous: PreviousState, finished_at: datetime
) -> dict[str, object]:
    """Columns of `sync_state` that the record changes."""
    state: dict[str, object] = {
        "account_name": record.account_name,
        "last_run_id": record.run_id,
        "last_finished_at": finished_at,
        "last_status": record.status,
        "pages": record.pages,
        "invoices_fetched": record.fetched,
        "total_reported": record.total_reported,
    }
    if record.started_at is not None:
        state["last_started_at"] = record.started_at
    if record.status == "complete":
        return state | {
            "last_complete_at": finished_at,
            "complete_as_of": record.started_at,
            "last_error_kind": None,
            "last_error": None,
            "consecutive_failures": 0,
        }
    return state | {
        "last_error_kind": record.error_kind,
        "last_error": record.error,
        "consecutive_failures": previous.consecutive_failures + 1,
    }
