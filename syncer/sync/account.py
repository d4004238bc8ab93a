"""One account: lock, walk, merge, record; every error of ours becomes an outcome."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from structlog.contextvars import bound_contextvars

from syncer.cloudflare.walk import Walk, WalkSettings, walk_account
from syncer.errors import DatabaseError, Reason, Superseded
from syncer.store.invoices import Batch, MergeCounts, merge_invoices
from syncer.store.journal import AccountRecord, PreviousState, fence_account, record_account
from syncer.store.state import LastWalk, last_walk
from syncer.sync.outcome import Outcome, plain_outcome, walk_outcome

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.stop import Stop
    from syncer.store.engine import Database
    from syncer.store.locks import Locks
    from syncer.sync.observer import Observer

log = structlog.get_logger()

COUNTS: Final = (
    "pages",
    "requests",
    "retries",
    "fetched",
    "inserted",
    "updated",
    "unchanged",
    "missing",
    "rejected",
    "total_reported",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """How one account is synced; `stale_after` goes into the state for the view of freshness."""

    walk: WalkSettings
    account_timeout_s: float
    stale_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSync:
    """Syncs the accounts of one run. `tick` is the schedule's time, for scheduled runs only.

    `unrecorded` takes the outcomes that the database would not take.
    """

    run_id: UUID
    tick: datetime | None
    client: CloudflareClient
    database: Database
    locks: Locks
    settings: AccountSettings
    observer: Observer
    stop: Stop
    unrecorded: list[AccountRecord] = field(default_factory=list)

    async def sync(self, account: Account) -> AccountRecord:
        """Bring one account up to date and say how it went, in the journal and in the log."""
        with bound_contextvars(account_id=account.id, account=account.name):
            began = time.monotonic()
            self.observer.account_started(account)
            record = await self._sync(account)
            self.observer.account_finished(record)
            _announce(record, duration_ms=round((time.monotonic() - began) * 1000))
            return record

    async def _sync(self, account: Account) -> AccountRecord:
        try:
            started_at = await self.locks.try_account(account.id)
            if started_at is None:
                return await self._skip(account, Reason.LOCKED)
            try:
                return await self._sync_locked(account, started_at)
            finally:
                # The run's end lets go of it in any case.
                if not self.stop.requested:
                    with suppress(DatabaseError):
                        await self.locks.release_account(account.id)
        except DatabaseError as error:
            # Not even the failure could be stored now; perhaps at the end of the run.
            record = self._record(account, plain_outcome("failed", Reason.STORAGE, str(error)))
            self.unrecorded.append(record)
            return record

    async def _sync_locked(self, account: Account, started_at: datetime) -> AccountRecord:
        if self.stop.requested:
            return await self._skip(account, Reason.INTERRUPTED)
        if await self._is_fresh(account):
            return await self._skip(account, Reason.FRESH)
        if account.problem:
            outcome = plain_outcome("failed", Reason.ACCESS_DENIED, account.problem)
            return await self._fail(account, started_at, Walk(), outcome)
        walk, cut_short = await self._walk(account)
        try:
            return await self._store(account, started_at, walk, cut_short)
        except Superseded:
            return await self._skip(account, Reason.LOCKED)
        except DatabaseError as error:
            outcome = plain_outcome("failed", Reason.STORAGE, str(error))
            return await self._fail(account, started_at, walk, outcome)

    async def _is_fresh(self, account: Account) -> bool:
        if self.tick is None:
            return False
        async with self.database.transaction() as conn:
            last = await last_walk(conn, account.id)
        return last is not None and serves_tick(last, self.tick)

    async def _walk(self, account: Account) -> tuple[Walk, Reason | None]:
        """Walk within the deadline; the reason says what cut it short, None where nothing did."""
        walk = Walk()

        def on_page(pages: int, expected: int) -> None:
            self.observer.page_fetched(account, pages, expected)

        try:
            async with asyncio.timeout(self.settings.account_timeout_s) as deadline:
                with self.stop.cutting(deadline):
                    await walk_account(self.client, account, self.settings.walk, walk, on_page)
        except TimeoutError:
            return walk, Reason.INTERRUPTED if self.stop.requested else Reason.TIMEOUT
        return walk, None

    async def _store(
        self, account: Account, started_at: datetime, walk: Walk, cut_short: Reason | None
    ) -> AccountRecord:
        """Commit invoices, history, missing marks, journal and state together, or none of them."""
        outcome = walk_outcome(walk, cut_short=cut_short)
        proven = outcome.status == "complete" and self.settings.walk.invoice_type == "all"
        batch = Batch(
            invoices=tuple(walk.invoices.values()),
            rejections=tuple(walk.rejections.values()),
            listed=walk.listed if proven else None,
        )
        async with self.database.transaction() as conn:
            await fence_account(conn, account.id, started_at)
            counts = await merge_invoices(conn, account.id, self.run_id, batch)
            if counts.withheld:
                outcome = plain_outcome("incomplete", Reason.MASS_DISAPPEARANCE)
            record = self._record(account, outcome, started_at=started_at, walk=walk, counts=counts)
            previous = await self.journal(conn, record)
        for reason, count in Counter(rejected.reason for rejected in batch.rejections).items():
            log.warning("invoice.rejected", reason=reason, count=count)
        if previous.consecutive_failures and record.status == "complete":
            log.info("account.recovered", failures=previous.consecutive_failures)
        return record

    async def _fail(
        self, account: Account, started_at: datetime, walk: Walk, outcome: Outcome
    ) -> AccountRecord:
        record = self._record(account, outcome, started_at=started_at, walk=walk)
        async with self.database.transaction() as conn:
            await fence_account(conn, account.id, started_at)
            await self.journal(conn, record)
        return record

    async def _skip(self, account: Account, reason: Reason) -> AccountRecord:
        record = self._record(account, plain_outcome("skipped", reason))
        async with self.database.transaction() as conn:
            await self.journal(conn, record)
        return record

    async def journal(self, conn: AsyncConnection, record: AccountRecord) -> PreviousState:
        """Record an outcome in the caller's transaction; how the account stood before."""
        return await record_account(conn, record, stale_after=self.settings.stale_after)

    def _record(
        self,
        account: Account,
        outcome: Outcome,
        *,
        started_at: datetime | None = None,
        walk: Walk | None = None,
        counts: MergeCounts | None = None,
    ) -> AccountRecord:
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


def serves_tick(last: LastWalk, tick: datetime) -> bool:
    """Whether a walk that another process made stands for this tick as well. Pure."""
    return last.status == "complete" and last.started_at >= tick


def _announce(record: AccountRecord, *, duration_ms: int) -> None:
    """Write the account's canonical line."""
    counts = {name: getattr(record, name) for name in COUNTS}
    if record.status == "complete":
        log.info("account.synced", status=record.status, **counts, duration_ms=duration_ms)
        return
    why = {
        "status": record.status,
        "reason": record.reason,
        "error_kind": record.error_kind,
        "error": record.error,
        "http_status": record.http_status,
        "cf_ray": record.cf_ray,
    }
    if record.status == "skipped":
        log.info("account.skipped", reason=record.reason, error=record.error)
    elif record.status == "incomplete":
        log.warning("account.incomplete", **why, **counts, duration_ms=duration_ms)
    else:
        log.error("account.failed", **why, **counts, duration_ms=duration_ms)
