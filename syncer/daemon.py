"""Runs on schedule, one at a time, until asked to stop; then drains."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from syncer.errors import ConfigurationError, DatabaseError, SchemaMismatch
from syncer.schedule import Due, Schedule
from syncer.shutdown import DRAIN_S, Shutdown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from syncer.stop import Stop
    from syncer.store.journal import Trigger

log = structlog.get_logger()

FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 60.0


class MakeRun(Protocol):
    """Makes a run, with whatever configuration, credentials and accounts hold by now."""

    def __call__(
        self,
        *,
        trigger: Trigger,
        tick: datetime | None,
        stop: Stop,
        next_is_due: Callable[[], bool],
    ) -> Awaitable[object]:
        """Sync every account once; the arguments are those of `Runner.run`."""


class Daemon:
    """Makes a run whenever one is due.

    `jitter` is asked before every run, as it may change meanwhile. `draw` draws from [0, 1) for it.
    """

    def __init__(
        self,
        *,
        make_run: MakeRun,
        schedule: Schedule,
        jitter: Callable[[], timedelta],
        shutdown: Shutdown,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._make_run = make_run
        self._schedule = schedule
        self._jitter = jitter
        self._shutdown = shutdown
        self._draw = draw

    def is_live(self) -> bool:
        """Whether the schedule is being kept; asking proves that the event loop is not stuck."""
        return self._shutdown.soft.requested or self._schedule.is_ticking(datetime.now(UTC))

    async def run(self, *, run_on_start: bool) -> None:
        """Run until the shutdown is requested. Raises `SchemaMismatch` when it cannot go on."""
        self._schedule.start()
        log.info("daemon.started", next_tick=self._schedule.next_tick)
        if run_on_start:
            self._schedule.ring(Due(None))
        try:
            while not self._shutdown.soft.requested:
                await self._wait_and_run()
        finally:
            self._schedule.shutdown()

    async def _wait_and_run(self) -> None:
        try:
            async with asyncio.timeout(None) as deadline:
                with self._shutdown.soft.cutting(deadline):
                    due = await self._schedule.next_due()
        except TimeoutError:
            return
        if due.tick is not None:
            await self._shutdown.soft.pause(self._jitter().total_seconds() * self._draw())
        try:
            async with asyncio.timeout(None) as deadline:
                with self._shutdown.hard.cutting(deadline):
                    await self._run(due)
        except TimeoutError:
            log.error("run.cut_off", drain_s=DRAIN_S)

    async def _run(self, due: Due) -> None:
        """Make the run, again after a while as long as the database is away."""
        retry_s = FIRST_RETRY_S
        while not self._shutdown.soft.requested:
            try:
                await self._make_run(
                    trigger="start" if due.tick is None else "schedule",
                    tick=due.tick,
                    stop=self._shutdown.soft,
                    next_is_due=lambda: self._schedule.is_due,
                )
            except SchemaMismatch:
                raise
            except (DatabaseError, ConfigurationError) as error:
                log.error("run.postponed", error=str(error), retry_in_s=retry_s)
            except Exception:
                # A defect of ours: loud, but one run's; the next tick is worth another try.
                log.exception("run.crashed")
                return
            else:
                return
            await self._shutdown.soft.pause(retry_s)
            if self._schedule.is_due:
                return
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)
