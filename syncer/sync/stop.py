"""How a run is asked to end early without losing what it has fetched."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stop:
    """Cuts every walk under way short, whatever it is waiting for."""

    def __init__(self) -> None:
        self.requested = False
        self._deadlines: set[asyncio.Timeout] = set()

    def request(self) -> None:
        """Let no further walk begin, and time out those under way now."""
        self.requested = True
        for deadline in self._deadlines:
            self._cut(deadline)

    @contextmanager
    def cutting(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """Put a timeout, just entered, under this stop's control."""
        self._deadlines.add(deadline)
        if self.requested:
            self._cut(deadline)
        try:
            yield
        finally:
            self._deadlines.discard(deadline)

    def _cut(self, deadline: asyncio.Timeout) -> None:
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time())
