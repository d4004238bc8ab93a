"""What bounds a fault: the credential, the account's deadline, and the limit of a body."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog

from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.demo.faults import Flood, Hang, Trickle
from tests.integration.disturbed import disturbed, on_page
from tests.integration.fault_table import ATTEMPTS
from tests.integration.running import Site, of, with_account
from tests.integration.spoiled import compressed, html, throttled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncer.account import Credential
    from syncer.demo.account import SeenRequest
    from syncer.demo.faults import Fault
    from syncer.store.engine import Database
    from syncer.store.journal import AccountRecord

# Long enough for an answer on a busy machine; all of it passes.
DEADLINE_S = 5.0
# More than the largest body that is read, twice; a bomb's content would take thirty times as much.
MEMORY_BYTES = 64 * 2**20


class Waits:
    """Real time, and word of who has to wait for long."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds > 60:
            self.begun.set()
        await asyncio.sleep(seconds)


def share(here: Site, name: str, credential: Credential) -> None:
    """Let an account be read with another one's credential."""
    here.accounts[name] = replace(here.accounts[name], credential=credential)
    here.simulated[name].logins = {credential.token or ""}


@asynccontextmanager
async def in_real_time(
    here: Site, waits: Waits, *, rate_requests: int = 1000
) -> AsyncIterator[Site]:
    """The same accounts, and a client whose waits are real."""
    settings = ClientSettings(
        base_url=here.api.base_url, user_agent="syncer/test", rate_requests=rate_requests
    )
    client = CloudflareClient(settings, sleep=waits.sleep, jitter=lambda: 0.0)
    try:
        yield Site(here.api, client, here.database, here.accounts, here.simulated)
    finally:
        await client.close()


@pytest.mark.slow
async def test_a_long_throttle_stops_its_credential_alone_until_the_deadline(here: Site) -> None:
    waits = Waits()
    # In this order: the third account's turn comes when the second is done.
    throttled_one, _other, _sharing = (here.add(name, 60) for name in ("blocked", "free", "held"))
    share(here, "held", here.accounts["blocked"].credential)
    throttled_one.script = on_page(2, throttled(Retry_After="300"))

    async def script(_nth: int, _seen: SeenRequest) -> None:
        await waits.begun.wait()

    here.simulated["free"].script = script
    settings = replace(with_account(account_timeout_s=DEADLINE_S), concurrent_accounts=2)
    with structlog.testing.capture_logs() as events:
        async with in_real_time(here, waits) as there:
            result = await there.run(settings)
    free, blocked, held = (of(result, name) for name in ("free", "blocked", "held"))
    assert (free.status, free.inserted) == ("complete", 60)
    assert (blocked.status, blocked.reason) == ("incomplete", "timeout")
    assert (blocked.error_kind, blocked.http_status) == ("rate_limited", 429)
    assert blocked.error == (
        "the account was not done within [sync].account_timeout;"
        " last: the API throttles this credential (HTTP 429, code 971)"
    )
    assert (blocked.requests, blocked.retries, blocked.inserted) == (2, 1, 50)
    # Its turn came, and yet nothing of it was sent.
    assert (held.status, held.reason, held.requests) == ("failed", "timeout", 0)
    (waiting,) = (event for event in events if event["event"] == "rate_limit.waiting")
    assert 290 < waiting["wait_s"] <= 300


async def test_the_deadline_of_an_account_cuts_whatever_it_waits_for(here: Site) -> None:
    faults: dict[str, Fault] = {
        "throttled": throttled(Retry_After="300"),
        "unavailable": html(503, **{"Retry-After": "300"}),
        "hang": Hang(),
        "trickle": Trickle(1, 1.0),
    }
    for name, fault in faults.items():
        here.add(name, 60).script = on_page(1, fault)
    # Its second page waits until the budget allows for it.
    here.add("budget", 120)
    async with in_real_time(here, Waits(), rate_requests=1) as there:
        result = await there.run(with_account(account_timeout_s=DEADLINE_S))
    assert {record.account_name: told(record) for record in result.records} == {
        "throttled": ("failed", "rate_limited", 429, 0),
        "unavailable": ("failed", "unavailable", 503, 0),
        "hang": ("failed", "timeout", None, 0),
        "trickle": ("failed", "timeout", None, 0),
        "budget": ("incomplete", "timeout", None, 50),
    }
    assert {(record.reason, record.requests) for record in result.records} == {("timeout", 1)}
    states = await here.rows("SELECT account_name, last_status, last_error_kind FROM sync_state")
    assert {tuple(state.values()) for state in states} == {
        (record.account_name, record.status, record.error_kind) for record in result.records
    }


def told(record: AccountRecord) -> tuple[object, ...]:
    return record.status, record.error_kind, record.http_status, record.inserted


@pytest.mark.slow
async def test_a_deadline_tells_of_what_is_waited_for_and_not_of_what_was_mended(
    here: Site,
) -> None:
    waits = Waits()

    def mended(nth: int, seen: SeenRequest) -> Fault | None:
        if seen.query["page"] == "2":
            return Hang()
        return throttled(Retry_After="0") if nth == 1 else None

    async def waiting(_nth: int, seen: SeenRequest) -> Fault | None:
        if seen.query["page"] == "2":
            return throttled(Retry_After="300")
        if seen.query["page"] == "3":
            await waits.begun.wait()
        return None

    here.add("mended", 60).script = mended
    here.add("waiting", 150).script = waiting
    async with in_real_time(here, waits) as there:
        result = await there.run(with_account(account_timeout_s=DEADLINE_S))
    assert told(of(result, "mended")) == ("incomplete", "timeout", None, 50)
    assert told(of(result, "waiting")) == ("incomplete", "rate_limited", 429, 100)


@pytest.mark.parametrize(
    "fault",
    [
        Flood(200 * 10**6),
        compressed("gzip", 31),
        compressed("deflate", 15),
        compressed("deflate", -15),
    ],
    ids=["flood", "gzip", "deflate", "raw deflate"],
)
async def test_what_is_too_large_takes_no_more_memory_than_its_limit(
    database: Database, fault: Fault
) -> None:
    async with disturbed(database) as it:
        it.account.script = on_page(1, fault)
        tracemalloc.start()
        try:
            await it.run()
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        outcome = await it.outcome()
    assert (outcome["reason"], outcome["requests"]) == ("malformed_response", ATTEMPTS)
    assert peak_bytes < MEMORY_BYTES
