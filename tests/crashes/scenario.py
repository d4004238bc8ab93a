"""Two accounts that were synced, an API that has moved on since, and the sync that is to notice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import WalkSettings
from syncer.demo.answers import Settings
from syncer.demo.api import SimulatedApi
from syncer.demo.budget import Limit
from syncer.demo.invoices import DEMO_DAY, make_invoice, settled
from syncer.store.engine import Database
from syncer.sync.account import AccountSettings
from tests.acceptance.program import Program
from tests.crashes.process import SyncerProcess
from tests.integration.running import SETTINGS, Site
from tests.proxies.frames import HttpFrames, PostgresFrames
from tests.proxies.proxy import Proxy, Traffic
from tests.proxies.servers import api_through, open_api, open_postgres, through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from syncer.demo.account import SimulatedAccount
    from syncer.sync.run import RunResult

PER_PAGE = 5
# What the history tells of each account in the end.
CHANGES = {
    "first": {"changed": 2, "missing": 2, "reappeared": 1},
    "second": {"changed": 2, "missing": 1},
}
# The tables, those first to which others refer.
TABLES = (
    "sync_runs",
    "account_syncs",
    "invoices",
    "invoice_history",
    "rejected_invoices",
    "sync_state",
    "account_digests",
)
_UNLIMITED = (Limit("default", 10**9, 300),)
_RUN_SETTINGS = replace(
    SETTINGS,
    account=AccountSettings(
        walk=WalkSettings(per_page=PER_PAGE),
        account_timeout_s=30.0,
        full_compare_every=timedelta(days=1),
        stale_after=timedelta(hours=1),
    ),
)
_SAVE = "CREATE SCHEMA saved;" + "".join(
    f"CREATE TABLE saved.{table} AS TABLE {table};" for table in TABLES
)
_RESTORE = f"TRUNCATE {', '.join(TABLES)};" + "".join(
    f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE saved.{table};" for table in TABLES
)
_OTHERS = """
SELECT
    ARRAY(
        SELECT concat_ws(' ', application_name, state, query) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'
    ) AS sessions,
    ARRAY(
        SELECT mode FROM pg_locks
        WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS locks,
    ARRAY(SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 't') AS temporary
"""


@dataclass
class Scenario:
    """The site, the program that reaches it through proxies only, and a way past them."""

    program: Program
    site: Site
    traffic: Traffic
    wires: tuple[Proxy, ...]
    control: asyncpg.Connection

    async def restore(self) -> None:
        """Put the database back to the state that was saved, and number messages from 1."""
        await self.control.execute(_RESTORE)
        self.restart()

    def restart(self) -> None:
        self.traffic.restart()
        for wire in self.wires:
            wire.restart()

    def syncer(self, *arguments: str) -> SyncerProcess:
        """Start a command with the configuration."""
        config = str(self.program.directory / "config.toml")
        return SyncerProcess("--config", config, *arguments, directory=self.program.directory)

    async def sync_again(self) -> RunResult:
        """Make a run in this process, past the proxies."""
        self.site.database = Database(self.program.dsn, pool_size=1)
        try:
            return await self.site.run(_RUN_SETTINGS)
        finally:
            await self.site.database.close()

    async def leftovers(self) -> dict[str, list[str]]:
        """Name the sessions, locks and temporary tables of others, where there are some."""
        async with asyncio.timeout(30):
            for wire in self.wires:
                await wire.wait_until_idle()
        found = await self.control.fetchrow(_OTHERS)
        return {what: names for what, names in found.items() if names}


@asynccontextmanager
async def scenario(directory: Path, dsn: str) -> AsyncIterator[Scenario]:
    """Give a program that was never run, with two accounts whose API has no invoices yet."""
    traffic = Traffic()
    async with (
        SimulatedApi(settings=Settings(limits=_UNLIMITED)) as api,
        Proxy("database", traffic, PostgresFrames, lambda: open_postgres(dsn)) as database_wire,
        Proxy("api", traffic, HttpFrames, lambda: open_api(api)) as api_wire,
    ):
        client = CloudflareClient(
            ClientSettings(base_url=api.base_url, user_agent="syncer/test", rate_requests=10**6)
        )
        control = await asyncpg.connect(dsn)
        program = Program(directory, api, dsn)
        site = Site(api, client, Database(dsn))
        program.settings = {
            "cloudflare": {
                "base_url": api_through(api, api_wire.port),
                "per_page": PER_PAGE,
                "concurrent_requests": 1,
                "max_attempts": 3,
            },
            "sync": {"concurrent_accounts": 1},
            # Migrations are killed in a test of their own.
            "database": {"url": through(dsn, database_wire.port), "auto_migrate": False},
        }
        for name in ("first", "second"):
            program.accounts[name] = site.add(name, 0)
        # Written once.
        assert program.config.exists()
        try:
            yield Scenario(program, site, traffic, (database_wire, api_wire), control)
        finally:
            await client.close()
            await control.close()


async def sync_before(scenario: Scenario) -> None:
    """Sync twice, and let the API move on: changed, new, absent, reappearing, rejected records."""
    first, second = scenario.site.simulated.values()
    first.invoices = [_invoice("first", number) for number in range(13)]
    second.invoices = [_invoice("second", number) for number in range(9)]
    await scenario.sync_again()
    reappearing = first.invoices.pop(6)
    second.invoices[3] = {**second.invoices[3], "amount_due": None}
    await scenario.sync_again()
    _move_on(first)
    first.invoices.insert(7, reappearing)
    first.invoices.insert(9, {**_invoice("first", 20), "currency": None})
    _move_on(second)
    await scenario.control.execute(_SAVE)


def _move_on(account: SimulatedAccount) -> None:
    """Change the first page and the last, remove from the second, and let one appear."""
    invoices = account.invoices
    invoices[0] = {**invoices[0], "description": "described anew"}
    invoices[-1] = settled(invoices[-1])
    del invoices[5]
    invoices.insert(0, _invoice(f"new of {account.id}", 0))


def _invoice(seed: str, number: int) -> dict[str, Any]:
    created_at = DEMO_DAY - number * timedelta(days=1)
    status: Literal["open", "paid"] = "paid" if number % 4 else "open"
    return make_invoice(seed, number, status=status, created_at=created_at)
