"""Places for requests in flight, shared fairly by the accounts that are being walked."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slots:
    """At most `total` requests in flight, and for each account its even share of them.

    At most `sharers` accounts are walked at a time. Up to a quarter of the places is kept for those
    that are still to come, so that one whose answers hang cannot keep a newcomer waiting. Nobody is
    woken but with a place in hand: many wait, and to wake them all for each place that gets free
    would cost as much as the request.
    """

    def __init__(self, total: int, sharers: int) -> None:
        self._total = total
        self._most_sharers = sharers
        self._taken = 0
        self._in_flight: Counter[str] = Counter()
        self._sharers: set[str] = set()
        # The account that was handed a place longest ago comes first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextmanager
    def sharing(self, account_id: str) -> Iterator[None]:
        """Count the account among those that share, for as long as it is walked."""
        self._sharers.add(account_id)
        try:
            yield
        finally:
            self._sharers.discard(account_id)
            self._hand_out()

    async def acquire(self, account_id: str) -> None:
        """Wait for a place and take it."""
        if self._has_place(account_id):
            self._take(account_id)
            return
        place = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(account_id, deque())
        line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                with suppress(ValueError):
                    line.remove(place)
            else:
                # Handed over at the last moment, to somebody who wants it no more.
                self.release(account_id)
            raise

    def release(self, account_id: str) -> None:
        """Give a place back."""
        self._taken -= 1
        self._in_flight[account_id] -= 1
        if not self._in_flight[account_id]:
            # Or accounts that were walked once would stay for ever.
            del self._in_flight[account_id]
        self._hand_out()

    def _has_place(self, account_id: str) -> bool:
        mine = self._in_flight.get(account_id, 0)
        if not mine:
            return self._taken < self._total
        present = len(self._sharers)
        kept = min(self._total // 4, max(0, self._most_sharers - present))
        return mine < self._total // max(1, present) and self._taken < self._total - kept

    def _take(self, account_id: str) -> None:
        self._taken += 1
        self._in_flight[account_id] += 1

    def _hand_out(self) -> None:
        """Hand places to those that wait, until there is none left that one of them may have."""
        for account_id, line in list(self._waiting.items()):
            while line and self._has_place(account_id):
                place = line.popleft()
                if not place.cancelled():
                    self._take(account_id)
                    place.set_result(None)
                    self._waiting[account_id] = self._waiting.pop(account_id)
            if not line:
                del self._waiting[account_id]
            if self._taken == self._total:
                return
