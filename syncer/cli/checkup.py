"""`syncer check`: one line per finding, each with what to do about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from syncer.app import database_exists, open_client, open_database, walk_settings
from syncer.cli.codes import EXIT_DATABASE, EXIT_INCOMPLETE, EXIT_USAGE
from syncer.cli.screen import say
from syncer.cloudflare.page_source import PageSource
from syncer.cloudflare.tally import Tally
from syncer.demo.cluster import find_binaries
from syncer.errors import CloudflareError, ConfigurationError, SyncerError
from syncer.store.migrate import schema_state
from syncer.store.prerequisites import require_utf8, require_writable
from syncer.store.privileges import missing_privileges, missing_tables
from syncer.sync.roster import ask_all, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.account import Account, Discovery
    from syncer.cloudflare.client import CloudflareClient
    from syncer.config import Settings


async def check_everything(settings: Settings) -> int:
    """Print every finding and return the exit code; writes nothing anywhere.

    A user of the database without its rights is a mistake of the configuration.
    """
    configured, discoveries = settings.read_accounts(), settings.read_discoveries()
    found = f" and {len(discoveries)} discovery(ies)" if discoveries else ""
    _find("ok", "configuration", f"{len(configured)} account(s){found}")
    for warning in settings.warnings:
        _find("warning", "configuration", warning)
    database_code = await _check_database(settings)
    try:
        client = open_client(settings)
    except ConfigurationError as error:
        _find("error", "configuration", str(error))
        return EXIT_USAGE
    try:
        accounts, all_found = await _find_accounts(settings, client, configured, discoveries)
        # Each has its time from its turn on, or those behind a spent budget would run out of it.
        turns = asyncio.Semaphore(settings.sync.concurrent_accounts)
        async with asyncio.TaskGroup() as group:
            checks = [
                group.create_task(_check_account(settings, client, account, turns))
                for account in accounts
            ]
    finally:
        await client.close()
    if any(account.problem for account in accounts) or any(one.problem for one in discoveries):
        return EXIT_USAGE
    if database_code:
        return database_code
    return 0 if all_found and all(check.result() for check in checks) else EXIT_INCOMPLETE


async def _find_accounts(
    settings: Settings,
    client: CloudflareClient,
    configured: Sequence[Account],
    discoveries: Sequence[Discovery],
) -> tuple[tuple[Account, ...], bool]:
    """Try each discovery; everybody that is known then, and whether that is all there are."""
    timeout_s = settings.sync.account_timeout.total_seconds()
    found = []
    for discovery, listed in await ask_all(client, discoveries, timeout_s=timeout_s):
        if listed.reason is None:
            _find("ok", discovery.label, f"finds {len(listed.names)} account(s)")
            found.append((discovery, listed.names))
        else:
            some = ", ".join(f'"{name}"' for name in listed.kept_out)
            _find("error", discovery.label, listed.error + (f", such as {some}" if some else ""))
    return merge(configured, found), len(found) == len(discoveries)


def _find(level: str, subject: str, text: str) -> None:
    say(f"{level:<8} {subject}: {text}")


async def _check_database(settings: Settings) -> int:
    """Print what is found, and return the exit code for it."""
    if not database_exists(settings):
        try:
            find_binaries()
        except SyncerError as error:
            _find("error", "database", str(error))
            return EXIT_DATABASE
        directory = settings.database.data_dir
        _find("ok", "database", f"embedded; the first run, sync or migrate makes it in {directory}")
        return 0
    try:
        async with open_database(settings) as database:
            state = await schema_state(database)
            _find("ok", "database", f"reachable at {database.where}")
            async with database.transaction() as conn:
                await require_utf8(conn)
                await require_writable(conn)
                if not state.at_head:
                    _find("error", "schema", str(state))
                    return EXIT_DATABASE
                gone = await missing_tables(conn)
                pruned = [table for table, age in settings.retention if age is not None]
                lacking = None if gone else await missing_privileges(conn, pruned=pruned)
    except SyncerError as error:
        _find("error", "database", f"{error}; see [database]")
        return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_DATABASE
    if gone:
        _find("error", "schema", f"{state}, but {gone} are gone: restore a backup")
        return EXIT_DATABASE
    _find("ok", "schema", str(state))
    if lacking:
        pages = "docs/operations.md lists" + (", and docs/retention.md" if pruned else "")
        _find("error", "database", f"its user lacks {lacking}; grant what {pages}")
        return EXIT_USAGE
    return 0


async def _check_account(
    settings: Settings, client: CloudflareClient, account: Account, turns: asyncio.Semaphore
) -> bool:
    subject = f"account {account.name}"
    if account.problem:
        _find("error", subject, account.problem)
        return False
    source = PageSource(client, account, walk_settings(settings), Tally())
    try:
        async with turns, asyncio.timeout(settings.sync.account_timeout.total_seconds()):
            with client.slots.sharing(account.id):
                page = await source.first_page()
    except CloudflareError as error:
        _find("error", subject, str(error))
        return False
    except TimeoutError:
        _find("error", subject, "no page within [sync].account_timeout")
        return False
    total = "an unknown number of" if page.total is None else page.total
    _find("ok", subject, f"the credential reads its history; the API reports {total} invoice(s)")
    return True
