"""Two runs on one database: the older walk never overwrites the newer one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import structlog

from syncer.demo.faults import Hang
from syncer.errors import Reason
from syncer.store.engine import Database
from tests.integration.running import of
from tests.integration.storing import reaching
from tests.sessions import LOCKS, session, terminate

if TYPE_CHECKING:
    from syncer.store.journal import Trigger
    from tests.integration.running import Site


@pytest.mark.parametrize("trigger", ["command", "schedule"])
async def test_a_walk_that_lost_its_lock_is_not_stored_over_a_newer_one(
    here: Site, database_dsn: str, trigger: Trigger
) -> None:
    account = here.add("production", 3)
    await here.run()
    released = asyncio.Event()
    # What it will be told, once it is released, is how things stand now.
    account.script = lambda nth, _seen: Hang(released) if nth == 2 else None
    at = datetime.now(UTC) if trigger == "schedule" else None
    older = asyncio.create_task(here.run(trigger=trigger, tick=at))
    await here.api.wait_for_requests(2)
    async with session(database_dsn) as admin, reaching(here, Database(database_dsn)) as there:
        assert await terminate(admin, LOCKS) == 1
        account.invoices[0] = account.invoices[0] | {"description": "newer"}
        account.invoices.insert(0, account.invoices[0] | {"id": "in_new"})
        newer = await there.run(trigger=trigger, tick=at)
    assert of(newer, "production").status == "complete"
    tables = ("invoices", "invoice_history", "sync_state")
    stored = [await here.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    with structlog.testing.capture_logs() as events:
        released.set()
        record = of(await older, "production")
    assert (record.status, record.reason, record.inserted) == ("skipped", Reason.LOCKED, 0)
    assert [event["reason"] for event in events if event["event"] == "account.skipped"] == [
        "locked"
    ]
    assert [await here.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == stored
    statuses = await here.rows("""
        SELECT walk.status, reason, run.status AS run
        FROM account_syncs AS walk JOIN sync_runs AS run ON run.id = run_id
        ORDER BY run.started_at, run.status
    """)
    # The newer run had taken it for a dead one, and it has the last word all the same.
    assert [tuple(row.values()) for row in statuses] == [
        ("complete", None, "succeeded"),
        ("skipped", "locked", "succeeded"),
        ("complete", None, "succeeded"),
    ]
