"""One credential's budget of requests.

Documented limit of the API: 1,200 requests in five minutes per user or account token, the
dashboard's included, and past it every call is refused for the next five minutes. A log of the
requests sent in the last window keeps to that in any window; a token bucket allows nearly twice
as many across the moment at which it is full.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, cast

from pyrate_limiter import InMemoryBucket, Rate, RateItem

from syncer.cloudflare.headers import Limit, pause_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Throttle:
    """Says when the next request may be sent; the caller does the waiting.

    `clock` is monotonic, in seconds. Never more than `requests` are admitted in any `per_s`
    seconds, and fewer while the API reports that little is left; up to `in_flight` that were
    admitted may not have reached it yet.
    """

    def __init__(
        self, *, requests: int, per_s: float, in_flight: int, clock: Callable[[], float]
    ) -> None:
        self._in_flight = in_flight
        self._clock = clock
        # The log counts whole milliseconds; one more keeps to the window at any fraction.
        self._requests = requests
        self._sent = InMemoryBucket([Rate(requests, ceil(per_s * 1000) + 1)])
        self._closed_until = 0.0

    def admit(self) -> float:
        """Admit one request now and return 0, or the seconds to wait before asking again."""
        now = self._clock()
        if now < self._closed_until:
            return self._closed_until - now
        request = RateItem("request", int(now * 1000))
        self._sent.leak(request.timestamp)
        if self._sent.put(request):
            return 0.0
        # A bucket in memory answers at once; only those of remote stores return an awaitable.
        return max(cast("int", self._sent.waiting(request)), 1) / 1000

    @property
    def is_idle(self) -> bool:
        """Whether nothing counts any more, so that a new one would admit the same."""
        now = self._clock()
        self._sent.leak(int(now * 1000))
        return now >= self._closed_until and not self._sent.count()

    def inherit(self, former: Throttle) -> None:
        """Count what another one with the same clock admitted, and keep closed as long as it."""
        self._closed_until = former._closed_until
        # Where fewer are allowed now, the last ones say the longest when there is room again.
        for request in former._sent.items[-self._requests :]:
            self._sent.put(request)

    def close_for(self, seconds: float) -> None:
        """Admit nothing for so long, because the API said so."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def observe(self, limits: Sequence[Limit]) -> None:
        """Spread what the API says is left over the time until its reset."""
        for limit in limits:
            self.close_for(pause_s(limit, in_flight=self._in_flight))
