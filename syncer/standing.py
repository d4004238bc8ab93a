"""How things stand by the database's account: whether it can be used, and how old what it has is.

All replicas on one database tell the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from syncer.errors import SyncerError
from syncer.store.migrate import refuse_other_revision
from syncer.store.state import read_freshness

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from syncer.store.engine import Database
    from syncer.store.state import Freshness

LONGEST_LOOK_S: Final = 3.0


class Named(Protocol):
    """An account as the configuration has it."""

    @property
    def id(self) -> str:
        """Its id at Cloudflare."""

    @property
    def name(self) -> str:
        """What people call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStanding:
    """How an account stands; `error_kind` is the word for what its last walk met, None for nothing.

    `last_complete_at` is when a walk of it was last complete, None where none ever was.
    """

    id: str
    name: str
    stale: bool = True
    last_complete_at: datetime | None = None
    consecutive_failures: int = 0
    error_kind: str | None = None

    @property
    def why_stale(self) -> str:
        """Say in a word what keeps it from being fresh."""
        if self.error_kind is not None:
            return self.error_kind
        return "never_synced" if self.last_complete_at is None else "not_synced_lately"


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found; where `error` says why the database cannot be used, there is no more."""

    error: str | None = None
    accounts: tuple[AccountStanding, ...] = ()


async def look(
    database: Database, accounts: Iterable[Named], *, longest_s: float = LONGEST_LOOK_S
) -> Standing:
    """Ask the database once about these accounts, for `longest_s` seconds at most."""
    try:
        async with asyncio.timeout(longest_s):
            async with database.transaction() as conn:
                await refuse_other_revision(conn)
                recorded = await read_freshness(conn)
    except SyncerError as error:
        return Standing(str(error))
    except TimeoutError:
        return Standing(f"PostgreSQL at {database.where} did not answer within {longest_s:g} s")
    return Standing(accounts=tuple(_standing(account, recorded) for account in accounts))


def _standing(account: Named, recorded: dict[str, Freshness]) -> AccountStanding:
    # An account that was never recorded was never synced.
    found = recorded.get(account.id)
    if found is None:
        return AccountStanding(id=account.id, name=account.name)
    return AccountStanding(
        id=account.id,
        name=account.name,
        stale=found.stale,
        last_complete_at=found.last_complete_at,
        consecutive_failures=found.consecutive_failures,
        error_kind=found.last_error_kind,
    )
