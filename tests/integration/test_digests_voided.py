"""Rows that anybody else changes: their account's digests are void, whoever it was and could do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from tests.integration.roles import PASSWORD, dsn_as
from tests.integration.running import of, site
from tests.integration.stored import opened
from tests.servers import administer
from tests.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Site

SCHEMAS = ["public", 'Cloud "Bills"']


def quoted(schema: str) -> str:
    return '"' + schema.replace('"', '""') + '"'


@pytest.fixture
def editor(database_dsn: str) -> Iterator[str]:
    """A role that may correct invoices, and read them, and nothing else."""
    name = f"syncer_test_{uuid4().hex}"
    administer(database_dsn, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    administer(database_dsn, f"GRANT SELECT, UPDATE ON invoices TO {name}")
    try:
        yield dsn_as(name, database_dsn)
    finally:
        administer(database_dsn, f"DROP OWNED BY {name}")
        administer(database_dsn, f"DROP ROLE {name}")


async def versions(here: Site) -> list[int]:
    return [row["version"] for row in await here.rows("SELECT version FROM account_digests")]


async def test_who_may_change_invoices_need_not_know_of_digests(here: Site, editor: str) -> None:
    account = here.add("production", 3)
    await here.run()
    async with session(editor) as person:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await person.execute("UPDATE account_digests SET version = 7")
        assert await person.execute("UPDATE invoices SET status = 'mine'") == "UPDATE 3"
    assert await versions(here) == [0]
    assert of(await here.run(), "production").updated == 3
    assert len(account.invoices) == 3


async def test_a_temporary_table_does_not_stand_in_for_the_digests(here: Site, editor: str) -> None:
    here.add("production", 3)
    await here.run()
    async with session(editor) as person:
        await person.execute("""
            CREATE TEMPORARY TABLE account_digests (account_id text, version int);
            CREATE TEMPORARY TABLE caught (who text);
            GRANT ALL ON account_digests, caught TO PUBLIC;
            CREATE FUNCTION pg_temp.catch() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO pg_temp.caught VALUES (current_user); RETURN NULL; END $$;
            CREATE TRIGGER catch BEFORE UPDATE ON account_digests
                FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.catch();
        """)
        await person.execute("UPDATE invoices SET status = 'mine'")
        assert await person.fetch("SELECT who FROM caught") == []
    assert await versions(here) == [0]


async def test_nobody_else_can_have_his_own_table_void_digests(here: Site, editor: str) -> None:
    here.add("production", 3)
    await here.run()
    async with session(editor) as person:
        await person.execute("CREATE TEMPORARY TABLE mine (account_id text)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await person.execute("""
                CREATE TRIGGER mine AFTER TRUNCATE ON mine
                FOR EACH STATEMENT EXECUTE FUNCTION forget_account_digests()
            """)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET status = 'x'", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_digests_are_void_in_whatever_schema_and_after_it_was_renamed(
    empty_dsn: str, schema: str, statement: str
) -> None:
    async with opened(Database(empty_dsn, schema=schema)) as database:
        await upgrade(database)
        async with site(database) as here:
            here.add("production", 3)
            await here.run()
            async with session(empty_dsn) as admin:
                await admin.execute(statement.format(f"{quoted(schema)}.invoices"))
            assert await versions(here) == [0]
    async with session(empty_dsn) as admin:
        await admin.execute(f"ALTER SCHEMA {quoted(schema)} RENAME TO renamed")
    async with opened(Database(empty_dsn, schema="renamed")) as database, site(database) as here:
        here.add("production", 3)
        assert of(await here.run(), "production").status == "complete"
        assert await here.rows("SELECT version FROM account_digests WHERE version > 0") != []
        async with session(empty_dsn) as admin:
            await admin.execute(statement.format("renamed.invoices"))
        assert await versions(here) == [0]
        assert of(await here.run(), "production").status == "complete"
        row = await here.row("SELECT count(*) AS n FROM invoices WHERE status <> 'x'")
        assert row == {"n": 3}
