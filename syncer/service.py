"""The daemon, composed: schedule, signals, reloads, health port."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog

from syncer.app import open_app, require_credentials
from syncer.daemon import Daemon
from syncer.health import Readiness, health_server
from syncer.metrics import Metrics
from syncer.reload import Reload
from syncer.schedule import CrontabTrigger, Schedule, interval_trigger
from syncer.shutdown import Shutdown
from syncer.standing import LONGEST_LOOK_S, Standing, look
from syncer.sync.pruning import prune

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from apscheduler.triggers.base import BaseTrigger

    from syncer.app import App
    from syncer.config import Settings
    from syncer.stop import Stop
    from syncer.store.journal import Trigger
    from syncer.sync.run import RunResult

log = structlog.get_logger()


async def serve(settings: Settings, reread: Callable[[], Settings]) -> None:
    """Be the daemon, until SIGTERM or SIGINT; `reread` reads the configuration anew at a SIGHUP."""
    # Later, a credential that cannot be read is its account's trouble; at the start, a mistake.
    require_credentials((*settings.read_accounts(), *settings.read_discoveries()))
    metrics = Metrics()
    shutdown = Shutdown(lambda name: log.info("daemon.stopping", signal=name))
    reload = Reload(settings, reread)
    with shutdown.on_signals(), reload.on_signal():
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None) as deadline:
                    # Nothing has begun yet that would be worth draining.
                    with shutdown.soft.cutting(deadline):
                        app = await stack.enter_async_context(open_app(settings, metrics, metrics))
            except TimeoutError:
                pass
            else:
                await _run_daemon(app, metrics, shutdown, reload)
        log.info("daemon.stopped")


async def _run_daemon(app: App, metrics: Metrics, shutdown: Shutdown, reload: Reload) -> None:
    settings = app.settings
    schedule = Schedule(_trigger(reload.settings))
    kept = reload.settings.schedule

    def accept(settings: Settings) -> None:
        nonlocal kept
        if settings.schedule != kept:
            kept = settings.schedule
            schedule.keep_to(_trigger(settings))

    async def make_run(
        *, trigger: Trigger, tick: datetime | None, stop: Stop, next_is_due: Callable[[], bool]
    ) -> RunResult:
        if app.settings is not reload.settings:
            await app.renew(reload.settings)
        # Each credential is read anew, so that one that was rotated in its file counts.
        called = await app.call_accounts(stop)
        result = await app.runner.run(
            called.accounts,
            trigger=trigger,
            tick=tick,
            stop=stop,
            next_is_due=next_is_due,
            all_known=not called.undiscovered,
        )
        retention = app.settings.retention
        await prune(
            app.database,
            keep_runs=retention.sync_runs,
            keep_history=retention.invoice_history,
            stop=stop,
        )
        return result

    reload.accept = accept
    daemon = Daemon(
        make_run=make_run,
        schedule=schedule,
        jitter=lambda: reload.settings.schedule.jitter,
        shutdown=shutdown,
    )

    # A sync that uses every connection of its pool is no reason to be called unready.
    looked_at = app.database.aside(timeout_s=LONGEST_LOOK_S)

    async def readiness() -> Readiness:
        return readiness_of(await look(looked_at, app.accounts))

    async def exposition() -> bytes:
        accounts = app.accounts
        metrics.keep_to(accounts)
        metrics.show_discoveries(app.roster.listed)
        return metrics.exposition(await look(looked_at, accounts), schedule.next_tick)

    async with health_server(
        settings.health.listen,
        is_live=daemon.is_live,
        readiness=readiness,
        metrics=exposition,
    ):
        await daemon.run(run_on_start=settings.schedule.run_on_start)


def _trigger(settings: Settings) -> BaseTrigger:
    schedule = settings.schedule
    if schedule.every is not None:
        return interval_trigger(schedule.every)
    return CrontabTrigger(str(schedule.cron), ZoneInfo(schedule.timezone))


def readiness_of(standing: Standing) -> Readiness:
    """Say what a look at the database means for those who ask whether the daemon is ready."""
    stale = {account.name: account.why_stale for account in standing.accounts if account.stale}
    return Readiness(
        ready=standing.error is None, error=standing.error, stale=tuple(stale), details=stale
    )
