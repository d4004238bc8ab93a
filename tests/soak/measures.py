"""What is asked of a soak's figures. Pure."""

from __future__ import annotations

import math
from collections import deque
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def shortest_span(times: Iterable[float], count: int) -> float:
    """Return the shortest time within which `count` requests came; infinite where fewer came."""
    latest: deque[float] = deque(maxlen=count)
    shortest = math.inf
    for time in sorted(times):
        latest.append(time)
        if len(latest) == count:
            shortest = min(shortest, time - latest[0])
    return shortest


def busiest_window(times: Iterable[float], width_s: float) -> int:
    """Count the requests in the busiest window of this width, wherever it begins."""
    window: deque[float] = deque()
    most = 0
    for time in sorted(times):
        window.append(time)
        while window[0] <= time - width_s:
            window.popleft()
        most = max(most, len(window))
    return most


def growth(samples: Sequence[tuple[float, float]]) -> float:
    """Estimate by how much a value grew from the first sample's time to the last one's.

    The slope is the median of those between any two samples (Theil and Sen), so that neither a
    peak nor a sawtooth counts for growth.
    """
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(samples, 2) if t > s]
    if not slopes:
        return 0.0
    return median(slopes) * (samples[-1][0] - samples[0][0])
