"""What each role may do in the database, and may not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import pytest

from syncer.config.settings import RetentionSettings
from syncer.errors import DatabaseError
from syncer.store.engine import Database
from syncer.store.migrate import schema_state, upgrade
from syncer.store.privileges import NEEDED, PRUNING, missing_privileges, missing_tables
from syncer.store.tables import VIEWS, metadata
from tests.documents import blocks
from tests.integration.roles import documented_role, dsn_as
from tests.integration.running import of, site
from tests.integration.stored import opened
from tests.integration.test_documented_queries import sync_the_demo
from tests.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Site

LINK = "https://pay.example.test/invoice/acct_1/live_c2VjcmV0LWxpbms?s=ap"
# Of a view that nobody can write to, PostgreSQL says that before it looks at privileges.
REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)
TABLES = [*metadata.tables, *VIEWS]


@pytest.fixture
def daemon(database_dsn: str) -> Iterator[str]:
    with documented_role("syncer_daemon", database_dsn) as dsn:
        yield dsn


@pytest.fixture
def reader(database_dsn: str) -> Iterator[str]:
    with documented_role("reporting", database_dsn) as dsn:
        yield dsn


@dataclass(frozen=True)
class Separated:
    """A schema that its owner has migrated, and the daemon's way to it."""

    schema: str
    daemon: str
    admin: str


@pytest.fixture(params=["public", 'Cloud "Bills"'])
def separated(request: pytest.FixtureRequest, owned: tuple[str, str]) -> Iterator[Separated]:
    owner, admin = owned

    async def migrate() -> None:
        async with opened(Database(owner, schema=request.param)) as database:
            await upgrade(database)

    asyncio.run(migrate())
    with documented_role("syncer_daemon", admin, schema=request.param) as dsn:
        yield Separated(request.param, dsn, admin)


async def test_a_plain_owner_migrates_and_the_daemon_syncs_with_less(separated: Separated) -> None:
    async with (
        opened(Database(separated.daemon, schema=separated.schema)) as database,
        site(database) as here,
    ):
        async with database.transaction() as conn:
            assert await missing_privileges(conn) is None
            assert await missing_tables(conn) is None
        production = here.add("production", 60)
        production.invoices[1].pop("currency")
        assert (await here.run()).status == "succeeded"
        production.invoices[0]["status"] = "void"
        del production.invoices[5]
        assert (await here.run()).status == "succeeded"
        changes = await here.rows("SELECT change FROM invoice_history ORDER BY id")
        assert [row["change"] for row in changes] == ["changed", "missing"]
        assert await here.row("SELECT count(*) FROM rejected_invoices") == {"count": 1}


async def test_the_daemon_can_neither_delete_nor_rewrite_the_past(daemon: str) -> None:
    refused = [f"DELETE FROM {table}" for table in TABLES]
    refused += [f"TRUNCATE {table}" for table in metadata.tables]
    refused += [f"DROP TABLE {table} CASCADE" for table in metadata.tables]
    refused += [f"ALTER TABLE {table} ADD COLUMN more text" for table in metadata.tables]
    refused += [
        f"CREATE TRIGGER t AFTER INSERT ON {table} EXECUTE FUNCTION f()"
        for table in metadata.tables
    ]
    refused += [
        "UPDATE invoice_history SET change = 'missing'",
        "UPDATE rejected_invoices SET reason = ''",
        "UPDATE alembic_version SET version_num = ''",
        "INSERT INTO alembic_version VALUES ('')",
        "UPDATE sync_freshness SET account_name = ''",
        "CREATE TABLE more (id int)",
        "CREATE SCHEMA more",
        "CREATE ROLE more",
        "COPY invoices TO PROGRAM 'true'",
        "ALTER VIEW invoice_totals RENAME TO more",
    ]
    async with session(daemon) as connection:
        for statement in refused:
            with pytest.raises(REFUSALS):
                await connection.execute(statement)


def reading_queries() -> list[str]:
    found = [block for page in ("README.md", "docs/operations.md") for block in blocks(page)]
    return [
        block.text
        for block in found
        if block.language == "sql" and block.text.lstrip().startswith("SELECT")
    ]


async def test_readers_can_ask_what_the_pages_ask(here: Site, reader: str) -> None:
    await sync_the_demo(here)
    queries = reading_queries()
    of_changes = [query for query in queries if "invoice_history" in query]
    async with session(reader) as connection:
        for query in set(queries) - set(of_changes):
            await connection.fetch(query)
        for query in of_changes:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(query)
    assert (len(queries), len(of_changes)) == (5, 1)


async def test_readers_see_no_link_wherever_it_came_and_write_nothing(
    here: Site, reader: str, database_dsn: str
) -> None:
    production = here.add("production", 3)
    for invoice in production.invoices:
        invoice["invoice_pdf"] = LINK
        invoice["hosted_invoice_url"] = LINK
    production.invoices[2].pop("currency")
    assert (await here.run()).status == "succeeded"
    production.invoices[0]["status"] = "void"
    assert (await here.run()).status == "succeeded"

    async with session(database_dsn) as connection:
        holding = {table for table in TABLES if await holds(connection, table, LINK)}
    # What the page says: an undocumented field's link is in the history, and in the views of it.
    views = {"invoice_changes", "invoice_versions"}
    assert holding == {"invoices", "rejected_invoices", "invoice_history", *views}
    async with session(reader) as connection:
        for table in TABLES:
            if table in holding:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"SELECT * FROM {table}")
        for column in ("invoice_pdf", "extra", "invoice_pdf_at", "created_by", "invoices"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT {column} FROM invoices")
        for view in ("invoice_totals", "sync_freshness"):
            assert LINK not in str(await connection.fetch(f"SELECT * FROM {view}"))
        for table in TABLES:
            for statement in (f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
                with pytest.raises(REFUSALS):
                    await connection.execute(statement)
        for statement in (
            "UPDATE invoices SET status = ''",
            "UPDATE sync_state SET pages = 1",
            "UPDATE sync_freshness SET account_name = ''",
            "SELECT pg_read_file('/etc/passwd')",
            "CREATE TABLE more (id int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def holds(connection: asyncpg.Connection, table: str, text: str) -> bool:
    found: bool = await connection.fetchval(
        f"SELECT EXISTS (SELECT FROM {table} AS t WHERE strpos(to_jsonb(t)::text, $1) > 0)", text
    )
    return found


async def test_each_grant_that_is_missing_is_named_and_an_error_to_read(
    database_dsn: str, daemon: str
) -> None:
    role = daemon.partition("://")[2].partition(":")[0]
    async with (
        session(database_dsn) as admin,
        opened(Database(daemon)) as database,
        site(database) as here,
    ):
        here.add("production", 3)
        for table, privileges in NEEDED.items():
            for privilege in privileges:
                await admin.execute(f"REVOKE {privilege} ON {table} FROM {role}")
                async with database.transaction() as conn:
                    assert await missing_privileges(conn) == f"{privilege} on {table}"
                await admin.execute(f"GRANT {privilege} ON {table} TO {role}")
        await admin.execute(f"REVOKE INSERT, UPDATE ON invoices, sync_state FROM {role}")
        async with database.transaction() as conn:
            missing = await missing_privileges(conn)
        assert missing == "INSERT on invoices, sync_state; UPDATE on invoices, sync_state"
        await admin.execute(f"GRANT INSERT, UPDATE ON sync_state TO {role}")
        record = of(await here.run(), "production")
    assert (record.status, record.reason) == ("failed", "storage")
    assert str(record.error).endswith(
        "42501 InsufficientPrivilegeError: permission denied for table invoices;"
        " its user lacks a right, see docs/operations.md (for [retention], docs/retention.md)"
    )


async def test_each_table_that_is_gone_is_named_and_not_taken_for_granted(
    database_dsn: str, database: Database
) -> None:
    for table in set(NEEDED) - set(VIEWS):
        async with session(database_dsn) as admin:
            await admin.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
            async with database.transaction() as conn:
                assert await missing_tables(conn) == table
                lacking = "; ".join(f"{privilege} on {table}" for privilege in NEEDED[table])
                assert await missing_privileges(conn) == lacking
            await admin.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


async def test_a_schema_that_may_not_be_used_is_not_taken_for_an_empty_one(
    owned: tuple[str, str], database_dsn: str, daemon: str
) -> None:
    owner, admin = owned
    async with opened(Database(owner)) as database:
        await upgrade(database)
    async with session(admin) as connection:
        await connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    role = daemon.partition("://")[2].partition(":")[0]
    async with opened(Database(dsn_as(role, admin))) as database:
        for look in (schema_state, upgrade):
            with pytest.raises(DatabaseError, match=r"^the role \w+ may not use .*grant it USAGE"):
                await look(database)
    async with opened(Database(database_dsn, schema="not there")) as database:
        assert not (await schema_state(database)).at_head


async def test_a_first_load_does_without_copy_where_policies_apply(
    database_dsn: str, daemon: str
) -> None:
    async with (
        session(database_dsn) as admin,
        opened(Database(daemon)) as database,
        site(database) as here,
    ):
        await admin.execute("ALTER TABLE invoices ENABLE ROW LEVEL SECURITY")
        await admin.execute("CREATE POLICY everything ON invoices USING (true) WITH CHECK (true)")
        here.add("production", 3)
        result = await here.run()
        assert [(one.status, one.inserted) for one in result.records] == [("complete", 3)]


def test_check_knows_the_rights_for_all_that_may_be_pruned() -> None:
    assert set(PRUNING) == set(RetentionSettings.model_fields)
