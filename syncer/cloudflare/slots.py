"""Places for requests in flight, shared fairly by the accounts that are being walked."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slots:
    """At most `total` requests in flight, and for each account its even share of them.

    A quarter of the places is kept for accounts that have none, so that one whose answers hang
    cannot keep a newcomer waiting.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._kept = total // 4
        self._in_flight: Counter[str] = Counter()
        self._sharers: set[str] = set()
        self._changed = asyncio.Event()

    @contextmanager
    def sharing(self, account_id: str) -> Iterator[None]:
        """Count the account among those that share, for as long as it is walked."""
        self._sharers.add(account_id)
        try:
            yield
        finally:
            self._sharers.discard(account_id)
            self._announce()

    async def acquire(self, account_id: str) -> None:
        """Wait for a place and take it."""
        while not self._has_place(account_id):
            await self._changed.wait()
        self._in_flight[account_id] += 1

    def release(self, account_id: str) -> None:
        """Give a place back."""
        self._in_flight[account_id] -= 1
        if not self._in_flight[account_id]:
            # Or every sum would go over all accounts that were ever walked.
            del self._in_flight[account_id]
        self._announce()

    def _has_place(self, account_id: str) -> bool:
        mine, all_ = self._in_flight[account_id], self._in_flight.total()
        if not mine:
            return all_ < self._total
        share = self._total // max(1, len(self._sharers))
        return mine < share and all_ < self._total - self._kept

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
