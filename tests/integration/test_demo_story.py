"""The demo's story: it has one of everything, and is the same in every database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from syncer.demo.story import STORY_NOW
from syncer.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence


async def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def whole(dsn: str) -> dict[str, Sequence[object]]:
    """Every row of every table, in order; the program's version aside."""
    return {
        name: await rows(dsn, f"SELECT to_jsonb(t) - 'version' FROM {name} AS t ORDER BY 1")
        for name in metadata.tables
    }


async def fill_by_command(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "syncer.demo.fill", *arguments, stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.mark.slow
async def test_the_story_is_the_same_each_time(filled_dsn: str, empty_dsn: str) -> None:
    code, errors = await fill_by_command(empty_dsn)
    assert (code, errors) == (0, "")
    told = await whole(empty_dsn)
    assert told == await whole(filled_dsn)
    assert [len(told[name]) for name in ("invoices", "sync_runs", "sync_state")] == [148, 7, 8]


@pytest.mark.slow
async def test_the_story_can_end_now(empty_dsn: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    code, errors = await fill_by_command(empty_dsn, "--until-now")
    assert (code, errors) == (0, "")
    ((ended,),) = await rows(empty_dsn, "SELECT max(started_at) FROM sync_runs")
    assert before <= ended + timedelta(hours=1) <= datetime.now(UTC)
    fresh = "SELECT account_name FROM sync_freshness WHERE NOT stale ORDER BY 1"
    names = ["kuwait", "production", "sandbox", "staging", "tokyo"]
    assert await rows(empty_dsn, fresh) == [(name,) for name in names]


async def test_a_database_with_runs_is_left_as_it_is(filled_dsn: str) -> None:
    before = await whole(filled_dsn)
    code, errors = await fill_by_command(filled_dsn)
    assert code == 3
    assert errors == (
        "fill: the database has runs already: give one that is empty, such as from `createdb`\n"
    )
    assert await whole(filled_dsn) == before


async def test_every_time_is_of_the_story(filled_dsn: str) -> None:
    columns = await rows(
        filled_dsn,
        "SELECT table_name, column_name FROM information_schema.columns JOIN"
        " information_schema.tables USING (table_schema, table_name) WHERE table_schema = 'public'"
        " AND data_type LIKE 'timestamp%' AND table_type = 'BASE TABLE'",
    )
    assert len(columns) > 15
    for table, column in columns:
        late = f"SELECT {column} FROM {table} WHERE {column} > '{STORY_NOW.isoformat()}'"
        assert await rows(filled_dsn, late) == [], (table, column)


async def test_the_story_has_one_of_everything(filled_dsn: str) -> None:
    async def found(query: str) -> set[object]:
        return {value for (value,) in await rows(filled_dsn, query)}

    assert await found("SELECT currency FROM invoices") == {"usd", "eur", "jpy", "kwd"}
    statuses = {"draft", "open", "paid", "void", "uncollectible"}
    assert await found("SELECT status FROM invoices") == statuses
    assert await found("SELECT invoice_origin FROM invoices") == {"auto", "manual"}
    changes = {"changed", "missing", "reappeared"}
    assert await found("SELECT change FROM invoice_history") == changes
    assert await found("SELECT last_status FROM sync_state") == {"complete", "incomplete", "failed"}
    reasons = {None, "access_denied", "fewer_than_reported"}
    assert await found("SELECT reason FROM account_syncs") == reasons
    assert await found("SELECT reason FROM rejected_invoices") == {"currency is missing"}
    for some in (
        "invoices WHERE amount_due < 0",
        "invoices WHERE amount_due - amount_paid <> amount_remaining",
        "invoices WHERE status = 'open' AND attempt_count > 1",
        "invoices WHERE missing_since IS NOT NULL",
        "invoices WHERE extra IS NOT NULL",
        "sync_state WHERE last_complete_at IS NULL",
        "sync_state WHERE last_complete_at < last_started_at",
        "account_syncs WHERE retries > 0",
        "invoices WHERE account_id NOT IN (SELECT account_id FROM sync_state)",
    ):
        assert await rows(filled_dsn, f"SELECT 1 FROM {some}") != [], some
