"""Rows that anybody else changes: their account's digests are void, whoever it was and could do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from syncer.digests import VERSION
from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from tests.integration.roles import PASSWORD, dsn_as
from tests.integration.running import of, site
from tests.integration.stored import opened
from tests.integration.unseen import UNSEEN, compared, synced, unnoticed
from tests.servers import administer
from tests.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Site

SCHEMAS = ["public", 'Cloud "Bills"']


ONE = "(SELECT min(id) FROM invoices WHERE account_id = '{account}')"
ADDED = """
    INSERT INTO invoices (
        account_id, id, currency, amount_due, amount_paid, amount_remaining, first_seen_at,
        changed_at
    )
    VALUES ('{account}', 'in_mine', 'usd', 1, 1, 1, now(), now())
"""


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


@pytest.mark.parametrize(
    ("statement", "counts"),
    [
        (f"UPDATE invoices SET description = 'mine' WHERE id = {ONE}", (0, 1, 59, 0)),
        (f"UPDATE invoices SET amount_due = amount_due + 1 WHERE id = {ONE}", (0, 1, 59, 0)),
        (f"UPDATE invoices SET missing_since = now() WHERE id = {ONE}", (0, 1, 59, 0)),
        (f"UPDATE invoices SET id = 'in_mine' WHERE id = {ONE}", (1, 0, 59, 1)),
        (f"UPDATE invoices SET account_id = 'mine' WHERE id = {ONE}", (1, 0, 59, 0)),
        (f"DELETE FROM invoices WHERE id = {ONE}", (1, 0, 59, 0)),
        ("DELETE FROM invoices WHERE account_id = '{account}'", (60, 0, 0, 0)),
        ("TRUNCATE invoices", (60, 0, 0, 0)),
        (ADDED, (0, 0, 60, 1)),
        (
            # As many as before.
            f"WITH gone AS (DELETE FROM invoices WHERE id = {ONE}) {ADDED}",
            (1, 0, 59, 1),
        ),
        (
            f"""INSERT INTO invoices SELECT * FROM invoices WHERE id = {ONE}
            ON CONFLICT (account_id, id) DO UPDATE SET status = 'mine'""",
            (0, 1, 59, 0),
        ),
        ("DELETE FROM account_digests", (0, 0, 60, 0)),
        ("UPDATE account_digests SET pages = ''", (0, 0, 60, 0)),
        ("UPDATE account_digests SET pages = '\\x00'", (0, 0, 60, 0)),
    ],
)
async def test_whatever_anybody_does_to_the_rows_is_noticed_at_the_next_sync(
    here: Site, statement: str, counts: tuple[int, ...]
) -> None:
    account = here.add("production", 60)
    here.add("other", 60)
    await here.run()
    await unnoticed(here, UNSEEN)
    await here.execute(statement.replace("{account}", here.accounts["production"].id))
    inserted, updated, unchanged, missing = counts
    asked = len(here.api.requests)
    # All of them were spoilt unnoticed, so that all that were to be unchanged are updated.
    assert await synced(here) == (inserted, updated + unchanged, 0, missing)
    assert len(here.api.requests) - asked == 4
    assert await compared(here) >= {one["id"] for one in account.invoices}
    if "TRUNCATE" not in statement and "account_digests" not in statement:
        assert await compared(here, "other") == set()
    assert await synced(here) == (0, 0, 60, 0)


async def test_what_slips_past_the_trigger_is_found_by_the_next_full_comparison(here: Site) -> None:
    here.add("production", 60)
    await here.run()
    await here.execute("ALTER TABLE invoices DISABLE TRIGGER invoices_forget_on_update")
    await here.execute("UPDATE invoices SET description = 'mine'")
    await here.execute("ALTER TABLE invoices ENABLE TRIGGER invoices_forget_on_update")
    assert await synced(here) == (0, 0, 60, 0)
    await here.execute("UPDATE account_digests SET compared_at = now() - interval '23 hours'")
    assert await synced(here) == (0, 0, 60, 0)
    await here.execute("UPDATE account_digests SET compared_at = now() - interval '25 hours'")
    assert await synced(here) == (0, 60, 0, 0)
    row = await here.row(
        "SELECT compared_at > now() - interval '1 hour' AS anew, version FROM account_digests"
    )
    assert row == {"anew": True, "version": VERSION}
