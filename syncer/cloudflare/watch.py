"""What the client tells whoever counts what asking costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from syncer.errors import Reason


class Watch(Protocol):
    """Called from the task that asks; must neither block nor raise."""

    def request_ended(self, status: int | None, /) -> None:
        """A request was answered with this HTTP status; None: there was no complete answer."""

    def retry_scheduled(self, reason: Reason, /) -> None:
        """A request that failed for this reason will be made again."""

    def throttled(self, wait_s: float, /) -> None:
        """A request has waited for so many seconds, as the credential's budget was spent."""


class Unwatched:
    """Nobody is counting."""

    def request_ended(self, _status: int | None, /) -> None:
        """Do nothing."""

    def retry_scheduled(self, _reason: Reason, /) -> None:
        """Do nothing."""

    def throttled(self, _wait_s: float, /) -> None:
        """Do nothing."""
