"""Simulated accounts, a real database, and runs over both."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import WalkSettings
from syncer.demo.account import SimulatedAccount
from syncer.demo.api import SimulatedApi
from syncer.demo.invoices import make_history
from syncer.stop import Stop
from syncer.sync.account import AccountSettings
from syncer.sync.observer import Unobserved
from syncer.sync.run import Runner, RunResult, RunSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from syncer.store.engine import Database
    from syncer.store.journal import AccountRecord, Trigger

Row = dict[str, Any]

SETTINGS = RunSettings(
    account=AccountSettings(
        walk=WalkSettings(),
        account_timeout_s=30.0,
        full_compare_every=timedelta(days=1),
        stale_after=timedelta(hours=1),
    ),
    concurrent_accounts=8,
    version="1.2.3",
    host="testhost",
)


# Making a database for each of many cases would take longer than the cases. TRUNCATE makes new
# files, which takes longer, too; the walks go with their runs.
EMPTIED = """
    WITH
        _1 AS (DELETE FROM invoices),
        _2 AS (DELETE FROM invoice_history),
        _3 AS (DELETE FROM rejected_invoices),
        _4 AS (DELETE FROM sync_state),
        _5 AS (DELETE FROM account_digests)
    DELETE FROM sync_runs
"""


def with_account(**changes: Any) -> RunSettings:
    return replace(SETTINGS, account=replace(SETTINGS.account, **changes))


@dataclass
class Site:
    """The accounts on both sides, and what is between them."""

    api: SimulatedApi
    client: CloudflareClient
    database: Database
    accounts: dict[str, Account] = field(default_factory=dict)
    simulated: dict[str, SimulatedAccount] = field(default_factory=dict)

    def add(self, name: str, invoices: int) -> SimulatedAccount:
        """Open an account of so many invoices with a token of its own."""
        account_id = f"{len(self.accounts) + 1:032x}"
        token = f"token-of-{name}"
        simulated = SimulatedAccount(account_id, {token}, invoices=make_history(name, invoices))
        self.api.accounts[account_id] = self.simulated[name] = simulated
        self.accounts[name] = Account(account_id, name, Credential(token=token))
        return simulated

    def runner(self, settings: RunSettings = SETTINGS) -> Runner:
        return Runner(
            client=self.client, database=self.database, settings=settings, observer=Unobserved()
        )

    async def run(
        self,
        settings: RunSettings = SETTINGS,
        *,
        trigger: Trigger = "command",
        tick: datetime | None = None,
        stop: Stop | None = None,
        next_is_due: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        accounts = list(self.accounts.values())
        return await self.runner(settings).run(
            accounts, trigger=trigger, tick=tick, stop=stop or Stop(), next_is_due=next_is_due
        )

    async def rows(self, query: str, **values: object) -> list[Row]:
        async with self.database.transaction() as conn:
            return [dict(row) for row in (await conn.execute(text(query), values)).mappings()]

    async def row(self, query: str, **values: object) -> Row:
        (row,) = await self.rows(query, **values)
        return row

    async def execute(self, statement: str) -> None:
        async with self.database.transaction() as conn:
            await conn.execute(text(statement))


def of(result: RunResult, name: str) -> AccountRecord:
    (record,) = (record for record in result.records if record.account_name == name)
    return record


@asynccontextmanager
async def site(database: Database) -> AsyncIterator[Site]:
    async with SimulatedApi() as api:
        client = CloudflareClient(
            ClientSettings(base_url=api.base_url, user_agent="syncer/test", max_attempts=2),
            jitter=lambda: 0.0,
        )
        try:
            yield Site(api, client, database)
        finally:
            await client.close()
