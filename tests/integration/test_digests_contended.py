"""Somebody changes rows while their account is walked or stored: no digest hides what he did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.integration.running import Site, of
from tests.integration.storing import AT_THE_JOURNAL, held_up, meanwhile, store_and_change
from tests.sessions import PATIENCE_S, WAITING, holding, session, until

if TYPE_CHECKING:
    import asyncpg

# When the rows of invoices are about to be compared.
AT_THE_MERGE = "LOCK TABLE invoice_history IN SHARE ROW EXCLUSIVE MODE"

# An invoice that the API serves as it is stored.
ONE = "(SELECT max(id) FROM invoices WHERE description IS DISTINCT FROM 'edited')"
SPOILT = f"UPDATE invoices SET description = 'spoilt' WHERE id = {ONE}"

# How things stand with the digests when the walk begins.
KNOWN = "SELECT 1"
VOID = "UPDATE account_digests SET version = 0"
ABSENT = "DELETE FROM account_digests"


async def spoilt(here: Site) -> int:
    row = await here.row("SELECT count(*) AS n FROM invoices WHERE description = 'spoilt'")
    return int(row["n"])


async def until_done_or_waiting(
    task: asyncio.Task[str], who: int, admin: asyncpg.Connection
) -> None:
    """Wait until the statement of this session is through, or is held up by somebody's lock."""
    async with asyncio.timeout(PATIENCE_S):
        while not task.done():
            query = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1"
            if await admin.fetchval(query, who) == "Lock":
                return


@pytest.mark.parametrize("digests", [KNOWN, VOID, ABSENT])
@pytest.mark.parametrize("stage", [AT_THE_MERGE, AT_THE_JOURNAL])
async def test_a_change_while_a_walk_is_being_stored_is_seen_by_the_next(
    here: Site, database_dsn: str, stage: str, digests: str
) -> None:
    await store_and_change(here)
    await here.execute(digests)
    async with session(database_dsn) as person, session(database_dsn) as admin:
        async with held_up(here, database_dsn, stage) as held:
            statement = asyncio.create_task(person.execute(SPOILT))
            await until_done_or_waiting(statement, person.get_server_pid(), admin)
        assert await statement == "UPDATE 1"
    assert of(held.run.result(), "production").status == "complete"
    assert of(await here.run(), "production").status == "complete"
    assert await spoilt(here) == 0


@pytest.mark.parametrize("digests", [KNOWN, VOID, ABSENT])
async def test_a_change_that_is_not_yet_committed_is_seen_by_the_next(
    here: Site, database_dsn: str, digests: str
) -> None:
    await store_and_change(here)
    await here.execute(digests)
    async with holding(database_dsn, SPOILT) as person:
        run = asyncio.create_task(here.run())
        await until(person, WAITING, 1)
        await person.execute("COMMIT")
        assert of(await run, "production").status == "complete"
    assert of(await here.run(), "production").status == "complete"
    assert await spoilt(here) == 0


async def test_what_is_added_while_a_walk_is_being_stored_is_found_by_the_next(
    here: Site, database_dsn: str
) -> None:
    await store_and_change(here)
    async with (
        session(database_dsn) as person,
        held_up(here, database_dsn, AT_THE_JOURNAL) as held,
    ):
        added = await person.execute("""
            INSERT INTO invoices SELECT made.* FROM invoices, LATERAL jsonb_populate_record(
                invoices, '{"id": "in_nobodys"}'
            ) AS made LIMIT 1
        """)
        assert added == "INSERT 0 1"
    assert of(held.run.result(), "production").status == "complete"
    assert of(await here.run(), "production").missing == 1


@pytest.mark.parametrize("has_news", [False, True])
async def test_a_walk_whose_rows_are_changed_meanwhile_is_walked_again_and_compared(
    here: Site, *, has_news: bool
) -> None:
    await store_and_change(here)
    if not has_news:
        await here.run()
    asked = len(here.api.requests)
    meanwhile(here, lambda: here.execute(SPOILT))
    with structlog.testing.capture_logs() as events:
        result = await here.run()
    record = of(result, "production")
    assert (record.status, record.updated) == ("complete", 2 if has_news else 1)
    assert await spoilt(here) == 0
    # Two pages, twice.
    assert record.requests == len(here.api.requests) - asked == 4
    assert [event["event"] for event in events if "account" in event["event"]] == ["account.synced"]
    assert (await here.run()).status == "succeeded"


async def test_changes_during_every_walk_leave_no_sync_undone(here: Site) -> None:
    await store_and_change(here)
    for _ in range(3):
        meanwhile(here, lambda: here.execute(SPOILT))
        assert of(await here.run(), "production").status == "complete"
        assert await spoilt(here) == 0
