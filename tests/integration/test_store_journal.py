"""Runs and states: what is recorded, who may record it, and what becomes of dead runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from syncer.errors import DatabaseError, Reason
from syncer.store.journal import (
    AccountRecord,
    PreviousState,
    begin_run,
    fence_account,
    finish_run,
    recorded,
)
from syncer.store.state import LastWalk, SyncState, last_walk, read_freshness, read_states
from tests.integration.journaling import COMPLETE, EARLY, FAILED, HOUR, begin, finish, record, state
from tests.integration.stored import ACCOUNT, change, fetch, invoices, merge, rows_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.store.engine import Database


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
