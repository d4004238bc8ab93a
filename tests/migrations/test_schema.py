"""What the migrations leave is what the code believes to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint

from syncer.errors import DatabaseError
from syncer.invoice import Invoice
from syncer.store.migrate import migration_connection
from syncer.store.rows import BOOKKEEPING
from syncer.store.tables import VIEWS, invoices, metadata
from tests.integration.stored import change, fetch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from syncer.store.engine import Database


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_the_tables_are_those_of_the_metadata(database: Database) -> None:
    async with migration_connection(database) as conn:
        assert await conn.run_sync(differences) == []


async def test_a_difference_would_be_seen(database: Database) -> None:
    await change(database, "COMMENT ON COLUMN invoices.status IS 'something else'")
    await change(database, "ALTER TABLE sync_state ALTER pages DROP DEFAULT")
    async with migration_connection(database) as conn:
        assert len(await conn.run_sync(differences)) == 2


async def test_checks_are_those_of_the_metadata(database: Database) -> None:
    named = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    found = await fetch(
        database,
        "SELECT conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = current_schema()::regnamespace",
    )
    assert {row["conname"] for row in found} == named
    assert len(named) == 6


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sync_runs SET status = 'odd'",
        "UPDATE sync_runs SET trigger = 'odd'",
        "UPDATE account_syncs SET status = 'odd'",
        "UPDATE sync_state SET last_status = 'skipped'",
        "UPDATE invoice_history SET change = 'appeared'",
    ],
)
async def test_words_outside_their_list_are_refused(database: Database, statement: str) -> None:
    await change(
        database,
        """WITH run AS (
            INSERT INTO sync_runs (id, trigger, started_at, status, version, host)
            VALUES (gen_random_uuid(), 'start', now(), 'running', '1', 'h') RETURNING id
        ), walk AS (
            INSERT INTO account_syncs (run_id, account_id) SELECT id, 'a' FROM run
        ), state AS (
            INSERT INTO sync_state (account_id, account_name) VALUES ('a', 'a')
        )
        INSERT INTO invoice_history (account_id, invoice_id, run_id, observed_at, change, before)
        VALUES ('a', 'in_1', gen_random_uuid(), now(), 'changed', '{}')""",
    )
    with pytest.raises(DatabaseError, match=r"23514"):
        await change(database, statement)


async def test_views_are_those_that_the_code_names(database: Database) -> None:
    found = await fetch(
        database, "SELECT viewname FROM pg_views WHERE schemaname = current_schema()"
    )
    assert {row["viewname"] for row in found} == set(VIEWS)


async def test_every_relation_and_every_column_says_what_it_is(database: Database) -> None:
    undescribed = """
        SELECT relname, attname, relkind
        FROM pg_class
        LEFT JOIN LATERAL (
            SELECT attnum, attname FROM pg_attribute
            WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
            UNION ALL SELECT 0, NULL
        ) AS attribute ON true
        LEFT JOIN pg_description
            ON objoid = pg_class.oid AND objsubid = attnum AND classoid = 'pg_class'::regclass
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'p', 'm')
            AND coalesce(description, '') = ''"""
    assert await fetch(database, undescribed) == []
    await change(database, "CREATE VIEW unsaid AS SELECT 1 AS one")
    assert len(await fetch(database, undescribed)) == 2


async def test_every_function_that_is_to_be_called_says_what_it_does(database: Database) -> None:
    functions = """
        SELECT proname, obj_description(oid, 'pg_proc') AS description FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prorettype <> 'trigger'::regtype"""
    (function,) = await fetch(database, functions)
    assert function["proname"] == "major_per_minor"
    assert "0.001 for KWD" in function["description"]


async def test_invoices_keep_room_on_their_pages(database: Database) -> None:
    (row,) = await fetch(
        database, "SELECT reloptions FROM pg_class WHERE oid = 'invoices'::regclass"
    )
    assert row["reloptions"] == ["fillfactor=90"]


def test_every_field_of_an_invoice_has_its_column() -> None:
    assert set(invoices.c.keys()) == {*Invoice.__struct_fields__, *BOOKKEEPING}
