"""Shorthand of the tests of the journal: outcomes, and how a run records them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from syncer.errors import Reason
from syncer.store.journal import (
    AccountRecord,
    PreviousState,
    begin_run,
    fence_account,
    record_account,
)
from syncer.store.state import SyncState, read_states
from tests.integration.stored import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.store.engine import Database


HOUR = timedelta(hours=1)
EARLY = datetime(2025, 1, 1, tzinfo=UTC)
LATE = datetime(2025, 1, 2, tzinfo=UTC)

COMPLETE = AccountRecord(
    run_id=UUID(int=0),
    account_id=ACCOUNT,
    account_name="production",
    status="complete",
    started_at=EARLY,
    pages=3,
    requests=5,
    retries=2,
    fetched=120,
    inserted=10,
    updated=20,
    unchanged=88,
    missing=1,
    rejected=2,
    total_reported=2**62,
)
FAILED = replace(
    COMPLETE,
    status="failed",
    reason=Reason.UNAVAILABLE,
    total_reported=None,
    error_kind="unavailable",
    error="the API is unavailable (HTTP 502)",
    http_status=502,
    cf_ray="8f1-AMS",
)


async def begin(
    database: Database, run_id: UUID | None = None, accounts: Sequence[str] = (ACCOUNT,)
) -> UUID:
    run_id = run_id or uuid4()
    async with database.transaction() as conn:
        await begin_run(
            conn, run_id=run_id, trigger="schedule", accounts=accounts, version="1.2", host="h"
        )
    return run_id


async def finish(
    conn: AsyncConnection, outcome: AccountRecord, *, stale_after: timedelta = HOUR
) -> PreviousState:
    """Record the outcome as a sync does, holding the account; how that stood before."""
    previous = PreviousState()
    if outcome.started_at is not None:
        previous = await fence_account(conn, outcome.account_id, outcome.started_at)
    await record_account(conn, outcome, stale_after=stale_after)
    return previous


async def record(
    database: Database, outcome: AccountRecord, *, stale_after: timedelta = HOUR
) -> PreviousState:
    """Record the outcome as that of a run of its own; how the account stood before."""
    run_id = await begin(database, accounts=[outcome.account_id])
    async with database.transaction() as conn:
        return await finish(conn, replace(outcome, run_id=run_id), stale_after=stale_after)


async def state(database: Database) -> SyncState:
    async with database.transaction() as conn:
        (only,) = await read_states(conn)
    return only
