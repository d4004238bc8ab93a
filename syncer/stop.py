"""How whatever is under way is asked to end early, without losing what it has got so far."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stop:
    """Times out at once everything that is put under its control, whatever that is waiting for."""

    def __init__(self) -> None:
        self.requested = False
        self._deadlines: set[asyncio.Timeout] = set()

    def request(self) -> None:
        """Cut what is under way now, and whatever comes later."""
        self.requested = True
        for deadline in self._deadlines:
            _cut(deadline)

    @contextmanager
    def cutting(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """Put a timeout that has just been entered under this stop's control."""
        self._deadlines.add(deadline)
        if self.requested:
            _cut(deadline)
        try:
            yield
        finally:
            self._deadlines.discard(deadline)

    async def pause(self, seconds: float | None) -> None:
        """Wait for so long (None: for ever), or until the stop is requested."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as deadline:
                with self.cutting(deadline):
                    await asyncio.Event().wait()


def _cut(deadline: asyncio.Timeout) -> None:
    if not deadline.expired():
        deadline.reschedule(asyncio.get_running_loop().time())
