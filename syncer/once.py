"""`syncer sync`: one pass over the accounts, or over some of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from syncer.app import open_app, require_credentials
from syncer.errors import ConfigurationError, SyncerError
from syncer.shutdown import Shutdown
from syncer.sync.roster import Called

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.account import Account
    from syncer.app import App
    from syncer.config import Settings
    from syncer.stop import Stop
    from syncer.sync.observer import Observer
    from syncer.sync.run import RunResult

log = structlog.get_logger()


def select_accounts(
    accounts: Sequence[Account], wanted: Sequence[str], undiscovered: Sequence[str] = ()
) -> list[Account]:
    """Pick accounts by id or name, all where none is named.

    Raises `ConfigurationError` with a finding for every name that is unknown, and `SyncerError`
    where it may be one of an `undiscovered` account.
    """
    known = {account.id: account for account in accounts}
    known |= {account.name: account for account in accounts}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        if undiscovered:
            raise SyncerError(
                f"--account {unknown[0]}: not known, as {', '.join(undiscovered)} failed"
            )
        names = ", ".join(account.name for account in accounts)
        raise ConfigurationError(
            [f"--account {name}: no such account is known; there are: {names}" for name in unknown]
        )
    picked = {known[name].id for name in wanted}
    return [account for account in accounts if not wanted or account.id in picked]


async def sync_once(settings: Settings, wanted: Sequence[str], observer: Observer) -> RunResult:
    """Make one pass over the accounts; SIGTERM and SIGINT end it early, storing what it got."""
    configured, discoveries = settings.read_accounts(), settings.read_discoveries()
    names = {name for account in configured for name in (account.id, account.name)}
    known: Called | None = None
    if not discoveries or (wanted and names.issuperset(wanted)):
        # Nobody has to be found, so that a mistake is one before anything is opened.
        known = Called(tuple(select_accounts(configured, wanted)))
    require_credentials((*configured, *discoveries) if known is None else known.accounts)
    shutdown = Shutdown(lambda name: log.warning("run.interrupted", signal=name))
    result: RunResult | None = None
    # Where only the farewells are cut, the run has ended and its result stands.
    with shutdown.on_signals(), suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            with shutdown.hard.cutting(deadline):
                async with open_app(settings, observer) as app:
                    called = known or await _call(app, wanted, shutdown.soft)
                    result = await app.runner.run(
                        called.accounts,
                        trigger="command",
                        stop=shutdown.soft,
                        all_known=not called.undiscovered,
                    )
    if result is None:
        raise SyncerError("interrupted before everything could be stored")
    return result


async def _call(app: App, wanted: Sequence[str], stop: Stop) -> Called:
    called = await app.call_accounts(stop)
    if not wanted:
        return called
    return Called(tuple(select_accounts(called.accounts, wanted, called.undiscovered)))
