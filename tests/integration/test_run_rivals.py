"""Several processes on one database: what one has, another waits for, and takes over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import structlog

from syncer.demo.account import SeenRequest
from syncer.demo.faults import Fault, Hang
from syncer.errors import Reason, SchemaMismatch
from syncer.store.engine import Database
from syncer.store.locks import Locks
from tests.integration.running import Site, of

TICK = datetime.now(UTC) - timedelta(seconds=5)
WAITING = """
    NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def event(events: list[structlog.typing.EventDict], name: str) -> None:
    """Wait until it is in the log."""
    async with asyncio.timeout(30):
        while all(seen["event"] != name for seen in events):
            await asyncio.sleep(0)


async def test_a_scheduled_run_takes_over_what_another_process_lets_go_of(here: Site) -> None:
    here.add("held", 60)
    here.add("free", 60)
    with structlog.testing.capture_logs() as events:
        async with asyncio.TaskGroup() as group, Locks(here.database) as rival:
            assert await rival.try_account(here.accounts["held"].id) is not None
            run = group.create_task(here.run(trigger="schedule", tick=TICK))
            await event(events, "run.waiting")
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
            await event(events, "run.waiting")
            go_on.set()
            await second
    assert of(first.result(), "production").status == "complete"
    assert of(second.result(), "production").reason is Reason.FRESH
    assert len(here.api.requests) == 2


async def test_nobody_waits_longer_than_the_schedule_allows(here: Site) -> None:
    here.add("production", 3)
    async with Locks(here.database) as rival:
        assert await rival.try_account(here.accounts["production"].id) is not None
        result = await here.run(trigger="schedule", tick=TICK, is_pressed=lambda: True)
    assert of(result, "production").reason is Reason.LOCKED
    assert here.api.requests == []


async def test_a_walk_that_lost_its_lock_is_not_stored_over_a_newer_one(
    here: Site, database_dsn: str
) -> None:
    account = here.add("production", 3)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    def script(nth: int, _seen: SeenRequest) -> Fault | None:
        arrived.set()
        return Hang(go_on) if nth == 1 else None

    account.script = script
    admin = await asyncpg.connect(database_dsn)
    async with asyncio.TaskGroup() as group:
        older = group.create_task(here.run())
        await arrived.wait()
        await admin.execute("""
            SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """)
        account.invoices[0] = dict(account.invoices[0], description="newer")
        newer = await here.run()
        stored = await here.rows("SELECT * FROM invoices ORDER BY id")
        account.invoices[0] = dict(account.invoices[0], description="never to be stored")
        go_on.set()
    await admin.close()
    assert of(newer, "production").status == "complete"
    assert of(older.result(), "production").reason is Reason.LOCKED
    assert await here.rows("SELECT * FROM invoices ORDER BY id") == stored


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "at revision 0001, .* needs 0003"),
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


async def end_the_waiting_session(admin: asyncpg.Connection) -> None:
    await admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {WAITING}")


async def let_it_time_out(_admin: asyncpg.Connection) -> None:
    """Its own lock_timeout ends the wait."""


@pytest.mark.parametrize("trouble", [end_the_waiting_session, let_it_time_out])
async def test_what_was_fetched_is_stored_once_the_trouble_has_passed(
    here: Site, database_dsn: str, trouble: Callable[[asyncpg.Connection], Awaitable[None]]
) -> None:
    here.add("production", 60)
    admin = await asyncpg.connect(database_dsn)
    here.database = Database(database_dsn, lock_timeout_s=0.2)
    with structlog.testing.capture_logs() as events:
        async with asyncio.TaskGroup() as group, admin.transaction():
            await admin.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
            run = group.create_task(here.run())
            async with asyncio.timeout(30):
                while not await admin.fetchval(f"SELECT count(*) FROM pg_locks WHERE {WAITING}"):
                    await admin.execute("SELECT pg_sleep(0.01)")
            await trouble(admin)
            await event(events, "transaction.retry_scheduled")
    await admin.close()
    assert of(run.result(), "production").status == "complete"
    assert len(here.api.requests) == 2
    assert await here.row("SELECT count(*) AS invoices FROM invoices") == {"invoices": 60}
    await here.database.close()
