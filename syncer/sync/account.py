"""One account: lock, walk, merge, record; every error of ours becomes an outcome."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
from structlog.contextvars import bound_contextvars

from syncer.cloudflare.tally import Tally
from syncer.cloudflare.walk import Walk, WalkSettings, walk_account
from syncer.errors import DatabaseError, Reason, RowsChanged, Superseded
from syncer.store.invoices import Batch
from syncer.store.journal import PreviousState, fence_account
from syncer.store.retries import repeat
from syncer.store.state import last_walk
from syncer.store.walks import StoredWalk, read_walk, store_walk
from syncer.sync.lines import announce_account
from syncer.sync.outcome import plain_outcome, serves_tick, walk_outcome

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.stop import Stop
    from syncer.store.engine import Database
    from syncer.store.journal import AccountRecord
    from syncer.store.locks import Locks
    from syncer.sync.observer import Observer
    from syncer.sync.record import Recorder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """How one account is synced; `stale_after` goes into the state for the view of freshness.

    After `full_compare_every` each record is compared with its row once, whatever is known of it.
    """

    walk: WalkSettings
    account_timeout_s: float
    full_compare_every: timedelta
    stale_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSync:
    """Syncs the accounts of one run."""

    client: CloudflareClient
    database: Database
    locks: Locks
    recorder: Recorder
    settings: AccountSettings
    observer: Observer
    stop: Stop

    async def sync(self, account: Account) -> AccountRecord | None:
        """Bring one account up to date and say how it went, in the journal and in the log.

        None: another process has the account, and the caller may ask again or `leave` it there.
        """
        with bound_contextvars(account_id=account.id, account=account.name):
            began = time.monotonic()
            record = await self._sync(account)
            return None if record is None else self._announced(record, began)

    def leave(self, account: Account) -> AccountRecord:
        """Leave the account to the process that has it."""
        with bound_contextvars(account_id=account.id, account=account.name):
            record = self.recorder.leave_out(account, Reason.LOCKED)
            return self._announced(record, time.monotonic())

    def _announced(self, record: AccountRecord, began: float) -> AccountRecord:
        seconds = time.monotonic() - began
        self.observer.account_finished(record, seconds)
        announce_account(record, duration_ms=round(seconds * 1000))
        return record

    async def _sync(self, account: Account) -> AccountRecord | None:
        if self.stop.requested:
            return self.recorder.leave_out(account, Reason.INTERRUPTED)
        try:
            if not await self.locks.try_account(account.id):
                return None
            try:
                return await self._sync_locked(account)
            finally:
                # The run's end lets go of it in any case.
                if not self.stop.requested:
                    with suppress(DatabaseError):
                        await self.locks.release_account(account.id)
        except DatabaseError as error:
            return self.recorder.postpone(account, error)

    async def _sync_locked(self, account: Account) -> AccountRecord:
        self.observer.account_started(account)
        if self.stop.requested:
            return self.recorder.leave_out(account, Reason.INTERRUPTED)
        found = await repeat(partial(self._look, account), sleep=self.stop.pause)
        if found is None:
            return await self.recorder.note(account, plain_outcome("skipped", Reason.FRESH))
        started_at, last = found
        try:
            return await self._sync_stale(account, started_at, last)
        except Superseded:
            return await self.recorder.note(account, plain_outcome("skipped", Reason.LOCKED))
        except DatabaseError as error:
            return self.recorder.postpone(account, error, started_at)

    async def _look(self, account: Account) -> tuple[datetime, StoredWalk] | None:
        """Tell what time it is by the database's clock, and what the account is stored from.

        None: it was walked for this tick.
        """
        tick = self.recorder.tick
        async with self.database.transaction() as conn:
            walked = None if tick is None else await last_walk(conn, account.id)
            if tick is not None and walked is not None and serves_tick(walked, tick):
                return None
            longest = self.settings.full_compare_every
            return await read_walk(conn, account.id, longest=longest)

    async def _sync_stale(
        self,
        account: Account,
        started_at: datetime,
        last: StoredWalk,
        tally: Tally | None = None,
    ) -> AccountRecord:
        if account.problem:
            outcome = plain_outcome("failed", Reason.ACCESS_DENIED, account.problem)
            return await self.recorder.note(account, outcome, started_at=started_at)
        walk = Walk(last.known, tally or Tally())
        cut_short = await self._walk(account, walk)
        try:
            return await self._store(account, started_at, walk, cut_short, last)
        except Superseded:
            raise
        except RowsChanged:
            # Where nothing is known, all is compared, and this does not come again.
            return await self._sync_stale(account, started_at, StoredWalk(), walk.tally)
        except DatabaseError as error:
            outcome = plain_outcome("failed", Reason.STORAGE, str(error))
            return await self.recorder.note(account, outcome, started_at=started_at, walk=walk)

    async def _walk(self, account: Account, walk: Walk) -> Reason | None:
        """Walk within the deadline; the reason says what cut it short, None where nothing did."""

        def on_page(pages: int, expected: int) -> None:
            self.observer.page_fetched(account, pages, expected)

        try:
            async with asyncio.timeout(self.settings.account_timeout_s) as deadline:
                with self.stop.cutting(deadline):
                    await walk_account(self.client, account, self.settings.walk, walk, on_page)
        except TimeoutError:
            return Reason.INTERRUPTED if self.stop.requested else Reason.TIMEOUT
        return None

    async def _store(
        self,
        account: Account,
        started_at: datetime,
        walk: Walk,
        cut_short: Reason | None,
        last: StoredWalk,
    ) -> AccountRecord:
        """Commit invoices, history, missing marks, journal and state together, or none of them."""
        outcome = walk_outcome(walk, cut_short=cut_short)
        proven = outcome.status == "complete" and self.settings.walk.invoice_type == "all"
        served = walk.invoices.values()
        invoices = tuple(invoice for invoice in served if invoice is not None)
        batch = Batch(
            invoices=invoices,
            rejections=tuple(walk.rejections.values()),
            listed=walk.listed if proven else None,
            unchanged=len(served) - len(invoices),
            digests=walk.digests,
        )
        previous = PreviousState()

        async def write(conn: AsyncConnection) -> AccountRecord:
            nonlocal previous
            previous = await fence_account(conn, account.id, started_at)
            counts = await store_walk(conn, account.id, self.recorder.run_id, batch, last)
            doubted = plain_outcome("incomplete", Reason.MASS_DISAPPEARANCE)
            record = self.recorder.record_of(
                account,
                doubted if counts.withheld else outcome,
                started_at=started_at,
                walk=walk,
                counts=counts,
            )
            await self.recorder.record(conn, record)
            return record

        record = await self.recorder.commit(account, write)
        for reason, count in Counter(rejected.reason for rejected in batch.rejections).items():
            log.warning("invoice.rejected", reason=reason, count=count)
        if previous.consecutive_failures and record.status == "complete":
            log.info("account.recovered", failures=previous.consecutive_failures)
        return record
