"""When a scheduled run is due: APScheduler rings, and somebody else does the work."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from apscheduler.events import EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from cronsim import CronSim

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

log = structlog.get_logger()

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A healthy loop rings within milliseconds; a minute late means that it is stuck.
LATE_AFTER: Final = timedelta(minutes=1)


class CrontabTrigger(BaseTrigger):
    """Fires as cron would: Sunday is 0 or 7, and two restricted day fields mean either of them.

    APScheduler's own `from_crontab` counts days from Monday and wants both day fields to match.
    """

    def __init__(self, expression: str, timezone: ZoneInfo) -> None:
        self._expression = expression
        self._timezone = timezone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next time after the previous one, or after now."""
        after = (previous_fire_time or now).astimezone(self._timezone)
        return next(CronSim(self._expression, after))


def interval_trigger(every: timedelta) -> BaseTrigger:
    """Build a trigger whose ticks are whole multiples of `every` since 1970.

    So all processes with one schedule mean the same ticks, and can tell that a rival has done one.
    """
    return IntervalTrigger(seconds=every.total_seconds(), start_date=EPOCH, timezone=UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """A run is due: for the tick of the schedule, or (None) because the daemon has started."""

    tick: datetime | None


class Schedule:
    """Remembers the latest tick that is due until somebody takes it.

    A tick that comes before the last one was taken replaces it, and says so in the log.
    """

    def __init__(self, trigger: BaseTrigger) -> None:
        self._trigger = trigger
        self._last_tick: datetime | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._on_submitted, EVENT_JOB_SUBMITTED)
        self._job = self._scheduler.add_job(
            _do_nothing, trigger, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._due: Due | None = None
        self._rung = asyncio.Event()

    def start(self) -> None:
        """Begin to ring."""
        self._scheduler.start()

    def shutdown(self) -> None:
        """Ring no more."""
        self._scheduler.shutdown(wait=False)

    def keep_to(self, trigger: BaseTrigger) -> None:
        """Ring at the times of another trigger from now on; what is due stays due."""
        self._trigger = trigger
        self._last_tick = None
        self._job.reschedule(trigger)

    def ring(self, due: Due) -> None:
        """Make a run due."""
        if self._due is not None:
            log.warning("run.coalesced", tick=self._due.tick)
        self._due = due
        self._rung.set()

    @property
    def is_due(self) -> bool:
        """Whether a run waits to be taken."""
        return self._due is not None

    async def next_due(self) -> Due:
        """Wait until a run is due, and take it."""
        while (due := self._due) is None:
            self._rung.clear()
            await self._rung.wait()
        self._due = None
        return due

    @property
    def next_tick(self) -> datetime | None:
        """The next time on the schedule."""
        tick: datetime | None = self._job.next_run_time
        return tick

    def is_ticking(self, now: datetime) -> bool:
        """Whether the scheduler runs and has not missed its time."""
        tick = self.next_tick
        return bool(self._scheduler.running) and tick is not None and tick > now - LATE_AFTER

    def _on_submitted(self, event: JobSubmissionEvent) -> None:
        tick: datetime = event.scheduled_run_times[-1]
        last, self._last_tick = self._last_tick, tick
        if last is not None and self._trigger.get_next_fire_time(last, last) < tick:
            log.warning("schedule.ticks_missed", since=last, tick=tick)
        self.ring(Due(tick))


async def _do_nothing() -> None:
    """Be a job: the run belongs to the daemon's own task, which a shutdown does not cancel."""
