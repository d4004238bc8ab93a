"""What one run puts down about its accounts, so that the journal and our own words agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncer.cloudflare.walk import Walk
from syncer.errors import Reason
from syncer.store.invoices import MergeCounts
from syncer.store.journal import (
    AccountRecord,
    PreviousState,
    fence_account,
    record_account,
    recorded,
    skip_accounts,
)
from syncer.store.retries import repeat
from syncer.sync.outcome import EXPLANATIONS, Outcome, plain_outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.account import Account
    from syncer.errors import DatabaseError
    from syncer.stop import Stop
    from syncer.store.engine import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Records the accounts of one run; `stale_after` is for the view of freshness.

    `unrecorded` holds the outcomes that the database would not take yet.
    """

    run_id: UUID
    database: Database
    stale_after: timedelta
    stop: Stop
    unrecorded: list[AccountRecord] = field(default_factory=list)

    async def commit(
        self, account: Account, write: Callable[[AsyncConnection], Awaitable[AccountRecord]]
    ) -> AccountRecord:
        """Write in a transaction, again where that may help, and say what the journal holds then.

        Where the answer to a commit is lost, only the journal knows whether it took effect.
        """

        async def work() -> AccountRecord:
            async with self.database.transaction() as conn:
                done = await recorded(conn, self.run_id, account.id, account.name)
                return done or await write(conn)

        return await repeat(work, sleep=self.stop.pause)

    async def record(self, conn: AsyncConnection, record: AccountRecord) -> PreviousState:
        """Record an outcome in the caller's transaction; how the account stood before."""
        return await record_account(conn, record, stale_after=self.stale_after)

    async def skip(self, account: Account, reason: Reason) -> AccountRecord:
        """Record that the account was not walked."""
        record = self.record_of(account, plain_outcome("skipped", reason))

        async def write(conn: AsyncConnection) -> AccountRecord:
            await self.record(conn, record)
            return record

        return await self.commit(account, write)

    async def fail(
        self, account: Account, started_at: datetime, walk: Walk, outcome: Outcome
    ) -> AccountRecord:
        """Record that nothing of the walk is stored."""
        record = self.record_of(account, outcome, started_at=started_at, walk=walk)

        async def write(conn: AsyncConnection) -> AccountRecord:
            await fence_account(conn, account.id, started_at)
            await self.record(conn, record)
            return record

        return await self.commit(account, write)

    def leave_out(self, account: Account) -> AccountRecord:
        """Leave an account whose turn came too late to the end of the run.

        All of them are recorded at once then: each on its own, a thousand would outlast the drain.
        """
        return self.record_of(account, plain_outcome("skipped", Reason.INTERRUPTED))

    def postpone(self, account: Account, error: DatabaseError) -> AccountRecord:
        """Keep a failure that could not even be recorded for the end of the run."""
        outcome = plain_outcome("failed", Reason.STORAGE, str(error))
        record = self.record_of(account, outcome)
        self.unrecorded.append(record)
        return record

    async def record_postponed(self, conn: AsyncConnection) -> None:
        """Record what was postponed or left out, in the caller's transaction."""
        for record in self.unrecorded:
            # Perhaps it was, and only the answer was lost.
            if await recorded(conn, self.run_id, record.account_id, record.account_name) is None:
                await self.record(conn, record)
        if self.stop.requested:
            reason = Reason.INTERRUPTED
            await skip_accounts(conn, self.run_id, reason=reason, error=EXPLANATIONS[reason])

    def record_of(
        self,
        account: Account,
        outcome: Outcome,
        *,
        started_at: datetime | None = None,
        walk: Walk | None = None,
        counts: MergeCounts | None = None,
    ) -> AccountRecord:
        """Put together what there is to be said of an account."""
        walk = walk or Walk()
        counts = counts or MergeCounts()
        return AccountRecord(
            run_id=self.run_id,
            account_id=account.id,
            account_name=account.name,
            status=outcome.status,
            reason=outcome.reason,
            started_at=started_at,
            pages=walk.pages,
            requests=walk.tally.requests,
            retries=walk.tally.retries,
            fetched=len(walk.invoices) + len(walk.rejections),
            inserted=counts.inserted,
            updated=counts.updated,
            unchanged=counts.unchanged,
            missing=counts.missing,
            rejected=counts.rejected,
            total_reported=walk.total,
            error_kind=outcome.error_kind,
            error=outcome.error,
            http_status=outcome.http_status,
            cf_ray=outcome.cf_ray,
        )
