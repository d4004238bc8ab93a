"""SIGHUP: the configuration is read again, and holds from the next run on; or nothing changes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from syncer import logs
from syncer.app import require_credentials
from syncer.config import trusted_authorities
from syncer.config.changes import changes, with_started
from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncer.config import Settings

log = structlog.get_logger()


class Reload:
    """The configuration that holds from the next run on.

    It is judged as at the start, and rejected whole where anything is wrong with it. What the
    process cannot change any more stays as it was started with. `reread` raises
    `ConfigurationError`; `accept` is called with each new configuration as soon as it is there.
    """

    def __init__(self, settings: Settings, reread: Callable[[], Settings]) -> None:
        self.settings = settings
        self.accept: Callable[[Settings], None] = lambda _settings: None
        self._started = settings
        self._reread = reread

    @contextmanager
    def on_signal(self) -> Iterator[None]:
        """Listen to SIGHUP for as long as the context lasts, and ignore it afterwards."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.request)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            # Or one that comes during the farewells would end the process.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def request(self) -> None:
        """Read the configuration now, and say what has changed or what is wrong with it."""
        try:
            found = self._reread()
            require_credentials((*found.read_accounts(), *found.read_discoveries()))
            trusted_authorities(found.cloudflare.ca_file)
        except ConfigurationError as error:
            log.error("configuration.rejected", findings=error.findings)
            return
        for finding in found.warnings:
            log.warning("configuration.unwise", finding=finding)
        restart_needed = changes(self._started, found).restart_needed
        if restart_needed:
            log.warning("configuration.restart_needed", keys=restart_needed)
        settings = with_started(found, self._started)
        changed = changes(self.settings, settings)
        logs.configure(format=settings.log.format, level=settings.log.level)
        log.info(
            "configuration.reloaded",
            keys=changed.keys,
            accounts_added=changed.accounts_added,
            accounts_removed=changed.accounts_removed,
            accounts_changed=changed.accounts_changed,
        )
        self.settings = settings
        self.accept(settings)
