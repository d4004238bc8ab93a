"""What differs between two configurations, by their keys; a value is never told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from syncer.config.keys import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncer.config.keys import KeyPath
    from syncer.config.settings import AccountSettings, Settings

# The database is connected, the port is bound and the stream's format is chosen once, at the start.
RESTART_NEEDED: Final[tuple[KeyPath, ...]] = (
    ("database",),
    ("health", "listen"),
    ("log", "format"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Which keys differ, and of those which hold only after a restart; accounts by their names.

    Of an account that stays, and of the lists of other tables, only the whole is told.
    """

    keys: tuple[str, ...]
    restart_needed: tuple[str, ...]
    accounts_added: tuple[str, ...]
    accounts_removed: tuple[str, ...]
    accounts_changed: tuple[str, ...]


def changes(old: Settings, new: Settings) -> Changes:
    """Compare two configurations."""
    paths = tuple(_differing(old, new))
    before = {account.id: account for account in old.accounts}
    after = {account.id: account for account in new.accounts}
    return Changes(
        keys=tuple(dotted(path) for path in paths),
        restart_needed=tuple(dotted(path) for path in paths if needs_restart(path)),
        accounts_added=_names(account for id_, account in after.items() if id_ not in before),
        accounts_removed=_names(account for id_, account in before.items() if id_ not in after),
        accounts_changed=_names(
            account for id_, account in after.items() if id_ in before and account != before[id_]
        ),
    )


def needs_restart(path: KeyPath) -> bool:
    """Whether what a key says holds only after a restart."""
    return any(path[: len(fixed)] == fixed for fixed in RESTART_NEEDED)


def with_started(new: Settings, started: Settings) -> Settings:
    """Give a configuration, but with what the process was started with where that is fixed."""
    return new.model_copy(
        update={
            "database": started.database,
            "health": new.health.model_copy(update={"listen": started.health.listen}),
            "log": new.log.model_copy(update={"format": started.log.format}),
        }
    )


def _differing(old: BaseModel, new: BaseModel, above: KeyPath = ()) -> Iterator[KeyPath]:
    for name, info in type(new).model_fields.items():
        path = (*above, info.alias or name)
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _differing(before, after, path)
        elif before != after:
            yield path


def _names(accounts: Iterator[AccountSettings] | Sequence[AccountSettings]) -> tuple[str, ...]:
    return tuple(account.name for account in accounts)
