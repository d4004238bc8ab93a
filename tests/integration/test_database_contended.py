"""A database that others use as well: what stands in the way for a moment is waited for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
import structlog

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from tests.integration.roles import PASSWORD, dsn_as
from tests.integration.running import Site, of
from tests.integration.storing import (
    COUNT_TRIES,
    NOT_STORED,
    STORED,
    converges,
    held_up,
    meanwhile,
    reaching,
    store_and_change,
    told,
    tries,
    until_logged,
)
from tests.servers import own_server
from tests.sessions import POOL, WAITING, holding, session, terminate, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

INVOICES = "LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE"
LOCKED = "55P03 LockNotAvailableError: canceling statement due to lock timeout"
RETRY = "transaction.retry_scheduled"

Events = list[Any]


@pytest.fixture
def events() -> Iterator[Events]:
    """The log, as it is written."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def retries(events: Sequence[Any]) -> list[str]:
    """What was tried again, and why."""
    return [event["error"] for event in events if event["event"] == RETRY]


async def test_a_table_that_is_locked_for_a_while_is_waited_for(
    here: Site, database_dsn: str, events: Events
) -> None:
    await store_and_change(here)
    database = Database(database_dsn, lock_timeout_s=0.1)
    async with reaching(here, database) as there:
        async with held_up(there, database_dsn, INVOICES) as held:
            await until_logged(events, RETRY)
        assert of(held.run.result(), "production").status == "complete"
    told_why = f"PostgreSQL at {here.database.where}: {LOCKED}"
    assert set(retries(events)) == {told_why}
    assert await told(here.database) == STORED
    await converges(here)


@pytest.mark.slow
async def test_a_table_that_stays_locked_is_given_up_with_a_reason(
    here: Site, database_dsn: str, events: Events
) -> None:
    await store_and_change(here)
    database = Database(database_dsn, lock_timeout_s=0.1)
    async with reaching(here, database) as there, holding(database_dsn, INVOICES):
        record = of(await there.run(), "production")
    assert (record.status, record.reason) == ("failed", "storage")
    assert record.error is not None
    assert record.error.endswith(LOCKED)
    assert len(retries(events)) == 4
    assert await told(here.database) == NOT_STORED
    await converges(here)


async def test_a_deadlock_costs_another_try(here: Site, database_dsn: str, events: Events) -> None:
    await store_and_change(here)
    async with held_up(here, database_dsn, INVOICES) as held:
        # Only the program looks for a deadlock, so it is the victim.
        await held.rival.execute(
            "SET LOCAL deadlock_timeout = '1h'; UPDATE sync_state SET pages = 0"
        )
    assert of(held.run.result(), "production").status == "complete"
    assert retries(events) == [
        f"PostgreSQL at {here.database.where}: 40P01 DeadlockDetectedError: deadlock detected"
    ]
    assert await told(here.database) == STORED
    await converges(here)


async def test_a_serialization_failure_costs_another_try(
    here: Site, database_dsn: str, events: Events
) -> None:
    await store_and_change(here)
    async with session(database_dsn) as admin:
        for statement in COUNT_TRIES:
            await admin.execute(statement)
        # As others' databases of PostgreSQL's kind do, with what they know of the row.
        await admin.execute("""
            CREATE OR REPLACE FUNCTION count_try() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('tries') < 3 THEN
                    RAISE EXCEPTION 'could not serialize access' USING
                        ERRCODE = '40001', DETAIL = 'secret', HINT = 'secret';
                END IF;
                RETURN NULL;
            END $$
        """)
    assert of(await here.run(), "production").status == "complete"
    assert await tries(here) == 3
    told_why = "40001 SerializationError: could not serialize access"
    assert retries(events) == [f"PostgreSQL at {here.database.where}: {told_why}"] * 2
    assert "secret" not in repr(events)
    assert await told(here.database) == STORED


async def test_a_statement_that_takes_too_long_is_not_begun_again(
    here: Site, database_dsn: str, events: Events
) -> None:
    await store_and_change(here)
    database = Database(database_dsn, statement_timeout_s=0.5)
    async with reaching(here, database) as there, holding(database_dsn, INVOICES):
        record = of(await there.run(), "production")
    assert (record.status, record.reason) == ("failed", "storage")
    assert record.error == (
        f"PostgreSQL at {here.database.where}: 57014 QueryCanceledError:"
        " canceling statement due to statement timeout"
    )
    assert retries(events) == []
    assert await told(here.database) == NOT_STORED
    await converges(here)


@pytest.fixture
async def limited(database_dsn: str) -> AsyncIterator[str]:
    """A role that may have one connection."""
    role = f"syncer_{uuid4().hex}"
    async with session(database_dsn) as admin:
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1")
        await admin.execute(
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}"
        )
        yield role
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP ROLE {role}")


@pytest.mark.slow
async def test_a_role_with_two_connections_stores_everything_and_with_one_nothing(
    here: Site, database_dsn: str, limited: str, events: Events
) -> None:
    for name in "abcd":
        here.add(name, 60)
    async with reaching(here, Database(dsn_as(limited, database_dsn))) as there:
        # One holds the locks, and none is left to work with.
        with pytest.raises(DatabaseUnreachable, match=rf'connections for role "{limited}"$'):
            await there.run()
        assert here.api.requests == []
        async with session(database_dsn) as admin:
            await admin.execute(f"ALTER ROLE {limited} CONNECTION LIMIT 2")
        async with holding(database_dsn, INVOICES) as rival:
            run = asyncio.create_task(there.run())
            await until(rival, WAITING, 1)
            await until_logged(events, RETRY)
        result = await run
    assert [record.status for record in result.records] == ["complete"] * 4
    told_why = f'too many connections for role "{limited}"'
    assert set(retries(events)) == {f"cannot reach PostgreSQL at {here.database.where}: {told_why}"}
    assert await here.rows("SELECT count(*) AS n FROM invoices") == [{"n": 240}]


async def go(crowd: Sequence[asyncpg.Connection]) -> None:
    for connection in crowd:
        await connection.close()


async def test_a_server_without_a_connection_left_is_waited_for(
    here: Site, cluster: Path, events: Events
) -> None:
    limits = ("max_connections = 8", "superuser_reserved_connections = 0")
    with own_server(cluster, *limits) as server:
        database = Database(server.dsn)
        async with reaching(here, database) as there:
            await store_and_change(there)
            crowd: list[asyncpg.Connection] = []

            async def crowd_in() -> None:
                crowd[:] = [await asyncpg.connect(server.dsn)]
                await terminate(crowd[0], POOL)
                with suppress(asyncpg.TooManyConnectionsError):
                    while True:
                        crowd.append(await asyncpg.connect(server.dsn))

            meanwhile(there, crowd_in)
            run = asyncio.create_task(there.run())
            await until_logged(events, RETRY)
            await go(crowd)
            assert of(await run, "production").status == "complete"
            assert set(retries(events)) == {
                f"cannot reach PostgreSQL at {database.where}: sorry, too many clients already"
            }
            assert await told(database) == STORED
            await crowd_in()
            with pytest.raises(DatabaseUnreachable, match=r"sorry, too many clients already$"):
                await there.run()
            await go(crowd)
            await converges(there)
