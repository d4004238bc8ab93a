"""Advisory locks: one holder at a time, and none once the holder's connection is gone."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from syncer.store.journal import abandon_dead_runs, begin_run
from syncer.store.locks import Locks
from tests.integration.stored import ACCOUNT, change, fetch, opened
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Proxy, Traffic, let_pass
from tests.proxies.servers import open_postgres, through
from tests.servers import name_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proxies.proxy import Message, Passage

HELD = """
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def end_sessions_with_locks(database: Database) -> None:
    await change(
        database,
        """SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    )


async def test_an_account_has_one_holder_at_a_time(database: Database) -> None:
    async with Locks(database) as ours, Locks(database) as theirs:
        assert await ours.try_account(ACCOUNT)
        assert not await theirs.try_account(ACCOUNT)
        assert await theirs.try_account("other")
        await ours.release_account(ACCOUNT)
        assert await theirs.try_account(ACCOUNT)


async def test_leaving_lets_go(database: Database) -> None:
    async with Locks(database) as theirs:
        async with Locks(database) as ours:
            assert await ours.try_account(ACCOUNT)
        assert await theirs.try_account(ACCOUNT)


async def test_a_lost_connection_is_made_anew_with_the_lock_of_the_run(database: Database) -> None:
    run_id = uuid4()
    async with Locks(database) as ours:
        await ours.hold_run(run_id)
        async with database.transaction() as conn:
            await begin_run(
                conn, run_id=run_id, trigger="command", accounts=[], version="1.2", host="h"
            )
        assert await ours.try_account(ACCOUNT)
        for account_id in ("second", "third"):
            await end_sessions_with_locks(database)
            assert await ours.try_account(account_id)
            async with database.transaction() as conn:
                assert await abandon_dead_runs(conn) == []
    async with database.transaction() as conn:
        assert await abandon_dead_runs(conn) == [run_id]


async def test_a_lost_connection_lets_go_of_accounts(database: Database) -> None:
    async with Locks(database) as ours, Locks(database) as theirs:
        assert await ours.try_account(ACCOUNT)
        await end_sessions_with_locks(database)
        assert await theirs.try_account(ACCOUNT)
        await ours.release_account(ACCOUNT)
        assert not await ours.try_account(ACCOUNT)


async def test_the_lock_of_the_run_may_be_the_first_after_a_loss(database: Database) -> None:
    async with Locks(database) as ours:
        assert await ours.try_account(ACCOUNT)
        await end_sessions_with_locks(database)
        await ours.hold_run(uuid4())
        assert await fetch(database, HELD) == [{"locks": 1}]


async def test_accounts_walked_concurrently_survive_one_loss(database: Database) -> None:
    async with Locks(database) as locks:
        await locks.hold_run(uuid4())
        await end_sessions_with_locks(database)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(locks.try_account(f"a{number}")) for number in range(10)]
        assert all(task.result() for task in tasks)
        assert await fetch(database, HELD) == [{"locks": 11}]


@pytest.mark.parametrize(
    ("statement", "pauses", "lost"),
    [
        # The first call waits for the server, the second one no more.
        ("BEGIN ", [0.5, 1, 2, 4], 5 + 1),
        ("SELECT pg_advisory_lock_shared(", [], 1 + 1),
    ],
    ids=["beginning", "lock of the run"],
)
async def test_no_call_goes_on_without_the_lock_of_the_run(
    database_dsn: str, database: Database, statement: str, pauses: list[float], lost: int
) -> None:
    traffic = Traffic()
    waits: list[float] = []
    cut: list[Message] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def watch(message: Message) -> Callable[[Passage], Awaitable[None]] | None:
        if message.sender != "client" or not message.frame.text.startswith(statement):
            return None
        cut.append(message)
        return cut_off

    async def cut_off(passage: Passage) -> None:
        passage.cut()

    async with (
        Proxy("database", traffic, PostgresFrames, lambda: open_postgres(database_dsn)) as proxy,
        opened(Database(through(database_dsn, proxy.port))) as behind,
        Locks(behind, sleep=sleep) as locks,
    ):
        await locks.hold_run(uuid4())
        await end_sessions_with_locks(database)
        traffic.watch = watch
        for call in (locks.try_account, locks.release_account):
            with pytest.raises(DatabaseUnreachable, match=behind.where):
                await call(ACCOUNT)
        assert (waits, len(cut)) == (pauses, lost)
        assert await fetch(database, HELD) == [{"locks": 0}]
        traffic.watch = let_pass
        assert await locks.try_account(ACCOUNT)
        assert await fetch(database, HELD) == [{"locks": 2}]


@pytest.mark.parametrize("behind_an_answer", [False, True], ids=["in a pause", "with an answer"])
async def test_a_loss_that_the_driver_has_half_noticed_leaves_no_complaint(
    database_dsn: str, database: Database, *, behind_an_answer: bool
) -> None:
    """The server has said why it ends the connection, and its end is still on the way."""
    traffic = Traffic()
    complaints: list[str] = []
    said, may_end = asyncio.Event(), asyncio.Event()

    def watch(message: Message) -> Callable[[Passage], Awaitable[None]] | None:
        if behind_an_answer and not said.is_set() and message.frame.kind == "ReadyForQuery":
            return lose_behind
        return hold_end if message.frame.kind == "ErrorResponse" else None

    async def lose_behind(passage: Passage) -> None:
        await end_sessions_with_locks(database)
        await passage.forward()

    async def hold_end(passage: Passage) -> None:
        await passage.forward()
        said.set()
        await may_end.wait()

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), asyncpg.PostgresError):
            complaints.append(context["message"])

    asyncio.get_running_loop().set_exception_handler(complain)
    async with (
        Proxy("database", traffic, PostgresFrames, lambda: open_postgres(database_dsn)) as proxy,
        opened(Database(through(database_dsn, proxy.port))) as behind,
        Locks(behind) as locks,
    ):
        await locks.hold_run(uuid4())
        traffic.watch = watch
        if behind_an_answer:
            assert await locks.try_account("another")
        else:
            await end_sessions_with_locks(database)
        await said.wait()
        # Meanwhile the driver reads it.
        assert await fetch(database, HELD) == [{"locks": 0}]
        assert await locks.try_account(ACCOUNT)
        assert await fetch(database, HELD) == [{"locks": 2}]
        may_end.set()
    gc.collect()
    assert complaints == []


async def test_leaving_after_a_loss_that_nobody_noticed_is_silent(database: Database) -> None:
    async with Locks(database) as ours:
        await ours.hold_run(uuid4())
        await end_sessions_with_locks(database)


async def test_entering_without_a_server_is_unreachable() -> None:
    with pytest.raises(DatabaseUnreachable):
        async with Locks(Database("postgresql:///ledger?host=/nowhere&user=syncer")):
            raise AssertionError


async def test_accounts_walked_concurrently_take_turns(database: Database) -> None:
    async with Locks(database) as locks:
        await locks.hold_run(uuid4())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(locks.try_account(f"a{number}")) for number in range(50)]
        assert all(task.result() for task in tasks)
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(locks.release_account(f"a{number}"))
    async with Locks(database) as other:
        assert await other.try_account("a49")


async def test_each_schema_has_its_own_locks(database_dsn: str, database: Database) -> None:
    elsewhere = Database(database_dsn, schema='Other "schema"')
    async with Locks(database) as ours, Locks(elsewhere) as theirs:
        assert await ours.try_account(ACCOUNT)
        assert await theirs.try_account(ACCOUNT)


@pytest.mark.parametrize("conforming", ["on", "off"])
async def test_a_lock_is_the_same_however_the_role_writes_texts_and_times(
    database_dsn: str, database: Database, conforming: str
) -> None:
    name = name_of(database_dsn)
    for setting in (
        f"standard_conforming_strings = {conforming}",
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German'",
    ):
        await change(database, f"ALTER DATABASE {name} SET {setting}")
    schema, account_id = "O'Brien\\'s \"{schema}\" \N{SNOWMAN}", "\\'); SELECT 'x"
    async with Locks(Database(database_dsn, schema=schema)) as locks:
        assert await locks.try_account(account_id)
        assert await fetch(
            database,
            """SELECT hashtextextended(format('syncer:account:%I:%s',
                    cast(:schema AS text), cast(:account_id AS text)), 0) AS key
                INTERSECT
                SELECT cast(classid AS bigint) << 32 | cast(objid AS bigint) FROM pg_locks
                WHERE locktype = 'advisory'
            """,
            schema=schema,
            account_id=account_id,
        )
        await locks.release_account(account_id)
        assert await fetch(database, HELD) == [{"locks": 0}]


async def test_a_run_and_an_account_of_the_same_name_do_not_collide(database: Database) -> None:
    run_id = uuid4()
    async with Locks(database) as ours, Locks(database) as theirs:
        await ours.hold_run(run_id)
        assert await theirs.try_account(str(run_id))


async def test_what_holds_the_locks_holds_back_nothing_else(database: Database) -> None:
    async with Locks(database) as locks:
        await locks.hold_run(uuid4())
        assert await locks.try_account(ACCOUNT)
        assert await fetch(
            database,
            """
            SELECT state, backend_xid, backend_xmin FROM pg_stat_activity
            WHERE datname = current_database() AND pid IN (SELECT pid FROM pg_locks
                WHERE locktype = 'advisory')
            """,
        ) == [{"state": "idle in transaction", "backend_xid": None, "backend_xmin": None}]


async def test_locks_are_kept_however_short_an_idle_transaction_may_be(
    database: Database, database_dsn: str
) -> None:
    name = name_of(database_dsn)
    await change(
        database, f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '10ms'"
    )
    async with Locks(database) as ours, Locks(database) as theirs:
        assert await ours.try_account(ACCOUNT)
        await fetch(database, "SELECT pg_sleep(0.1)")
        assert not await theirs.try_account(ACCOUNT)
        assert await fetch(database, HELD) == [{"locks": 1}]
