"""Runs and walks that get in each other's way, and what becomes of dead ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from syncer.errors import DatabaseError, Reason, Superseded
from syncer.store.engine import Database
from syncer.store.journal import (
    abandon_dead_runs,
    fence_account,
    finish_run,
    recorded,
    skip_accounts,
)
from syncer.store.locks import Locks
from syncer.store.state import last_walk
from tests.integration.journaling import COMPLETE, EARLY, FAILED, LATE, begin, finish, record, state
from tests.integration.stored import ACCOUNT, change, fetch, opened, rows_of


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
