"""How many requests one credential may make, and what the answers say about it. Pure.

Documented: 1,200 requests per five minutes and user or account token; past it, every call is
refused for the next five minutes. Every answer carries `Ratelimit` and `Ratelimit-Policy`, both
lists, and a refusal carries `Retry-After` in whole seconds, rounded up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Limit:
    """One quota: `quota` requests in each window of `window_s` seconds."""

    name: str
    quota: int
    window_s: int


@dataclass(slots=True)
class _Window:
    limit: Limit
    opened_at: float
    used: int = 0
    blocked_until: float = -math.inf

    def reopen_if_lapsed(self, now: float) -> None:
        if now >= self.opened_at + self.limit.window_s:
            self.opened_at, self.used = now, 0

    def count(self, now: float) -> None:
        self.used += 1
        if self.used > self.limit.quota:
            self.blocked_until = now + self.limit.window_s

    def remaining(self, now: float) -> int:
        return 0 if now < self.blocked_until else max(0, self.limit.quota - self.used)

    def reset_s(self, now: float) -> int:
        reset_at = max(self.blocked_until, self.opened_at + self.limit.window_s)
        return math.ceil(reset_at - now)


class Budget:
    """What one credential has left of every limit. Times are of any monotonic clock."""

    def __init__(self, limits: Iterable[Limit], now: float) -> None:
        self._windows = [_Window(limit, now) for limit in limits]

    def spend(self, now: float) -> int | None:
        """Count a request; whole seconds to wait if it is refused, None if it may pass.

        The request that exceeds a quota is itself refused and starts the block; requests during
        the block neither count nor prolong it.
        """
        blocked_s = self._blocked_s(now)
        if blocked_s is not None:
            return blocked_s
        for window in self._windows:
            window.reopen_if_lapsed(now)
            window.count(now)
        return self._blocked_s(now)

    def headers(self, now: float) -> dict[str, str]:
        """`Ratelimit: "default";r=50;t=30` and `Ratelimit-Policy: "default";q=100;w=60`."""
        return {
            "Ratelimit": ", ".join(
                f'"{window.limit.name}";r={window.remaining(now)};t={window.reset_s(now)}'
                for window in self._windows
            ),
            "Ratelimit-Policy": ", ".join(
                f'"{window.limit.name}";q={window.limit.quota};w={window.limit.window_s}'
                for window in self._windows
            ),
        }

    def _blocked_s(self, now: float) -> int | None:
        blocked_until = max((window.blocked_until for window in self._windows), default=-math.inf)
        return math.ceil(blocked_until - now) if now < blocked_until else None
