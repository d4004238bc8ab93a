"""Transactions: what they set, what they survive, and how the driver's errors are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import text

from syncer import __version__
from syncer.errors import DatabaseError, DatabaseUnreachable, SchemaMismatch, Superseded
from syncer.store.engine import Database
from syncer.store.journal import fence_account
from tests.integration.roles import PASSWORD, dsn_as
from tests.integration.stored import ACCOUNT, change, fetch, invoice, merge, opened, told
from tests.servers import name_of
from tests.sessions import WAITING, holding, session, until

SECRET = "https://pdf.example/very-secret"


async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    await change(database, "INSERT INTO sync_state (account_id, account_name) VALUES ('a', 'b')")
    assert await fetch(database, "SELECT account_id, pages FROM sync_state") == [
        {"account_id": "a", "pages": 0}
    ]


@pytest.mark.parametrize("error", [Superseded("newer"), ZeroDivisionError("of ours")])
async def test_any_exception_rolls_back_and_passes_through(
    database: Database, error: Exception
) -> None:
    async def fail() -> None:
        async with database.transaction() as conn:
            await conn.execute(
                text("INSERT INTO sync_state (account_id, account_name) VALUES ('a', 'b')")
            )
            raise error

    with pytest.raises(type(error)) as caught:
        await fail()
    assert caught.value is error
    assert await fetch(database, "SELECT 1 FROM sync_state") == []


async def test_a_cancelled_transaction_rolls_back_and_frees_its_connection(
    database_dsn: str,
) -> None:
    async with opened(Database(database_dsn, pool_size=1)) as database:
        asleep = asyncio.Event()

        async def wait_for_ever() -> None:
            async with database.transaction() as conn:
                await conn.execute(
                    text("INSERT INTO sync_state (account_id, account_name) VALUES ('a', 'b')")
                )
                asleep.set()
                await conn.execute(text("SELECT pg_sleep(1000)"))

        task = asyncio.create_task(wait_for_ever())
        await asleep.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await fetch(database, "SELECT 1 FROM sync_state") == []


async def test_what_waits_on_the_server_ends_when_it_is_cancelled(
    database: Database, database_dsn: str
) -> None:
    async def wait() -> None:
        async with database.transaction() as conn:
            await fence_account(conn, ACCOUNT, datetime.now(UTC))

    await wait()
    async with holding(database_dsn, "SELECT FROM sync_state FOR UPDATE") as rival:
        task = asyncio.create_task(wait())
        await until(rival, WAITING, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with session(database_dsn) as other:
            assert await other.fetchval(WAITING) == 0


async def test_a_transaction_begins_with_its_settings(database_dsn: str) -> None:
    settings = text("""SELECT current_setting('search_path'), current_setting('lock_timeout'),
        current_setting('statement_timeout'), current_setting('TimeZone'),
        current_setting('idle_in_transaction_session_timeout'),
        current_setting('transaction_isolation'), current_setting('application_name')""")
    async with opened(Database(database_dsn)) as database:
        statement = f"ALTER DATABASE {name_of(database_dsn)} SET default_transaction_isolation"
        await change(database, f"{statement} = 'serializable'")
    given = Database(database_dsn, schema="public", lock_timeout_s=1.5, statement_timeout_s=7)
    async with opened(given) as database, database.transaction() as conn:
        row = (await conn.execute(settings)).one()
    application = f"syncer/{__version__}"
    assert tuple(row) == ("public", "1500ms", "7s", "UTC", "1min", "read committed", application)


async def test_no_statement_is_prepared_by_name(database: Database) -> None:
    # A pooler in transaction mode may give the next transaction another server connection.
    await merge(database, [invoice("in_1")])
    assert await fetch(database, "SELECT name FROM pg_prepared_statements") == []


@pytest.mark.parametrize("schema", ['Invoices of "ACME"', "select", "UPPER", "with.dot, comma"])
async def test_the_schema_may_have_any_name(database_dsn: str, schema: str) -> None:
    quoted = '"' + schema.replace('"', '""') + '"'
    async with opened(Database(database_dsn)) as database:
        await change(database, f"CREATE SCHEMA {quoted}")
    async with opened(Database(database_dsn, schema=schema)) as database:
        await change(database, "CREATE TABLE here (x int)")
        (row,) = await fetch(
            database,
            """SELECT current_schema(), nspname FROM pg_class
            JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'here'""",
        )
        assert row == {"current_schema": schema, "nspname": schema}
        with pytest.raises(SchemaMismatch, match=r'relation "invoices" does not exist'):
            await fetch(database, "SELECT 1 FROM invoices")


async def test_a_terminated_backend_is_a_lost_connection(database: Database) -> None:
    async def lose() -> None:
        async with database.transaction() as conn:
            pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await change(database, "SELECT pg_terminate_backend(:pid, 10000)", pid=pid)
            await conn.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnreachable) as caught:
        await lose()
    message = str(caught.value)
    assert message.startswith(f"cannot reach PostgreSQL at {database.where}: ")
    assert "\n" not in message


async def test_a_restarted_server_costs_nothing(database_dsn: str, database: Database) -> None:
    async with database.transaction() as first, database.transaction() as second:
        pids = [
            (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            for conn in (first, second)
        ]
    async with opened(Database(database_dsn)) as other:
        for pid in pids:
            await change(other, "SELECT pg_terminate_backend(:pid, 10000)", pid=pid)
    assert await fetch(database, "SELECT 1 AS one") == [{"one": 1}]


async def test_a_violated_constraint_tells_no_row(database: Database) -> None:
    await merge(database, [invoice("in_1", invoice_pdf=SECRET)])
    statements = {
        "23502": "UPDATE invoices SET currency = NULL",
        "23505": "INSERT INTO invoices SELECT * FROM invoices",
        "23514": """INSERT INTO invoice_history
            (account_id, invoice_id, run_id, observed_at, change, before)
            SELECT account_id, id, gen_random_uuid(), now(), 'odd', to_jsonb(invoices)
            FROM invoices""",
    }
    for sqlstate, statement in statements.items():
        with pytest.raises(DatabaseError) as caught:
            await change(database, statement)
        message = str(caught.value)
        assert message.startswith(f"PostgreSQL at {database.where}: {sqlstate} ")
        assert "violates" in message
        assert SECRET not in told(caught.value)
        assert ACCOUNT not in told(caught.value)


async def test_a_value_that_does_not_fit_is_not_told(database: Database) -> None:
    with pytest.raises(DatabaseError) as caught:
        await fetch(database, "SELECT cast(cast(:x AS text) AS numeric)", x=SECRET)
    assert str(caught.value) == (
        f"PostgreSQL at {database.where}: 22P02 InvalidTextRepresentationError"
    )
    assert SECRET not in told(caught.value)
    with pytest.raises(DatabaseError) as caught:
        await fetch(database, "SELECT cast(:x AS integer)", x=SECRET)
    assert str(caught.value) == f"PostgreSQL at {database.where}: 22000 DataError"
    assert SECRET not in told(caught.value)


async def test_a_slow_statement_is_stopped(database_dsn: str) -> None:
    async with opened(Database(database_dsn, statement_timeout_s=0.02)) as database:
        with pytest.raises(DatabaseError, match=r"57014 .*due to statement timeout$") as caught:
            await fetch(database, "SELECT pg_sleep(1000)")
    assert not isinstance(caught.value, DatabaseUnreachable)


async def test_an_answer_is_not_waited_for_longer_than_asked(database_dsn: str) -> None:
    connection = await Database(database_dsn).connect(answer_timeout_s=0.02)
    try:
        with pytest.raises(TimeoutError):
            await connection.fetch("SELECT pg_sleep(1000)")
    finally:
        connection.terminate()


async def test_a_lock_is_not_waited_for_long(database_dsn: str, database: Database) -> None:
    await merge(database, [invoice("in_1")])
    async with (
        opened(Database(database_dsn, lock_timeout_s=0.02)) as impatient,
        database.transaction() as conn,
    ):
        await conn.execute(text("UPDATE invoices SET status = 'paid'"))
        with pytest.raises(DatabaseError, match=r"55P03 .*due to lock timeout$"):
            await change(impatient, "UPDATE invoices SET status = 'void'")


async def test_a_pool_that_stays_in_use_is_told(database_dsn: str) -> None:
    given = Database(database_dsn, pool_size=1, statement_timeout_s=0.02)
    async with opened(given) as database, database.transaction():
        with pytest.raises(DatabaseError, match=r"every connection of the pool stayed in use$"):
            await fetch(database, "SELECT 1")


async def test_a_read_only_server_is_told(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as conn:
            await conn.execute(text("SET TRANSACTION READ ONLY"))
            await conn.execute(text("UPDATE sync_state SET pages = 1"))

    with pytest.raises(DatabaseError, match=r"25006 .*cannot execute UPDATE in a read-only"):
        await write()


async def test_a_missing_table_or_column_asks_for_a_migration(database: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"42P01 .*; run `syncer migrate`$"):
        await fetch(database, "SELECT 1 FROM elsewhere")
    with pytest.raises(SchemaMismatch, match=r"42703 .*; run `syncer migrate`$"):
        await fetch(database, "SELECT elsewhere FROM invoices")


async def test_an_error_still_shows_where_the_statement_was(database: Database) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        await fetch(database, "SELECT 1 FROM elsewhere")
    assert "tests/integration/stored.py" in told(caught.value)
    assert "in rows_of" in told(caught.value)


async def test_a_role_without_a_connection_left_is_unreachable(
    database_dsn: str, database: Database
) -> None:
    role = f"syncer_{uuid4().hex}"
    await change(database, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0 PASSWORD '{PASSWORD}'")
    try:
        limited = Database(dsn_as(role, database_dsn))
        with pytest.raises(DatabaseUnreachable, match=rf'too many connections for role "{role}"$'):
            await limited.connect()
    finally:
        await change(database, f"DROP ROLE {role}")


async def test_a_password_is_asked_for_at_each_connection(database_dsn: str) -> None:
    asked = 0

    def password() -> str:
        nonlocal asked
        asked += 1
        return urlsplit(database_dsn).password or "any"

    async with opened(Database(database_dsn, password=password)) as database:
        for _ in range(2):
            connection = await database.connect()
            await connection.close()
    assert asked >= 2
