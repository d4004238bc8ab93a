"""A simulated API with two accounts, and a client that takes every answer as it is."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from syncer.demo.account import SimulatedAccount
from syncer.demo.api import SimulatedApi
from syncer.demo.invoices import make_history
from tests.schema.conformance import violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from syncer.demo.account import Script
    from syncer.demo.delivery import SentResponse
    from syncer.demo.faults import Fault

ACCOUNT = "a" * 32
OTHER = "b" * 32
BEARER = {"Authorization": "Bearer good"}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Received:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.body)
        return payload

    @property
    def code(self) -> int:
        code: int = self.payload["errors"][0]["code"]
        return code

    @property
    def ids(self) -> list[str]:
        return [invoice["id"] for invoice in self.payload["result"]["invoices"]]

    @property
    def pagination(self) -> dict[str, Any]:
        pagination: dict[str, Any] = self.payload["result"]["pagination"]
        return pagination


@dataclass
class World:
    api: SimulatedApi
    account: SimulatedAccount
    clock: Clock
    session: aiohttp.ClientSession
    sent: list[SentResponse] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.url_of(ACCOUNT)

    def url_of(self, account_id: str) -> str:
        return f"{self.api.base_url}/accounts/{account_id}/ai-gateway/billing/invoice-history"

    async def get(
        self, url: str = "", *, headers: Mapping[str, str] = BEARER, **query: str | int
    ) -> Received:
        return await self.ask("GET", url, headers=headers, **query)

    async def ask(
        self, method: str, url: str = "", *, headers: Mapping[str, str], **query: str | int
    ) -> Received:
        async with self.session.request(
            method, url or self.url, headers=headers, params=query
        ) as response:
            return Received(response.status, response.headers, await response.read())


def once(fault: Fault) -> Script:
    return lambda nth, _seen: fault if nth == 1 else None


@asynccontextmanager
async def simulated_world() -> AsyncIterator[World]:
    """An account with 120 invoices; every answer that no fault touched conforms to the schema."""
    account = SimulatedAccount(
        ACCOUNT,
        logins={"good", ("jo@example.test", "k3y")},
        powerless={"weak"},
        invoices=make_history("tests", 120),
    )
    elsewhere = SimulatedAccount(OTHER, logins={"other"})
    sent: list[SentResponse] = []
    clock = Clock()
    async with (
        SimulatedApi(
            [account, elsewhere],
            clock=clock,
            on_response=lambda _seen, response: sent.append(response),
        ) as api,
        aiohttp.ClientSession() as session,
    ):
        yield World(api, account, clock, session, sent)
    assert [violations(response.body) for response in sent if response.fault is None] == [
        [] for response in sent if response.fault is None
    ]
