from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.cloudflare.headers import Limit
from syncer.cloudflare.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def send_all(throttle: Throttle, clock: Clock, pauses: Sequence[float]) -> list[float]:
    """Send a request after each pause, as soon as it is admitted; the times of sending."""
    sent = []
    for pause in pauses:
        clock.now += pause
        while (wait := throttle.admit()) > 0:
            clock.now += wait
        sent.append(clock.now)
    return sent


def most_in_a_window(sent: Sequence[float], per_s: float) -> int:
    return max(sum(start <= time <= start + per_s for time in sent) for start in sent)


def token_bucket(requests: int, per_s: float, pauses: Sequence[float]) -> list[float]:
    """Send the same by the plain token bucket, to show what it would do."""
    now, tokens, sent = 0.0, float(requests), []
    for pause in pauses:
        now, tokens = now + pause, min(requests, tokens + pause * requests / per_s)
        if tokens < 1:
            wait = (1 - tokens) * per_s / requests
            now, tokens = now + wait, 1.0
        tokens -= 1
        sent.append(now)
    return sent


def test_no_window_ever_holds_more_than_the_budget_where_a_token_bucket_does() -> None:
    clock = Clock()
    burst = [0.0] * 3000
    throttle = Throttle(requests=1000, per_s=300, in_flight=0, clock=clock)
    sent = send_all(throttle, clock, burst)
    assert most_in_a_window(sent[::50], 300) * 50 <= 1000
    assert sent[999] == 1000.0
    assert 1300 < sent[1000] < 1300.01
    assert most_in_a_window(token_bucket(1000, 300, burst), 300) > 1900


@given(
    requests=st.integers(1, 7),
    per_s=st.floats(0.1, 400, allow_nan=False),
    pauses=st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=60),
)
def test_no_window_of_any_traffic_holds_more_than_the_budget(
    requests: int, per_s: float, pauses: list[float]
) -> None:
    clock = Clock()
    throttle = Throttle(requests=requests, per_s=per_s, in_flight=0, clock=clock)
    assert most_in_a_window(send_all(throttle, clock, pauses), per_s) <= requests


def test_a_block_holds_everything_back_and_is_never_shortened() -> None:
    clock = Clock()
    throttle = Throttle(requests=10, per_s=1, in_flight=0, clock=clock)
    throttle.close_for(300)
    throttle.close_for(1)
    assert throttle.admit() == 300
    clock.now += 299
    assert throttle.admit() == 1
    clock.now += 1
    assert throttle.admit() == 0


@pytest.mark.parametrize(
    ("limits", "wait"),
    [
        ([], 0.0),
        ([Limit(500, 60.0, 1200)], 0.0),
        ([Limit(0, 60.0, 1200)], 60.0),
        ([Limit(0, 7.0, None), Limit(9, 60.0, 1200)], 7.0),
        ([Limit(9, 60.0, 1200), Limit(0, 0.5, None)], 6.0),
    ],
)
def test_the_strictest_of_the_reported_limits_counts(limits: list[Limit], wait: float) -> None:
    throttle = Throttle(requests=1000, per_s=300, in_flight=0, clock=Clock())
    throttle.observe(limits)
    assert throttle.admit() == wait


@pytest.mark.parametrize(("requests", "left"), [(5, 2), (3, 0), (2, 0)])
def test_what_another_has_spent_stays_spent(requests: int, left: int) -> None:
    former = Throttle(requests=5, per_s=60.0, in_flight=1, clock=lambda: 100.0)
    assert [former.admit() for _ in range(3)] == [0.0] * 3
    throttle = Throttle(requests=requests, per_s=60.0, in_flight=1, clock=lambda: 101.0)
    throttle.inherit(former)
    waits = [throttle.admit() for _ in range(left + 1)]
    assert waits[:left] == [0.0] * left
    assert waits[left] == pytest.approx(59.0, abs=0.01)


def test_a_block_is_inherited() -> None:
    former = Throttle(requests=5, per_s=60.0, in_flight=1, clock=lambda: 100.0)
    former.close_for(30.0)
    throttle = Throttle(requests=5, per_s=60.0, in_flight=1, clock=lambda: 110.0)
    throttle.inherit(former)
    assert throttle.admit() == pytest.approx(20.0)
