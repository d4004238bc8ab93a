"""Runs and states: what is recorded, who may record it, and what becomes of dead runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from syncer.errors import DatabaseError, Reason, Superseded
from syncer.store.engine import Database
from syncer.store.journal import (
    AccountRecord,
    PreviousState,
    abandon_dead_runs,
    begin_run,
    fence_account,
    finish_run,
    record_account,
    recorded,
    skip_accounts,
)
from syncer.store.locks import Locks
from syncer.store.state import LastWalk, SyncState, last_walk, read_freshness, read_states
from tests.integration.stored import ACCOUNT, change, fetch, invoices, merge, opened, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

HOUR = timedelta(hours=1)
EARLY = datetime(2025, 1, 1, tzinfo=UTC)
LATE = datetime(2025, 1, 2, tzinfo=UTC)

COMPLETE = AccountRecord(
    run_id=UUID(int=0),
    account_id=ACCOUNT,
    account_name="production",
    status="complete",
    started_at=EARLY,
    pages=3,
    requests=5,
    retries=2,
    fetched=120,
    inserted=10,
    updated=20,
    unchanged=88,
    missing=1,
    rejected=2,
    total_reported=2**62,
)
FAILED = replace(
    COMPLETE,
    status="failed",
    reason=Reason.UNAVAILABLE,
    total_reported=None,
    error_kind="unavailable",
    error="the API is unavailable (HTTP 502)",
    http_status=502,
    cf_ray="8f1-AMS",
)


async def begin(
    database: Database, run_id: UUID | None = None, accounts: Sequence[str] = (ACCOUNT,)
) -> UUID:
    run_id = run_id or uuid4()
    async with database.transaction() as conn:
        await begin_run(
            conn, run_id=run_id, trigger="schedule", accounts=accounts, version="1.2", host="h"
        )
    return run_id


async def finish(
    conn: AsyncConnection, outcome: AccountRecord, *, stale_after: timedelta = HOUR
) -> PreviousState:
    """Record the outcome as a sync does, holding the account; how that stood before."""
    previous = PreviousState()
    if outcome.started_at is not None:
        previous = await fence_account(conn, outcome.account_id, outcome.started_at)
    await record_account(conn, outcome, stale_after=stale_after)
    return previous


async def record(
    database: Database, outcome: AccountRecord, *, stale_after: timedelta = HOUR
) -> PreviousState:
    """Record the outcome as that of a run of its own; how the account stood before."""
    run_id = await begin(database, accounts=[outcome.account_id])
    async with database.transaction() as conn:
        return await finish(conn, replace(outcome, run_id=run_id), stale_after=stale_after)


async def state(database: Database) -> SyncState:
    async with database.transaction() as conn:
        (only,) = await read_states(conn)
    return only


async def test_a_run_begins_with_every_account_to_be_done(database: Database) -> None:
    run_id = uuid4()
    async with database.transaction() as conn:
        await begin_run(
            conn, run_id=run_id, trigger="command", accounts=["a", "b"], version="1.2", host="h"
        )
        (clock,) = await rows_of(conn, "SELECT now()")
        assert await rows_of(conn, "SELECT * FROM sync_runs") == [
            {
                "id": run_id,
                "trigger": "command",
                "started_at": clock["now"],
                "finished_at": None,
                "status": "running",
                "accounts_total": 2,
                "accounts_complete": 0,
                "version": "1.2",
                "host": "h",
            }
        ]
    rows = await fetch(database, "SELECT * FROM account_syncs ORDER BY account_id")
    assert [row["account_id"] for row in rows] == ["a", "b"]
    for row in rows:
        del row["account_id"]
        assert row.pop("run_id") == run_id
        assert {value for value in row.values() if value is not None} == {0}


async def test_a_run_without_accounts_is_a_run(database: Database) -> None:
    run_id = await begin(database, accounts=[])
    async with database.transaction() as conn:
        await finish_run(conn, run_id, status="succeeded", accounts_complete=0)
    assert await fetch(database, "SELECT status, accounts_total FROM sync_runs") == [
        {"status": "succeeded", "accounts_total": 0}
    ]


async def test_a_finished_run_leaves_no_account_to_be_done(database: Database) -> None:
    run_id = await begin(database, accounts=["left", ACCOUNT])
    async with database.transaction() as conn:
        await finish(conn, replace(COMPLETE, run_id=run_id))
        await finish_run(conn, run_id, status="partial", accounts_complete=1)
    (run,) = await fetch(database, "SELECT *, finished_at >= started_at AS later FROM sync_runs")
    assert (run["status"], run["accounts_complete"], run["later"]) == ("partial", 1, True)
    rows = await fetch(
        database,
        "SELECT account_id, status, finished_at IS NULL AS to_do FROM account_syncs ORDER BY 1",
    )
    assert rows == [
        {"account_id": ACCOUNT, "status": "complete", "to_do": False},
        {"account_id": "left", "status": "abandoned", "to_do": False},
    ]


@pytest.mark.parametrize("outcome", [COMPLETE, FAILED])
async def test_a_record_fills_the_row_of_its_run(
    database: Database, outcome: AccountRecord
) -> None:
    await record(database, outcome)
    (row,) = await fetch(database, "SELECT *, clock_timestamp() AS now FROM account_syncs")
    assert EARLY < row.pop("finished_at") < row.pop("now")
    expected = {name: getattr(outcome, name) for name in outcome.__slots__}
    del expected["account_name"]
    assert row | {"run_id": UUID(int=0)} == expected


async def test_a_complete_walk_makes_the_state(database: Database) -> None:
    await merge(database, invoices(7))
    await merge(database, invoices(5), listed=[row.id for row in invoices(5)])
    assert await record(database, COMPLETE) == PreviousState()
    found = await state(database)
    (sync,) = await fetch(database, "SELECT run_id, finished_at FROM account_syncs")
    assert found.age is not None
    assert timedelta(0) < found.age < HOUR
    assert found == SyncState(
        account_id=ACCOUNT,
        account_name="production",
        last_run_id=sync["run_id"],
        last_started_at=EARLY,
        last_finished_at=sync["finished_at"],
        last_status="complete",
        last_complete_at=sync["finished_at"],
        last_error_kind=None,
        last_error=None,
        consecutive_failures=0,
        pages=3,
        invoices_fetched=120,
        total_reported=2**62,
        stale_after=HOUR,
        complete_as_of=EARLY,
        last_tick=None,
        stale=False,
        age=found.age,
        invoices=5,
    )


async def test_failures_add_up_until_a_walk_is_complete(database: Database) -> None:
    assert await record(database, FAILED) == PreviousState()
    first = await state(database)
    assert (first.last_complete_at, first.age, first.stale) == (None, None, True)
    incomplete = replace(FAILED, status="incomplete", error_kind="page_limit", error="too many")
    assert await record(database, incomplete) == PreviousState(1)
    second = await state(database)
    assert second.consecutive_failures == 2
    assert (second.last_error_kind, second.last_error) == ("page_limit", "too many")
    assert await record(database, COMPLETE) == PreviousState(2)
    third = await state(database)
    assert (third.consecutive_failures, third.last_error_kind, third.last_error) == (0, None, None)
    assert await record(database, FAILED) == PreviousState(0)
    fourth = await state(database)
    assert fourth.last_complete_at == third.last_complete_at
    assert fourth.complete_as_of == third.complete_as_of == EARLY
    assert (fourth.last_status, fourth.consecutive_failures) == ("failed", 1)


async def test_a_skipped_account_keeps_its_state(database: Database) -> None:
    skipped = AccountRecord(
        run_id=UUID(int=0),
        account_id=ACCOUNT,
        account_name="production",
        status="skipped",
        reason=Reason.LOCKED,
    )
    await record(database, skipped)
    assert await fetch(database, "SELECT 1 FROM sync_state") == []
    await record(database, FAILED)
    before = await fetch(database, "SELECT * FROM sync_state")
    await record(database, skipped)
    assert await fetch(database, "SELECT * FROM sync_state") == before
    assert (
        await fetch(
            database,
            "SELECT reason FROM account_syncs WHERE status = 'skipped' AND started_at IS NULL",
        )
        == [{"reason": "locked"}] * 2
    )


async def test_a_failure_before_the_start_keeps_the_last_start(database: Database) -> None:
    await record(database, COMPLETE)
    await record(database, replace(FAILED, started_at=None))
    found = await state(database)
    assert (found.last_started_at, found.last_status) == (EARLY, "failed")


async def test_an_account_outside_the_run_cannot_be_recorded(database: Database) -> None:
    run_id = await begin(database, accounts=["other"])
    with pytest.raises(DatabaseError, match=rf"^account {ACCOUNT} is not part of run {run_id}$"):
        async with database.transaction() as conn:
            await finish(conn, replace(COMPLETE, run_id=run_id))


async def staleness(conn: AsyncConnection) -> dict[str, bool]:
    return {account_id: row.stale for account_id, row in (await read_freshness(conn)).items()}


async def test_stale_follows_from_the_age_of_the_last_complete_walk(database: Database) -> None:
    await record(database, COMPLETE, stale_after=timedelta(minutes=5))
    await record(database, replace(COMPLETE, account_id="new", status="failed"))
    await change(
        database,
        "UPDATE sync_state SET last_complete_at = now() - interval '299 seconds'"
        " WHERE account_id <> 'new'",
    )
    async with database.transaction() as conn:
        assert await staleness(conn) == {ACCOUNT: False, "new": True}
        assert {found.account_id: found.stale for found in await read_states(conn)} == {
            ACCOUNT: False,
            "new": True,
        }
    await change(
        database, "UPDATE sync_state SET last_complete_at = now() - interval '301 seconds'"
    )
    async with database.transaction() as conn:
        assert await staleness(conn) == {ACCOUNT: True, "new": False}


async def test_states_come_by_name(database: Database) -> None:
    for account_id, name in [("1", "zebra"), ("2", "ant"), ("3", "ant")]:
        await record(database, replace(COMPLETE, account_id=account_id, account_name=name))
    async with database.transaction() as conn:
        assert [found.account_id for found in await read_states(conn)] == ["2", "3", "1"]


async def test_the_last_walk_is_known_once_there_was_one(database: Database) -> None:
    async with database.transaction() as conn:
        assert await last_walk(conn, ACCOUNT) is None
        await fence_account(conn, ACCOUNT, EARLY)
        assert await last_walk(conn, ACCOUNT) is None
    await record(database, FAILED)
    async with database.transaction() as conn:
        assert await last_walk(conn, ACCOUNT) == LastWalk(EARLY, None, FAILED.error_kind)
    await record(database, COMPLETE)
    async with database.transaction() as conn:
        assert await last_walk(conn, ACCOUNT) == LastWalk(EARLY, None, None)


@pytest.mark.parametrize("outcome", [COMPLETE, FAILED])
async def test_what_a_run_has_recorded_is_read_back_as_it_was(
    database: Database, outcome: AccountRecord
) -> None:
    run_id = await begin(database)
    outcome = replace(outcome, run_id=run_id)
    async with database.transaction() as conn:
        assert await recorded(conn, run_id, ACCOUNT, "production") is None
        await finish(conn, outcome)
    async with database.transaction() as conn:
        assert await recorded(conn, run_id, ACCOUNT, "production") == outcome
        assert await recorded(conn, run_id, "unknown", "unknown") is None


async def test_an_abandoned_outcome_is_still_to_come(database: Database) -> None:
    run_id = await begin(database)
    async with database.transaction() as conn:
        assert await abandon_dead_runs(conn) == [run_id]
        assert await recorded(conn, run_id, ACCOUNT, "production") is None


async def test_an_older_walk_cannot_overwrite_a_newer_one(database: Database) -> None:
    await record(database, replace(COMPLETE, started_at=LATE))
    before = await fetch(database, "SELECT * FROM sync_state")
    with pytest.raises(Superseded, match=ACCOUNT):
        await record(database, FAILED)
    assert await fetch(database, "SELECT * FROM sync_state") == before


@pytest.mark.parametrize("started_at", [EARLY, LATE])
async def test_a_walk_as_new_as_the_stored_one_may_be_recorded(
    database: Database, started_at: datetime
) -> None:
    await record(database, COMPLETE)
    await record(database, replace(COMPLETE, started_at=started_at))
    assert (await state(database)).last_started_at == started_at


async def test_a_clock_that_was_ahead_blocks_nothing(database: Database) -> None:
    await record(database, replace(COMPLETE, started_at=datetime(2999, 1, 1, tzinfo=UTC)))
    await record(database, COMPLETE)
    assert (await state(database)).last_started_at == EARLY


@pytest.mark.parametrize("known", [False, True])
async def test_the_fence_makes_rivals_wait_and_then_see(
    database_dsn: str, database: Database, *, known: bool
) -> None:
    if known:
        await record(database, COMPLETE)
    async with (
        opened(Database(database_dsn, lock_timeout_s=0.02)) as rival,
        database.transaction() as conn,
    ):
        await fence_account(conn, ACCOUNT, LATE)
        with pytest.raises(DatabaseError, match=r"lock timeout"):
            async with rival.transaction() as theirs:
                await fence_account(theirs, ACCOUNT, EARLY)
        async with rival.transaction() as theirs:
            await fence_account(theirs, "other", EARLY)


async def test_a_dead_run_is_abandoned_and_a_live_one_is_not(database: Database) -> None:
    dead, live, done = uuid4(), uuid4(), uuid4()
    for run_id in (dead, done):
        await begin(database, run_id, accounts=["finished", "pending"])
        async with database.transaction() as conn:
            finished = replace(COMPLETE, run_id=run_id, account_id="finished")
            await finish(conn, finished)
    async with database.transaction() as conn:
        await finish_run(conn, done, status="partial", accounts_complete=1)
    async with Locks(database) as locks:
        await locks.hold_run(live)
        await begin(database, live, accounts=["pending"])
        async with database.transaction() as conn:
            assert await abandon_dead_runs(conn) == [dead]
        async with database.transaction() as conn:
            assert await abandon_dead_runs(conn) == []
        runs = await fetch(
            database, "SELECT id, status, finished_at IS NULL AS open FROM sync_runs"
        )
        assert {row["id"]: (row["status"], row["open"]) for row in runs} == {
            dead: ("abandoned", False),
            live: ("running", True),
            done: ("partial", False),
        }
        walks = await fetch(
            database, "SELECT account_id, status FROM account_syncs WHERE run_id = :id", id=dead
        )
        assert {row["account_id"]: row["status"] for row in walks} == {
            "finished": "complete",
            "pending": "abandoned",
        }
        pending = await fetch(
            database, "SELECT status FROM account_syncs WHERE run_id = :id", id=live
        )
        assert pending == [{"status": None}]
    async with database.transaction() as conn:
        assert await abandon_dead_runs(conn) == [live]


async def test_a_run_of_another_schema_is_not_mistaken_for_a_live_one(
    database_dsn: str, database: Database
) -> None:
    run_id = await begin(database)
    async with Locks(Database(database_dsn, schema="other")) as locks:
        await locks.hold_run(run_id)
        async with database.transaction() as conn:
            assert await abandon_dead_runs(conn) == [run_id]


async def test_a_run_that_is_being_finished_is_left_alone(database: Database) -> None:
    run_id = await begin(database)
    async with database.transaction() as ours, database.transaction() as theirs:
        await finish_run(ours, run_id, status="succeeded", accounts_complete=1)
        assert await abandon_dead_runs(theirs) == []
    assert await fetch(database, "SELECT status FROM sync_runs") == [{"status": "succeeded"}]


async def test_processes_that_start_together_abandon_each_run_once(database: Database) -> None:
    dead = {await begin(database) for _ in range(20)}

    async def abandon() -> list[UUID]:
        async with database.transaction() as conn:
            return await abandon_dead_runs(conn)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(abandon()) for _ in range(4)]
    abandoned = [run_id for task in tasks for run_id in task.result()]
    assert sorted(abandoned) == sorted(dead)


async def test_a_run_that_was_taken_for_dead_has_the_last_word(database: Database) -> None:
    run_id = await begin(database)
    async with database.transaction() as conn:
        assert await abandon_dead_runs(conn) == [run_id]
    async with database.transaction() as conn:
        await finish(conn, replace(COMPLETE, run_id=run_id))
        await finish_run(conn, run_id, status="succeeded", accounts_complete=1)
    assert await fetch(
        database,
        """SELECT sync_runs.status AS run, account_syncs.status AS walk
        FROM sync_runs JOIN account_syncs ON run_id = id""",
    ) == [{"run": "succeeded", "walk": "complete"}]


async def test_what_was_left_out_is_skipped_also_where_it_was_taken_for_dead(
    database: Database,
) -> None:
    run_id = await begin(database, accounts=["a", "b"])
    async with database.transaction() as conn:
        assert await abandon_dead_runs(conn) == [run_id]
        await skip_accounts(conn, run_id, ["a"], reason=Reason.LOCKED, error="in other hands")
        assert await rows_of(conn, "SELECT account_id, status, reason FROM account_syncs") == [
            {"account_id": "b", "status": "abandoned", "reason": None},
            {"account_id": "a", "status": "skipped", "reason": "locked"},
        ]


async def test_a_walk_that_began_in_the_future_counts_for_none(database: Database) -> None:
    await record(database, COMPLETE)
    await change(database, "UPDATE sync_state SET last_started_at = now() + interval '1 day'")
    async with database.transaction() as conn:
        assert await last_walk(conn, ACCOUNT) is None
