"""One pass over all accounts, concurrently, with its entry in the journal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog
from structlog.contextvars import bound_contextvars

from syncer.store.journal import AccountRecord, abandon_dead_runs, begin_run, finish_run
from syncer.store.locks import Locks
from syncer.sync.account import COUNTS, AccountSettings, AccountSync
from syncer.sync.outcome import is_well, run_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.stop import Stop
    from syncer.store.engine import Database
    from syncer.store.journal import RunStatus, Trigger
    from syncer.sync.observer import Observer

log = structlog.get_logger()


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

    @property
    def well(self) -> bool:
        """Whether every account is complete, or in another process' hands."""
        return all(is_well(record.status, record.reason) for record in self.records)


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
    ) -> RunResult:
        """Sync every account once.

        `tick` is the time on the schedule that a scheduled run stands for. Raises
        `DatabaseUnreachable` or `SchemaMismatch` when not even the journal can be kept.
        """
        run_id = uuid4()
        with bound_contextvars(run_id=str(run_id)):
            began = time.monotonic()
            async with Locks(self._database) as locks:
                await self._begin(run_id, accounts, trigger, locks)
                log.info("run.started", trigger=trigger, tick=tick, accounts_total=len(accounts))
                account_sync = AccountSync(
                    run_id=run_id,
                    tick=tick,
                    client=self._client,
                    database=self._database,
                    locks=locks,
                    settings=self._settings.account,
                    observer=self._observer,
                    stop=stop,
                )
                records = await self._sync_all(account_sync, accounts)
                result = await self._finish(account_sync, records)
            self._announce(result, trigger, duration_ms=round((time.monotonic() - began) * 1000))
            return result

    async def _begin(
        self, run_id: UUID, accounts: Sequence[Account], trigger: Trigger, locks: Locks
    ) -> None:
        # The lock comes first: a run without it is taken for one whose process has died.
        await locks.hold_run(run_id)
        async with self._database.transaction() as conn:
            abandoned = await abandon_dead_runs(conn)
            await begin_run(
                conn,
                run_id=run_id,
                trigger=trigger,
                accounts=[account.id for account in accounts],
                version=self._settings.version,
                host=self._settings.host,
            )
        for dead in abandoned:
            log.warning("run.abandoned", abandoned_run_id=str(dead))

    async def _sync_all(
        self, account_sync: AccountSync, accounts: Sequence[Account]
    ) -> list[AccountRecord]:
        waiting = iter(accounts)
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(_work(account_sync, waiting))
                for _ in range(min(self._settings.concurrent_accounts, len(accounts)))
            ]
        return [record for worker in workers for record in worker.result()]

    async def _finish(self, account_sync: AccountSync, records: list[AccountRecord]) -> RunResult:
        run_id = account_sync.run_id
        status = run_status((record.status, record.reason) for record in records)
        async with self._database.transaction() as conn:
            for record in account_sync.unrecorded:
                await account_sync.journal(conn, record)
            await finish_run(conn, run_id, status=status, accounts_complete=_complete(records))
        return RunResult(run_id, status, tuple(records))

    def _announce(self, result: RunResult, trigger: Trigger, *, duration_ms: int) -> None:
        """Write the run's canonical line."""
        sums = {
            name: sum(getattr(record, name) or 0 for record in result.records) for name in COUNTS
        }
        say = log.info if result.status == "succeeded" else log.warning
        say(
            "run.finished",
            trigger=trigger,
            status=result.status,
            accounts_total=len(result.records),
            accounts_complete=_complete(result.records),
            version=self._settings.version,
            host=self._settings.host,
            **sums,
            duration_ms=duration_ms,
        )


def _complete(records: Sequence[AccountRecord]) -> int:
    return sum(record.status == "complete" for record in records)


async def _work(account_sync: AccountSync, waiting: Iterator[Account]) -> list[AccountRecord]:
    return [await account_sync.sync(account) for account in waiting]
