"""What bounds a fault: the credential, the account's deadline, and the limit of a body."""

from __future__ import annotations

import asyncio
import tracemalloc
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
    from syncer.account import Credential
    from syncer.demo.account import SeenRequest
    from syncer.demo.api import SimulatedApi
    from syncer.demo.faults import Fault
    from syncer.store.engine import Database

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


def real_time_client(
    api: SimulatedApi, waits: Waits, *, rate_requests: int = 1000
) -> CloudflareClient:
    settings = ClientSettings(
        base_url=api.base_url, user_agent="syncer/test", rate_requests=rate_requests
    )
    return CloudflareClient(settings, sleep=waits.sleep, jitter=lambda: 0.0)


def share(here: Site, name: str, credential: Credential) -> None:
    """Let an account be read with another one's credential."""
    here.accounts[name] = replace(here.accounts[name], credential=credential)
    here.simulated[name].logins = {credential.token or ""}


async def test_a_long_throttle_stops_its_credential_alone_until_the_deadline(here: Site) -> None:
    waits = Waits()
    client = real_time_client(here.api, waits)
    # In this order: the third account's turn comes when the second is done.
    throttled_one, _other, _sharing = (here.add(name, 60) for name in ("blocked", "free", "held"))
    share(here, "held", here.accounts["blocked"].credential)
    throttled_one.script = on_page(2, throttled(Retry_After="300"))

    async def script(_nth: int, _seen: SeenRequest) -> None:
        await waits.begun.wait()

    here.simulated["free"].script = script
    settings = replace(with_account(account_timeout_s=2.0), concurrent_accounts=2)
    with structlog.testing.capture_logs() as events:
        async with asyncio.timeout(20):
            result = await Site(here.api, client, here.database, here.accounts).run(settings)
    await client.close()
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


@pytest.mark.parametrize(
    ("fault", "error_kind", "http_status"),
    [
        (throttled(Retry_After="300"), "rate_limited", 429),
        (html(503, **{"Retry-After": "300"}), "unavailable", 503),
        (Hang(), "timeout", None),
        (Trickle(1, 1.0), "timeout", None),
    ],
    ids=["throttled", "unavailable", "hang", "trickle"],
)
async def test_the_deadline_of_an_account_cuts_whatever_it_waits_for(
    here: Site, fault: Fault, error_kind: str, http_status: int | None
) -> None:
    client = real_time_client(here.api, Waits())
    here.add("production", 60).script = on_page(1, fault)
    site = Site(here.api, client, here.database, here.accounts)
    async with asyncio.timeout(20):
        record = of(await site.run(with_account(account_timeout_s=0.5)), "production")
    await client.close()
    assert (record.status, record.reason) == ("failed", "timeout")
    assert (record.error_kind, record.http_status) == (error_kind, http_status)
    assert record.requests == 1
    state = await here.row("SELECT last_status, last_error_kind FROM sync_state")
    assert state == {"last_status": "failed", "last_error_kind": error_kind}


async def test_a_deadline_does_not_tell_of_an_error_that_a_retry_mended(here: Site) -> None:
    client = real_time_client(here.api, Waits())

    def script(nth: int, seen: SeenRequest) -> Fault | None:
        if seen.query["page"] == "2":
            return Hang()
        return throttled(Retry_After="0") if nth == 1 else None

    here.add("production", 60).script = script
    site = Site(here.api, client, here.database, here.accounts)
    async with asyncio.timeout(20):
        record = of(await site.run(with_account(account_timeout_s=2.0)), "production")
    await client.close()
    assert (record.status, record.reason) == ("incomplete", "timeout")
    assert (record.error_kind, record.http_status) == ("timeout", None)
    assert (record.requests, record.retries, record.inserted) == (3, 1, 50)


async def test_a_page_that_came_does_not_hide_what_another_one_waits_for(here: Site) -> None:
    waits = Waits()
    client = real_time_client(here.api, waits)

    async def script(_nth: int, seen: SeenRequest) -> Fault | None:
        if seen.query["page"] == "2":
            return throttled(Retry_After="300")
        if seen.query["page"] == "3":
            await waits.begun.wait()
        return None

    here.add("production", 150).script = script
    site = Site(here.api, client, here.database, here.accounts)
    async with asyncio.timeout(20):
        record = of(await site.run(with_account(account_timeout_s=2.0)), "production")
    await client.close()
    assert (record.status, record.reason, record.inserted) == ("incomplete", "timeout", 100)
    assert (record.error_kind, record.http_status) == ("rate_limited", 429)


async def test_the_deadline_cuts_the_wait_for_the_budget(here: Site) -> None:
    client = real_time_client(here.api, Waits(), rate_requests=1)
    here.add("production", 120)
    site = Site(here.api, client, here.database, here.accounts)
    async with asyncio.timeout(20):
        record = of(await site.run(with_account(account_timeout_s=0.5)), "production")
    await client.close()
    assert (record.status, record.reason, record.inserted) == ("incomplete", "timeout", 50)


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
