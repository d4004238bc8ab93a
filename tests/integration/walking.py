"""A client with a clock of its own, walking a simulated account."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import Walk, WalkSettings, walk_account
from syncer.demo.account import SimulatedAccount
from syncer.demo.answers import Settings
from syncer.demo.api import SimulatedApi
from syncer.demo.invoices import make_history
from tests.schema.conformance import violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncer.demo.account import SeenRequest
    from syncer.demo.delivery import SentResponse

ACCOUNT_ID = "a" * 32
ACCOUNT = Account(ACCOUNT_ID, "production", Credential(token="good"))


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        # Those who sleep at the same time do so together, not one after another.
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)


@dataclass
class World:
    """One simulated account of so many invoices, and a client to walk it with."""

    api: SimulatedApi
    account: SimulatedAccount
    client: CloudflareClient
    clock: Clock

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(invoice["id"] for invoice in self.account.invoices)

    @property
    def asked(self) -> list[str]:
        """The page numbers on the wire, in the order of arrival."""
        return [seen.query.get("page", "-") for seen in self.api.requests]

    async def walk(self, settings: WalkSettings | None = None, account: Account = ACCOUNT) -> Walk:
        walk = Walk()
        await walk_account(
            self.client, account, settings or WalkSettings(), walk, lambda _pages, _expected: None
        )
        return walk


def check_response(_seen: SeenRequest, sent: SentResponse) -> None:
    """Hold every answer that the simulation composes itself against the documented shape."""
    if sent.fault is None:
        assert violations(sent.body) == []


@asynccontextmanager
async def walking(
    invoices: int = 120,
    *,
    settings: Settings | None = None,
    client: ClientSettings | None = None,
    jitter: float = 0.5,
) -> AsyncIterator[World]:
    account = SimulatedAccount(ACCOUNT_ID, {"good"}, invoices=make_history("test", invoices))
    clock = Clock()
    async with SimulatedApi(
        [account], settings=settings or Settings(), clock=clock, on_response=check_response
    ) as api:
        defaults = client or ClientSettings(base_url="", user_agent="syncer/test")
        http = CloudflareClient(
            ClientSettings(
                base_url=api.base_url,
                user_agent=defaults.user_agent,
                concurrent_requests=defaults.concurrent_requests,
                request_timeout_s=defaults.request_timeout_s,
                rate_requests=defaults.rate_requests,
                rate_per_s=defaults.rate_per_s,
                max_attempts=defaults.max_attempts,
            ),
            clock=clock,
            sleep=clock.sleep,
            jitter=lambda: jitter,
        )
        try:
            yield World(api, account, http, clock)
        finally:
            await http.close()
