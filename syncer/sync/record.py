"""What one run puts down about its accounts, so that the journal and our own words agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from syncer.cloudflare.walk import Walk
from syncer.errors import Reason, Superseded
from syncer.store.invoices import MergeCounts
from syncer.store.journal import (
    AccountRecord,
    fence_account,
    record_account,
    recorded,
    skip_accounts,
)
from syncer.store.retries import repeat
from syncer.sync.outcome import EXPLANATIONS, Outcome, plain_outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.account import Account
    from syncer.errors import DatabaseError
    from syncer.stop import Stop
    from syncer.store.engine import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Records the accounts of one run, which began at `began_at` by the database's clock.

    `tick` is the schedule's time, for scheduled runs only; `stale_after` is for the view of
    freshness.
    """

    run_id: UUID
    began_at: datetime
    tick: datetime | None
    database: Database
    stale_after: timedelta
    stop: Stop
    _postponed: list[AccountRecord] = field(default_factory=list)
    _left_out: dict[Reason, list[str]] = field(default_factory=lambda: defaultdict(list))
    # Ids of the accounts that a commit may have recorded, whether or not its answer came.
    _tried: set[str] = field(default_factory=set)

    async def commit(
        self, account: Account, write: Callable[[AsyncConnection], Awaitable[AccountRecord]]
    ) -> AccountRecord:
        """Write in a transaction, again where that may help, and say what the journal holds then.

        Where the answer to a commit is lost, only the journal knows whether it took effect.
        """

        async def work() -> AccountRecord:
            async with self.database.transaction() as conn:
                done = None
                if account.id in self._tried:
                    done = await recorded(conn, self.run_id, account.id, account.name)
                self._tried.add(account.id)
                return done or await write(conn)

        return await repeat(work, sleep=self.stop.pause)

    async def record(self, conn: AsyncConnection, record: AccountRecord) -> None:
        """Record an outcome in the caller's transaction."""
        await record_account(conn, record, stale_after=self.stale_after, tick=self.tick)

    async def note(
        self,
        account: Account,
        outcome: Outcome,
        *,
        started_at: datetime | None = None,
        walk: Walk | None = None,
    ) -> AccountRecord:
        """Record an outcome with which nothing else is stored.

        Raises Superseded where a walk that began later than `started_at` is stored already.
        """
        record = self.record_of(account, outcome, started_at=started_at, walk=walk)

        async def write(conn: AsyncConnection) -> AccountRecord:
            if started_at is not None:
                await fence_account(conn, account.id, started_at)
            await self.record(conn, record)
            return record

        return await self.commit(account, write)

    def leave_out(self, account: Account, reason: Reason) -> AccountRecord:
        """Leave an account that is not walked to the end of the run.

        All of them are recorded at once then: each on its own, a thousand would outlast the drain.
        """
        self._left_out[reason].append(account.id)
        return self.record_of(account, plain_outcome("skipped", reason))

    def postpone(
        self, account: Account, error: DatabaseError, started_at: datetime | None = None
    ) -> AccountRecord:
        """Keep a failure that could not even be recorded for the end of the run."""
        outcome = plain_outcome("failed", Reason.STORAGE, str(error))
        record = self.record_of(account, outcome, started_at=started_at)
        self._postponed.append(record)
        return record

    async def settle(
        self, conn: AsyncConnection, records: Sequence[AccountRecord]
    ) -> list[AccountRecord]:
        """Record in the caller's transaction what was left; all records as the journal has them."""
        settled = {record.account_id: record for record in records}
        for record in self._postponed:
            settled[record.account_id] = await self._settle_one(conn, record)
        for reason, accounts in self._left_out.items():
            error = EXPLANATIONS[reason]
            await skip_accounts(conn, self.run_id, accounts, reason=reason, error=error)
        return list(settled.values())

    async def _settle_one(self, conn: AsyncConnection, record: AccountRecord) -> AccountRecord:
        # Perhaps its walk was stored, and only the answer was lost.
        known = await recorded(conn, self.run_id, record.account_id, record.account_name)
        if known is not None:
            return known
        try:
            await fence_account(conn, record.account_id, record.started_at or self.began_at)
        except Superseded:
            outcome = plain_outcome("skipped", Reason.LOCKED)
            record = replace(record, **asdict(outcome), started_at=None)
        await self.record(conn, record)
        return record

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
            fetched=walk.distinct,
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
