"""A bound for what would otherwise take hours: far beyond what it takes, and yet an end."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60


@contextmanager
def patience() -> Iterator[None]:
    """Interrupt the main thread, even within a regular expression, when it takes too long."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"not done within {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
