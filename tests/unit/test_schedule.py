from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.base import BaseTrigger

from syncer.schedule import CrontabTrigger, interval_trigger


def ticks(trigger: BaseTrigger, start: str, count: int) -> list[str]:
    now = datetime.fromisoformat(start)
    found: list[str] = []
    previous = None
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, previous or now)
        found.append(previous.isoformat())
    return found


@pytest.mark.parametrize("sunday", ["0", "7", "sun"])
def test_sunday_is_cron_s_sunday(sunday: str) -> None:
    trigger = CrontabTrigger(f"0 0 * * {sunday}", ZoneInfo("UTC"))
    assert ticks(trigger, "2026-11-23T10:00:00+00:00", 2) == [
        "2026-11-29T00:00:00+00:00",
        "2026-12-06T00:00:00+00:00",
    ]


def test_two_restricted_day_fields_mean_either() -> None:
    trigger = CrontabTrigger("0 12 1 * 1", ZoneInfo("UTC"))
    assert ticks(trigger, "2026-11-23T13:00:00+00:00", 3) == [
        "2026-11-30T12:00:00+00:00",
        "2026-12-01T12:00:00+00:00",
        "2026-12-07T12:00:00+00:00",
    ]


def test_a_time_zone_keeps_its_wall_clock_over_the_change_of_the_hour() -> None:
    trigger = CrontabTrigger("30 9 * * *", ZoneInfo("Europe/Berlin"))
    assert ticks(trigger, "2026-10-24T00:00:00+00:00", 2) == [
        "2026-10-24T09:30:00+02:00",
        "2026-10-25T09:30:00+01:00",
    ]


def test_ticks_of_an_interval_are_the_same_in_every_process() -> None:
    trigger = interval_trigger(timedelta(minutes=15))
    expected = ["2026-11-23T10:15:00+00:00", "2026-11-23T10:30:00+00:00"]
    assert ticks(trigger, "2026-11-23T10:00:01+00:00", 2) == expected
    assert ticks(trigger, "2026-11-23T10:14:59.999+00:00", 2) == expected


def test_an_interval_ticks_in_even_steps() -> None:
    trigger = interval_trigger(timedelta(seconds=7))
    times = [datetime.fromisoformat(t) for t in ticks(trigger, "2026-11-23T10:00:00+00:00", 50)]
    assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=7)}
    assert all(time.astimezone(UTC).timestamp() % 7 == 0 for time in times)
