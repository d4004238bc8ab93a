"""Who is to be walked: the configured accounts, and those that the discoveries find."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from syncer.account import Account
from syncer.cloudflare.accounts import AccountList, list_accounts
from syncer.cloudflare.tally import Tally
from syncer.errors import Reason
from syncer.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from syncer.account import Discovery
    from syncer.cloudflare.client import CloudflareClient

log = structlog.get_logger()

_LONGEST_NAME: Final = 100  # as in the configuration


@dataclass(frozen=True, slots=True)
class Called:
    """Everybody that is known, and the discoveries of whose accounts nothing is known."""

    accounts: tuple[Account, ...]
    undiscovered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """What a discovery found last, and how that was configured then."""

    by: Discovery
    names: Mapping[str, str]


class Roster:
    """Asks the discoveries before each run, and remembers what they found last.

    It lives as long as the process. `accounts` are those of the last call; `listed` says of each
    discovery, by its label, whether it could be listed then.
    """

    def __init__(self) -> None:
        self.accounts: tuple[Account, ...] = ()
        self.listed: Mapping[str, bool] = {}
        self._found: dict[object, _Found] = {}

    async def call(
        self,
        client: CloudflareClient,
        configured: Sequence[Account],
        discoveries: Sequence[Discovery],
        *,
        timeout_s: float,
        stop: Stop,
    ) -> Called:
        """Find out who there is; what cannot be listed now counts as it was listed last."""
        last = self._last_of(discoveries)
        asked = await ask_all(client, discoveries, timeout_s=timeout_s, stop=stop, known=last)
        found: dict[object, _Found] = {}
        undiscovered = []
        for discovery, listed in asked:
            names = _announce(discovery, listed, last.get(discovery.key))
            if names is None:
                undiscovered.append(discovery.label)
            else:
                found[discovery.key] = _Found(discovery, names)
        self.accounts = merge(
            configured, [(one, found[one.key].names) for one in discoveries if one.key in found]
        )
        self._tell_changes(found)
        self._found = found
        self.listed = {one.label: listed.reason is None for one, listed in asked}
        return Called(self.accounts, tuple(undiscovered))

    def _last_of(self, discoveries: Sequence[Discovery]) -> dict[object, Mapping[str, str]]:
        """What each of them found last, as far as its patterns of today let it through.

        One that was not there before takes over from those that are gone, if its credential is
        theirs: whom another one found, it may not reach.
        """
        keys = {one.key for one in discoveries}
        sources = {one.source for one in discoveries}
        gone = [found for key, found in self._found.items() if key not in keys]
        unused = [found for found in gone if found.by.source not in sources]
        last: dict[object, Mapping[str, str]] = {}
        for one in discoveries:
            if one.key in self._found:
                former = [self._found[one.key]]
            else:
                edited = [found for found in gone if found.by.source == one.source]
                former = edited or [found for found in unused if _is_rotated(found.by, one)]
            names = {id_: name for found in former for id_, name in found.names.items()}
            if fitting := admitted(names, one.include, one.exclude):
                last[one.key] = fitting
        return last

    def _tell_changes(self, found: Mapping[object, _Found]) -> None:
        """Say who came and who went, of the discoveries that are as they were before."""
        known_before = {id_ for one in self._found.values() for id_ in one.names}
        at_work = {account.id: account.name for account in self.accounts}
        vanished: dict[str, str] = {}
        for key in found.keys() & self._found.keys():
            old, names = self._found[key].names, found[key].names
            for id_ in names.keys() - known_before:
                log.info("account.discovered", account_id=id_, account=at_work[id_])
            vanished |= {id_: old[id_] for id_ in old.keys() - names.keys() - at_work.keys()}
        for id_, name in vanished.items():
            log.warning("account.vanished", account_id=id_, account=_usable(name) or id_)


def _is_rotated(old: Discovery, new: Discovery) -> bool:
    """Whether another secret stands where the configuration itself held the old one."""
    return old.inline_at is not None and old.inline_at == new.inline_at


async def ask_all(
    client: CloudflareClient,
    discoveries: Sequence[Discovery],
    *,
    timeout_s: float,
    stop: Stop | None = None,
    known: Mapping[object, Collection[str]] | None = None,
) -> list[tuple[Discovery, AccountList]]:
    """Ask each discovery, at the same time, for the accounts that its patterns let through.

    `known` are the ids that each found last, by its key.
    """
    async with asyncio.TaskGroup() as group:
        asking = [
            group.create_task(
                _ask(client, one, timeout_s, stop or Stop(), (known or {}).get(one.key, ()))
            )
            for one in discoveries
        ]
    return [(one, task.result()) for one, task in zip(discoveries, asking, strict=True)]


async def _ask(
    client: CloudflareClient,
    discovery: Discovery,
    timeout_s: float,
    stop: Stop,
    known: Collection[str],
) -> AccountList:
    if discovery.problem is not None:
        return AccountList({}, Reason.ACCESS_DENIED, discovery.problem)
    tally = Tally()
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            with stop.cutting(deadline), client.slots.sharing(discovery.label):
                listed = await list_accounts(
                    client, discovery.label, discovery.credential, tally, known
                )
    except TimeoutError:
        if stop.requested:
            return AccountList({}, Reason.INTERRUPTED, "asked to stop")
        return AccountList({}, Reason.TIMEOUT, f"no whole list within {timeout_s:g} s")
    if listed.reason is not None:
        return listed
    names = admitted(listed.names, discovery.include, discovery.exclude)
    if not names:
        text = f"include and exclude let none of the {len(listed.names)} listed accounts through"
        some = [_usable(name) for name in islice(listed.names.values(), 3)]
        return AccountList({}, Reason.NOT_FOUND, text, kept_out=some)
    return replace(listed, names=names)


def admitted(
    names: Mapping[str, str], include: Sequence[str], exclude: Sequence[str]
) -> dict[str, str]:
    """Pick those whose name fits a pattern of `include` and none of `exclude`; case counts."""

    def fits(name: str, patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    return {
        id_: name for id_, name in names.items() if fits(name, include) and not fits(name, exclude)
    }


def merge(
    configured: Sequence[Account], found: Iterable[tuple[Discovery, Mapping[str, str]]]
) -> tuple[Account, ...]:
    """Give each account once: as it is configured, else as the first discovery has it.

    A discovered account whose name another one has, or has as its id, goes by its id.
    """
    accounts = {account.id: account for account in configured}
    for discovery, names in found:
        for id_, name in names.items():
            if id_ not in accounts:
                accounts[id_] = Account(id_, _usable(name) or id_, discovery.credential)
    fixed = {account.id for account in configured}
    taken = Counter(account.name for account in accounts.values())
    return tuple(
        account
        if id_ in fixed
        or (taken[account.name] == 1 and (account.name == id_ or account.name not in accounts))
        else replace(account, name=id_)
        for id_, account in accounts.items()
    )


def _usable(name: str) -> str:
    """Make one short line of a name that somebody else chose."""
    return "".join(one if one.isprintable() else " " for one in name).strip()[:_LONGEST_NAME]


def _announce(
    discovery: Discovery, listed: AccountList, last: Mapping[str, str] | None
) -> Mapping[str, str] | None:
    """Log how it went; what counts from now on, None where nothing is known."""
    if listed.reason is None:
        log.info("discovery.finished", discovery=discovery.label, accounts=len(listed.names))
        return listed.names
    log.warning(
        "discovery.failed",
        discovery=discovery.label,
        reason=listed.reason,
        error=listed.error,
        known_accounts=None if last is None else len(last),
    )
    return last
