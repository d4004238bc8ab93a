"""The daemon, composed: schedule, signals, reloads, health port."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog

from syncer.app import open_app, require_credentials
from syncer.daemon import Daemon
from syncer.errors import SyncerError
from syncer.health import Readiness, health_server
from syncer.reload import Reload
from syncer.schedule import CrontabTrigger, Schedule, interval_trigger
from syncer.shutdown import Shutdown
from syncer.store.migrate import require_head
from syncer.store.state import read_staleness
from syncer.sync.observer import Unobserved

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
    require_credentials(settings.read_accounts())
    shutdown = Shutdown(lambda name: log.info("daemon.stopping", signal=name))
    reload = Reload(settings, reread)
    with shutdown.on_signals(), reload.on_signal():
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None) as deadline:
                    # Nothing has begun yet that would be worth draining.
                    with shutdown.soft.cutting(deadline):
                        app = await stack.enter_async_context(open_app(settings, Unobserved()))
            except TimeoutError:
                pass
            else:
                await _run_daemon(app, shutdown, reload)
        log.info("daemon.stopped")


async def _run_daemon(app: App, shutdown: Shutdown, reload: Reload) -> None:
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
        return await app.runner.run(
            # Read anew, so that a credential that was rotated in its file counts.
            app.settings.read_accounts(),
            trigger=trigger,
            tick=tick,
            stop=stop,
            next_is_due=next_is_due,
        )

    reload.accept = accept
    daemon = Daemon(
        make_run=make_run,
        schedule=schedule,
        jitter=lambda: reload.settings.schedule.jitter,
        shutdown=shutdown,
    )
    async with health_server(
        settings.health.listen, is_live=daemon.is_live, readiness=lambda: readiness(app)
    ):
        await daemon.run(run_on_start=settings.schedule.run_on_start)


def _trigger(settings: Settings) -> BaseTrigger:
    schedule = settings.schedule
    if schedule.every is not None:
        return interval_trigger(schedule.every)
    return CrontabTrigger(str(schedule.cron), ZoneInfo(schedule.timezone))


async def readiness(app: App) -> Readiness:
    """Ask whether the database can be used as it is, and which accounts are stale."""
    try:
        await require_head(app.database)
        async with app.database.transaction() as conn:
            stale = await read_staleness(conn)
    except SyncerError as error:
        return Readiness(ready=False, error=str(error))
    return Readiness(
        ready=True,
        # An account that was never recorded was never synced.
        stale=tuple(
            account.name for account in app.settings.accounts if stale.get(account.id, True)
        ),
    )
