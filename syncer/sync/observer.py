"""What a run tells whoever watches it, such as a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from syncer.account import Account
    from syncer.store.journal import AccountRecord, RunStatus, Trigger


class Observer(Protocol):
    """Called from the run's own task; must neither block nor raise."""

    def run_started(self, trigger: Trigger, /) -> None:
        """A run begins; its end will be told in any case."""

    def run_ended(self, trigger: Trigger, status: RunStatus | None, seconds: float, /) -> None:
        """The run ended after so long; without a status where an exception or a signal ended it."""

    def account_started(self, account: Account, /) -> None:
        """An account's turn has come."""

    def page_fetched(self, account: Account, pages: int, expected: int, /) -> None:
        """So many pages of the present walk have arrived, of so many that are expected."""

    def account_finished(self, record: AccountRecord, seconds: float, /) -> None:
        """An account is done, for better or worse, after so long."""


class Unobserved:
    """Nobody is watching."""

    def run_started(self, _trigger: Trigger, /) -> None:
        """Do nothing."""

    def run_ended(self, _trigger: Trigger, _status: RunStatus | None, _seconds: float, /) -> None:
        """Do nothing."""

    def account_started(self, _account: Account, /) -> None:
        """Do nothing."""

    def page_fetched(self, _account: Account, _pages: int, _expected: int, /) -> None:
        """Do nothing."""

    def account_finished(self, _record: AccountRecord, _seconds: float, /) -> None:
        """Do nothing."""
