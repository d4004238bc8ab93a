import math

import pytest

from tests.soak.measures import busiest_window, growth, shortest_span


def test_the_busiest_window_is_found_wherever_it_begins() -> None:
    times = [0.0, 9.5, 9.6, 9.7, 10.1, 30.0]
    assert busiest_window(times, 10) == 4
    assert busiest_window(reversed(times), 10) == 4
    assert busiest_window(times, 0.5) == 3


def test_a_window_ends_where_the_next_one_may_begin() -> None:
    assert busiest_window([0.0, 1.0, 10.0], 10) == 2
    assert busiest_window([], 10) == 0


def test_the_shortest_span_is_found_wherever_it_lies() -> None:
    times = [0.0, 9.5, 9.6, 9.8, 10.1, 30.0]
    assert shortest_span(times, 3) == pytest.approx(0.3)
    assert shortest_span(reversed(times), 6) == 30
    assert shortest_span(times, 7) == math.inf


def test_a_steady_rise_is_growth_and_a_peak_is_none() -> None:
    rising = [(float(second), 100 + 2.0 * second) for second in range(11)]
    assert growth(rising) == pytest.approx(20)
    peak = [(float(second), 500.0 if second == 5 else 100.0) for second in range(11)]
    assert growth(peak) == 0
    sawtooth = [(float(second), 100.0 + second % 3) for second in range(30)]
    assert abs(growth(sawtooth)) < 1


def test_a_single_sample_does_not_grow() -> None:
    assert growth([(0.0, 1.0)]) == 0
