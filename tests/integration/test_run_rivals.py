"""Several processes on one database: what one has, another waits for, and takes over."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from syncer.demo.account import SeenRequest
from syncer.demo.faults import Fault, Hang
from syncer.errors import Reason, SchemaMismatch
from syncer.store.engine import Database
from syncer.store.journal import Trigger
from syncer.store.locks import Locks
from tests.integration.running import Site, of
from tests.integration.storing import reaching, until_logged
from tests.sessions import LOCKS, session, terminate

TICK = datetime.now(UTC) - timedelta(seconds=5)


async def test_a_scheduled_run_takes_over_what_another_process_lets_go_of(here: Site) -> None:
    here.add("held", 60)
    here.add("free", 60)
    with structlog.testing.capture_logs() as events:
        async with asyncio.TaskGroup() as group, Locks(here.database) as rival:
            assert await rival.try_account(here.accounts["held"].id)
            run = group.create_task(here.run(trigger="schedule", tick=TICK))
            await until_logged(events, "run.waiting")
            assert await here.rows("SELECT account_id FROM sync_state") == [
                {"account_id": here.accounts["free"].id}
            ]
    assert {record.status for record in run.result().records} == {"complete"}
    assert [entry for entry in events if entry["event"] == "run.waiting"] == [
        {"event": "run.waiting", "log_level": "info", "accounts": 1}
    ]


async def test_what_another_process_has_walked_meanwhile_is_fresh(here: Site) -> None:
    account = here.add("production", 60)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    def script(nth: int, _seen: SeenRequest) -> Fault | None:
        arrived.set()
        return Hang(go_on) if nth == 1 else None

    account.script = script
    async with asyncio.TaskGroup() as group:
        first = group.create_task(here.run(trigger="schedule", tick=TICK))
        await arrived.wait()
        with structlog.testing.capture_logs() as events:
            second = group.create_task(here.run(trigger="schedule", tick=TICK))
            await until_logged(events, "run.waiting")
            go_on.set()
            await second
    assert of(first.result(), "production").status == "complete"
    assert of(second.result(), "production").reason is Reason.FRESH
    assert len(here.api.requests) == 2


async def test_one_account_that_is_taken_over_keeps_no_other_waiting(here: Site) -> None:
    go_on = asyncio.Event()
    for name in ("slow", "quick"):
        here.add(name, 3)
    here.simulated["slow"].script = lambda _nth, _seen: Hang(go_on)
    ids = {name: account.id for name, account in here.accounts.items()}
    with structlog.testing.capture_logs() as events:
        async with asyncio.TaskGroup() as group, Locks(here.database) as second:
            assert await second.try_account(ids["quick"])
            async with Locks(here.database) as first:
                assert await first.try_account(ids["slow"])
                run = group.create_task(here.run(trigger="schedule", tick=TICK))
                await until_logged(events, "run.waiting")
            async with asyncio.timeout(20):
                await here.api.wait_for_requests(1, account_id=ids["slow"])
                await second.release_account(ids["quick"])
                await here.api.wait_for_requests(1, account_id=ids["quick"])
            go_on.set()
    assert {record.status for record in run.result().records} == {"complete"}


async def test_the_question_of_freshness_is_asked_again(here: Site, database_dsn: str) -> None:
    here.add("production", 3)
    with structlog.testing.capture_logs() as events:
        async with (
            session(database_dsn) as admin,
            reaching(here, Database(database_dsn, lock_timeout_s=0.2)) as there,
            asyncio.TaskGroup() as group,
            admin.transaction(),
        ):
            await admin.execute("LOCK TABLE sync_state IN ACCESS EXCLUSIVE MODE")
            run = group.create_task(there.run(trigger="schedule", tick=TICK))
            await until_logged(events, "transaction.retry_scheduled")
    assert of(run.result(), "production").status == "complete"


async def test_nobody_waits_longer_than_the_schedule_allows(here: Site) -> None:
    here.add("production", 3)
    async with Locks(here.database) as rival:
        assert await rival.try_account(here.accounts["production"].id)
        result = await here.run(trigger="schedule", tick=TICK, next_is_due=lambda: True)
    assert of(result, "production").reason is Reason.LOCKED
    assert here.api.requests == []


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "at revision 0001, .* needs 0006"),
        ("UPDATE alembic_version SET version_num = '9999'", "9999, .* does not know"),
    ],
)
async def test_a_run_refuses_a_schema_of_another_revision(
    here: Site, statement: str, complaint: str
) -> None:
    here.add("production", 3)
    await here.run()
    await here.execute(statement)
    with pytest.raises(SchemaMismatch, match=complaint):
        await here.run()
    assert len(here.api.requests) == 1
    assert await here.rows("SELECT status FROM sync_runs") == [{"status": "succeeded"}]


@pytest.mark.parametrize("trigger", ["command", "schedule"])
async def test_a_walk_that_lost_its_lock_is_not_stored_over_a_newer_one(
    here: Site, database_dsn: str, trigger: Trigger
) -> None:
    account = here.add("production", 3)
    await here.run()
    released = asyncio.Event()
    # What it will be told, once it is released, is how things stand now.
    account.script = lambda nth, _seen: Hang(released) if nth == 2 else None
    at = datetime.now(UTC) if trigger == "schedule" else None
    older = asyncio.create_task(here.run(trigger=trigger, tick=at))
    await here.api.wait_for_requests(2)
    async with session(database_dsn) as admin, reaching(here, Database(database_dsn)) as there:
        assert await terminate(admin, LOCKS) == 1
        account.invoices[0] = account.invoices[0] | {"description": "newer"}
        account.invoices.insert(0, account.invoices[0] | {"id": "in_new"})
        newer = await there.run(trigger=trigger, tick=at)
    assert of(newer, "production").status == "complete"
    tables = ("invoices", "invoice_history", "sync_state")
    stored = [await here.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    with structlog.testing.capture_logs() as events:
        released.set()
        record = of(await older, "production")
    assert (record.status, record.reason, record.inserted) == ("skipped", Reason.LOCKED, 0)
    assert [event["reason"] for event in events if event["event"] == "account.skipped"] == [
        "locked"
    ]
    assert [await here.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == stored
    statuses = await here.rows("""
        SELECT walk.status, reason, run.status AS run
        FROM account_syncs AS walk JOIN sync_runs AS run ON run.id = run_id
        ORDER BY run.started_at, run.status
    """)
    # The newer run had taken it for a dead one, and it has the last word all the same.
    assert [tuple(row.values()) for row in statuses] == [
        ("complete", None, "succeeded"),
        ("skipped", "locked", "succeeded"),
        ("complete", None, "succeeded"),
    ]
