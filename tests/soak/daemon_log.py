"""What the daemon's log says, counted as it comes: a soak's log is too long to be kept."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Event = dict[str, Any]


class DaemonLog:
    """Counts of events, outcomes and runs; `last` are the last lines."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.requests = 0
        self.last: deque[Event] = deque(maxlen=20)
        # None of these is ever to be seen.
        self.unreadable: list[str] = []
        self.crashes: list[Event] = []
        self.foreign: list[Event] = []
        self._waiters: list[tuple[Callable[[Event], bool], asyncio.Future[Event]]] = []

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read to the end."""
        while line := await stream.readline():
            try:
                event = json.loads(line)
            except ValueError:
                self.unreadable.append(line.decode(errors="replace"))
            else:
                self._note(event)

    async def event(self, wanted: Callable[[Event], bool], *, within_s: float) -> Event:
        """Wait for the next event that is wanted."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiters.append((wanted, future))
        async with asyncio.timeout(within_s):
            return await future

    def _note(self, event: Event) -> None:
        name = event["event"]
        self.last.append(event)
        self.events[name] += 1
        if name == "run.crashed":
            self.crashes.append(event)
        elif "logger" in event:
            self.foreign.append(event)
        elif name.startswith("account.") and name != "account.recovered":
            self.outcomes[event.get("reason") or "complete"] += 1
        elif name == "run.finished":
            self.runs[event["status"]] += 1
            self.requests += event["requests"]
        served = [one for one in self._waiters if not one[1].done() and one[0](event)]
        for one in served:
            one[1].set_result(event)
            self._waiters.remove(one)
