"""What a run tells whoever watches it, such as a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from syncer.account import Account
    from syncer.store.journal import AccountRecord


class Observer(Protocol):
    """Called from the run's own task; must neither block nor raise."""

    def account_started(self, account: Account, /) -> None:
        """An account's turn has come."""

    def page_fetched(self, account: Account, pages: int, expected: int, /) -> None:
        """So many pages of the present walk have arrived, of so many that are expected."""

    def account_finished(self, record: AccountRecord, /) -> None:
        """An account is done, for better or worse."""


class Unobserved:
    """Nobody is watching."""

    def account_started(self, _account: Account, /) -> None:
        """Do nothing."""

    def page_fetched(self, _account: Account, _pages: int, _expected: int, /) -> None:
        """Do nothing."""

    def account_finished(self, _record: AccountRecord, /) -> None:
        """Do nothing."""
