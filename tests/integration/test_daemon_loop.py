import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from syncer.account import Account
from syncer.daemon import Daemon
from syncer.schedule import Due, Schedule, interval_trigger
from syncer.shutdown import Shutdown
from syncer.store.engine import Database
from tests.integration.running import Site


async def test_a_defect_is_loud_and_costs_one_run(here: Site) -> None:
    here.add("production", 3)
    schedule = Schedule(interval_trigger(timedelta(days=1)))
    shutdown = Shutdown(lambda _name: None)
    asked = 0

    def accounts() -> Sequence[Account]:
        nonlocal asked
        asked += 1
        schedule.ring(Due(None))
        if asked == 1:
            raise ZeroDivisionError
        shutdown.soft.request()
        return []

    daemon = Daemon(
        make_run=lambda **how: here.runner().run(accounts(), **how),
        schedule=schedule,
        jitter=lambda: timedelta(0),
        shutdown=shutdown,
    )
    with structlog.testing.capture_logs() as events:
        await daemon.run(run_on_start=True)
    assert [event["event"] for event in events] == [
        "daemon.started",
        "run.crashed",
        "run.started",
        "run.finished",
    ]
    assert events[1]["exc_info"] is True


async def test_a_newer_tick_takes_over_from_a_run_that_could_not_begin(here: Site) -> None:
    here.add("production", 3)
    nowhere = Site(here.api, here.client, Database("postgresql://nobody@127.0.0.1:1/x"))
    schedule = Schedule(interval_trigger(timedelta(days=1)))
    shutdown = Shutdown(lambda _name: None)
    ticks = [datetime(2026, 11, 23, hour, tzinfo=UTC) for hour in (1, 2)]

    def accounts() -> Sequence[Account]:
        if ticks:
            schedule.ring(Due(ticks.pop(0)))
        else:
            shutdown.soft.request()
        return list(here.accounts.values())

    daemon = Daemon(
        make_run=lambda **how: nowhere.runner().run(accounts(), **how),
        schedule=schedule,
        jitter=lambda: timedelta(hours=1),
        shutdown=shutdown,
        draw=lambda: 0.0,
    )
    with structlog.testing.capture_logs() as events:
        await daemon.run(run_on_start=True)
    assert [event["event"] for event in events] == ["daemon.started"] + ["run.postponed"] * 3
    assert "127.0.0.1:1" in events[1]["error"]


async def test_ticks_that_a_stuck_loop_lets_pass_are_told() -> None:
    schedule = Schedule(interval_trigger(timedelta(milliseconds=200)))
    schedule.start()
    try:
        first = (await schedule.next_due()).tick
        stuck_until = time.monotonic() + 0.7
        while time.monotonic() < stuck_until:
            pass
        with structlog.testing.capture_logs() as events:
            second = (await schedule.next_due()).tick
    finally:
        schedule.shutdown()
    assert events == [
        {
            "event": "schedule.ticks_missed",
            "log_level": "warning",
            "since": first,
            "tick": second,
        }
    ]
