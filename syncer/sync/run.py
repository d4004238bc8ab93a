"""One pass over all accounts, concurrently, with its entry in the journal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID, uuid4

import structlog
from structlog.contextvars import bound_contextvars

from syncer.store.journal import AccountRecord, abandon_dead_runs, begin_run, finish_run
from syncer.store.locks import Locks
from syncer.store.migrate import refuse_other_revision
from syncer.store.retries import repeat
from syncer.sync.account import AccountSettings, AccountSync
from syncer.sync.lines import sums
from syncer.sync.outcome import is_well, run_status
from syncer.sync.record import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.stop import Stop
    from syncer.store.engine import Database
    from syncer.store.journal import RunStatus, Trigger
    from syncer.sync.observer import Observer

log = structlog.get_logger()

# How soon a scheduled run notices that a rival which died has let go of an account.
LOOK_AGAIN_S: Final = 1.0

_End = TypeVar("_End")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run goes about its accounts; `version` and `host` go into the journal."""

    account: AccountSettings
    concurrent_accounts: int
    version: str
    host: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, and each of its accounts."""

    run_id: UUID
    status: RunStatus
    records: tuple[AccountRecord, ...]
    all_known: bool = True

    @property
    def well(self) -> bool:
        """Whether every account is known, and complete or in another process' hands."""
        return self.all_known and all(
            is_well(record.status, record.reason) for record in self.records
        )


class Runner:
    """Makes runs; lives as long as the process, so that request budgets outlive a run."""

    def __init__(
        self,
        *,
        client: CloudflareClient,
        database: Database,
        settings: RunSettings,
        observer: Observer,
    ) -> None:
        self._client = client
        self._database = database
        self._settings = settings
        self._observer = observer

    async def run(
        self,
        accounts: Sequence[Account],
        *,
        trigger: Trigger,
        stop: Stop,
        tick: datetime | None = None,
        next_is_due: Callable[[], bool] = lambda: False,
        all_known: bool = True,
    ) -> RunResult:
        """Sync every account once; `all_known` says whether these are all that there should be.

        `tick` is the time on the schedule that a scheduled run stands for. Such a run stays until
        each account has been walked for its tick, by whomever: where another process has one, it
        waits, and takes the account over when that process ends. That ends once `next_is_due`, and
        where any walk would have run out of time. Any other run leaves such an account where it is.

        Raises `DatabaseUnreachable` or `SchemaMismatch` when not even the journal can be kept.
        """
        began = time.monotonic()
        status: RunStatus | None = None
        self._observer.run_started(trigger)
        try:
            result = await self._run(
                accounts, trigger, stop, tick, next_is_due, all_known=all_known
            )
            status = result.status
        finally:
            self._observer.run_ended(trigger, status, time.monotonic() - began)
        return result

    async def _run(
        self,
        accounts: Sequence[Account],
        trigger: Trigger,
        stop: Stop,
        tick: datetime | None,
        next_is_due: Callable[[], bool],
        *,
        all_known: bool,
    ) -> RunResult:
        run_id = uuid4()
        with bound_contextvars(run_id=str(run_id)):
            began = time.monotonic()
            async with Locks(self._database, sleep=stop.pause) as locks:
                began_at = await self._begin(run_id, accounts, trigger, locks)
                log.info("run.started", trigger=trigger, tick=tick, accounts_total=len(accounts))
                recorder = Recorder(
                    run_id=run_id,
                    began_at=began_at,
                    tick=tick,
                    database=self._database,
                    stale_after=self._settings.account.stale_after,
                    stop=stop,
                )
                account_sync = AccountSync(
                    client=self._client,
                    database=self._database,
                    locks=locks,
                    recorder=recorder,
                    settings=self._settings.account,
                    observer=self._observer,
                    stop=stop,
                )
                held, records = await self._sync_all(account_sync, accounts)
                if held and tick is not None and not stop.requested:
                    log.info("run.waiting", accounts=len(held))
                deadline = time.monotonic() + self._settings.account.account_timeout_s

                def is_over() -> bool:
                    late = time.monotonic() > deadline
                    return tick is None or late or stop.requested or next_is_due()

                records += await self._wait_for_all(account_sync, held, is_over)
                result = await self._finish(recorder, records, all_known=all_known)
            self._announce(result, trigger, duration_ms=round((time.monotonic() - began) * 1000))
            return result

    async def _begin(
        self, run_id: UUID, accounts: Sequence[Account], trigger: Trigger, locks: Locks
    ) -> datetime:
        # The lock comes first: a run without it is taken for one whose process has died.
        await locks.hold_run(run_id)
        async with self._database.transaction() as conn:
            # It may have been migrated, or be another server's, since the last run.
            await refuse_other_revision(conn)
            abandoned = await abandon_dead_runs(conn)
            began_at = await begin_run(
                conn,
                run_id=run_id,
                trigger=trigger,
                accounts=[account.id for account in accounts],
                version=self._settings.version,
                host=self._settings.host,
            )
        for dead in abandoned:
            log.warning("run.abandoned", abandoned_run_id=str(dead))
        return began_at

    async def _sync_all(
        self, account_sync: AccountSync, accounts: Sequence[Account]
    ) -> tuple[list[Account], list[AccountRecord]]:
        """Sync the accounts; those that another process has come back as they are."""
        waiting = iter(accounts)

        async def work() -> list[tuple[Account, AccountRecord | None]]:
            return [(account, await account_sync.sync(account)) for account in waiting]

        ends = await self._side_by_side(work, len(accounts))
        held = [account for account, record in ends if record is None]
        return held, [record for _, record in ends if record is not None]

    async def _wait_for_all(
        self, account_sync: AccountSync, held: Sequence[Account], is_over: Callable[[], bool]
    ) -> list[AccountRecord]:
        """Sync what other processes have as they let go of it; what is left in the end, leave."""
        # With the time at which it is worth another look: the first one is at once, as most of
        # what others had in the beginning they are done with by now.
        waiting = deque((0.0, account) for account in held)

        async def work() -> list[AccountRecord]:
            records = []
            while waiting:
                look_at, account = waiting.popleft()
                if not is_over():
                    await account_sync.stop.pause(max(0.0, look_at - time.monotonic()))
                if is_over():
                    records.append(account_sync.leave(account))
                    continue
                record = await account_sync.sync(account)
                if record is None:
                    waiting.append((time.monotonic() + LOOK_AGAIN_S, account))
                else:
                    records.append(record)
            return records

        return await self._side_by_side(work, len(held))

    async def _side_by_side(
        self, work: Callable[[], Coroutine[None, None, list[_End]]], accounts: int
    ) -> list[_End]:
        """Let as many of it go on at a time as accounts may be synced; all that they brought."""
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(work())
                for _ in range(min(self._settings.concurrent_accounts, accounts))
            ]
        return [end for worker in workers for end in worker.result()]

    async def _finish(
        self, recorder: Recorder, records: Sequence[AccountRecord], *, all_known: bool
    ) -> RunResult:
        async def work() -> RunResult:
            async with self._database.transaction() as conn:
                settled = await recorder.settle(conn, records)
                outcomes = ((record.status, record.reason) for record in settled)
                status = run_status(outcomes, all_known=all_known)
                await finish_run(
                    conn, recorder.run_id, status=status, accounts_complete=_complete(settled)
                )
            return RunResult(recorder.run_id, status, tuple(settled), all_known)

        return await repeat(work, sleep=recorder.stop.pause)

    def _announce(self, result: RunResult, trigger: Trigger, *, duration_ms: int) -> None:
        """Write the run's canonical line."""
        say = log.info if result.status == "succeeded" else log.warning
        say(
            "run.finished",
            trigger=trigger,
            status=result.status,
            accounts_total=len(result.records),
            accounts_complete=_complete(result.records),
            version=self._settings.version,
            host=self._settings.host,
            **sums(result.records),
            duration_ms=duration_ms,
        )


def _complete(records: Sequence[AccountRecord]) -> int:
    return sum(record.status == "complete" for record in records)
