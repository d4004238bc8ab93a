"""The budgets of all credentials, each kept as long as it can make a difference."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncer.account import Credential
    from syncer.cloudflare.throttle import Throttle


@dataclass(slots=True)
class Gate:
    """A credential's budget, how many requests are about it, and how many of them wait for it.

    A request is about it as a context manager.
    """

    throttle: Throttle
    users: int = 0
    waiting: int = 0

    def __enter__(self) -> Self:
        self.users += 1
        return self

    def __exit__(self, *_error: object) -> None:
        self.users -= 1

    @property
    def is_idle(self) -> bool:
        """Whether a new one in its place would make no difference."""
        return not self.users and self.throttle.is_idle


class Gates:
    """One gate for each credential, whichever accounts share it."""

    def __init__(self, new_throttle: Callable[[], Throttle]) -> None:
        self._new_throttle = new_throttle
        # The one that was used longest ago comes first.
        self._gates: dict[Credential, Gate] = {}

    def of(self, credential: Credential) -> Gate:
        """Give the credential's gate, to be entered at once for one request."""
        gate = self._gates.pop(credential, None)
        if gate is None:
            self._forget_idle()
            gate = Gate(self._new_throttle())
        self._gates[credential] = gate
        return gate

    def inherit(self, former: Gates) -> None:
        """Start from what was spent of the same credentials before."""
        for credential, gate in former._gates.items():
            self.of(credential).throttle.inherit(gate.throttle)

    def _forget_idle(self) -> None:
        """Let go of credentials that were rotated away: a daemon lives for months."""
        idle = takewhile(lambda credential: self._gates[credential].is_idle, self._gates)
        for credential in list(idle):
            del self._gates[credential]
