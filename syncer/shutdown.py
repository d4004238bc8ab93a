"""SIGTERM and SIGINT: what is under way is stored, and the process ends in time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from syncer.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Kubernetes kills after 30 s, `docker stop` after 10 s: what is under way has to be stored by then.
DRAIN_S: Final = 6.0
# By then the process ends, whatever does not come to an end by itself: a name server or a database
# that swallows what it is sent can hold a thread, or a farewell, for minutes.
LAST_RESORT_S: Final = 9.0


class Shutdown:
    """SIGTERM and SIGINT: walks end and are stored (`soft`), then everything is cut (`hard`).

    A second signal cuts at once. Where even that hangs, the process ends with exit code 1.
    """

    def __init__(self, announce: Callable[[str], None]) -> None:
        self.soft = Stop()
        self.hard = Stop()
        self._announce = announce

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to the signals for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._request, number)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _request(self, number: signal.Signals) -> None:
        if self.soft.requested:
            self.hard.request()
            return
        self._announce(number.name)
        # A thread, because the loop may be gone and the interpreter still waits for others.
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, [1])
        last_resort.daemon = True
        last_resort.start()
        self.soft.request()
        asyncio.get_running_loop().call_later(DRAIN_S, self.hard.request)
