"""An account whose sync meets one fault, and everything that is to be seen of it afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import structlog

from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import WalkSettings
from syncer.demo.api import SimulatedApi
from syncer.demo.faults import Answer
from syncer.demo.invoices import make_invoice
from tests.integration.fault_table import ATTEMPTS, INVOICES, PER_PAGE, Refused
from tests.integration.running import EMPTIED, Site, with_account
from tests.integration.walking import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from syncer.demo.account import Script, SeenRequest, SimulatedAccount
    from syncer.demo.faults import Fault
    from syncer.store.engine import Database
    from tests.integration.fault_table import Line, Position
    from tests.integration.running import Row

# One request after another: which of them meets the fault is then no matter of chance.
ONE_BY_ONE = with_account(walk=WalkSettings(per_page=PER_PAGE, concurrency=1))
NAME = "production"
# An invoice of former times, which the API lists no more.
FORMER = """
    INSERT INTO invoices (
        account_id, id, currency, amount_due, amount_paid, amount_remaining,
        first_seen_at, changed_at
    )
    VALUES ('{account_id}', 'in_former', 'usd', 1, 0, 1, now(), now())
"""

Event = dict[str, Any]


def on_page(number: int, fault: Fault) -> Script:
    """Let every request for this page meet the fault."""

    def script(_nth: int, seen: SeenRequest) -> Fault | None:
        return fault if seen.query["page"] == str(number) else None

    return script


@dataclass
class Trap:
    """Another host, to which nobody has a reason to connect."""

    url: str = ""
    connections: int = 0

    async def connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def trap() -> AsyncIterator[Trap]:
    made = Trap()
    async with await asyncio.start_server(made.connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        made.url = f"http://localhost:{port}/client/v4"
        yield made


@dataclass
class ShiftingClock(Clock):
    """Time that passes only while somebody sleeps, after which something else may happen."""

    after_sleep: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.after_sleep is not None:
            await self.after_sleep()


@dataclass
class Disturbed:
    """One account with a fault in its way; the clock moves only while somebody waits."""

    site: Site
    account: SimulatedAccount
    clock: ShiftingClock
    trap: Trap
    events: list[Event] = field(default_factory=list)

    async def run(self) -> None:
        """Sync once, and keep the log of it alone."""
        merge = structlog.contextvars.merge_contextvars
        with structlog.testing.capture_logs([merge]) as events:
            await self.site.run(ONE_BY_ONE)
        self.events = [dict(event) for event in events]

    @property
    def waited_s(self) -> float:
        return self.clock.now - Clock().now

    async def disturb(self, line: Line, position: Position, *, for_ever: bool) -> None:
        """Let the fault be met at this position, once or from then on."""
        faulty = range(position.nth, 10**6 if for_ever else position.nth + 1)
        fault = self._towards_trap(line.fault)
        api = self.site.api
        if isinstance(fault, Refused):
            self.clock.after_sleep = None if for_ever else api.accept_connections
            if position.nth == 1:
                await api.refuse_connections()

        async def script(nth: int, _seen: SeenRequest) -> Fault | None:
            if position.name == "re-walk" and nth == 3:
                self.account.invoices.insert(0, make_invoice(NAME, -1))
            if isinstance(fault, Refused):
                if nth == position.nth - 1:
                    await api.refuse_connections()
                return None
            return fault if nth in faulty else None

        self.account.script = script

    async def heal(self) -> None:
        self.account.script = None
        await self.site.api.accept_connections()

    def _towards_trap(self, fault: Fault | Refused) -> Fault | Refused:
        if isinstance(fault, Answer) and 300 <= fault.status < 400:
            return replace(fault, headers={"Location": self.trap.url})
        return fault

    async def outcome(self) -> Row:
        """The account's entry in the journal, of the latest run."""
        return await self.site.row("SELECT * FROM account_syncs ORDER BY started_at DESC LIMIT 1")

    async def state(self) -> Row:
        """How the account stands."""
        return await self.site.row("SELECT * FROM sync_state")

    @property
    def asked(self) -> list[int]:
        """The pages that were on the wire, in order."""
        return [int(seen.query["page"]) for seen in self.site.api.requests]


@asynccontextmanager
async def disturbed(
    database: Database, *, request_timeout_s: float = 30.0
) -> AsyncIterator[Disturbed]:
    clock = ShiftingClock()
    async with SimulatedApi(clock=clock) as api, trap() as snare:
        settings = ClientSettings(
            base_url=api.base_url,
            user_agent="syncer/test",
            max_attempts=ATTEMPTS,
            request_timeout_s=request_timeout_s,
        )
        client = CloudflareClient(settings, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)
        try:
            site = Site(api, client, database)
            account = site.add(NAME, INVOICES)
            await site.execute(EMPTIED)
            await site.execute(FORMER.format(account_id=account.id))
            yield Disturbed(site, account, clock, snare)
        finally:
            await client.close()
