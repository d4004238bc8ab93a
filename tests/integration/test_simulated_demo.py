"""The demo's accounts as the simulated API shows them, also as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from urllib.parse import urlsplit

import aiohttp

from syncer.demo.answers import Settings
from syncer.demo.api import SimulatedApi
from syncer.demo.world import DEMO_SETTINGS, change_world, demo_world
from tests.schema.conformance import violations


async def test_the_demo_throttles_tokyo_once_and_refuses_research() -> None:
    accounts = demo_world()
    by_name = {account.name: account for account in accounts}
    answers: list[tuple[str, int, str | None]] = []
    async with (
        SimulatedApi([one.simulated for one in accounts], settings=DEMO_SETTINGS) as api,
        aiohttp.ClientSession() as session,
    ):
        for name, page in [("tokyo", 1), ("tokyo", 2), ("tokyo", 2), ("research", 1)]:
            account = by_name[name]
            async with session.get(
                f"{api.base_url}/accounts/{account.simulated.id}/ai-gateway/billing/invoice-history",
                params={"page": page},
                headers={"Authorization": f"Bearer {account.token}"},
            ) as response:
                assert violations(await response.read()) == []
                answers.append((name, response.status, response.headers.get("Retry-After")))
    assert answers == [
        ("tokyo", 200, None),
        ("tokyo", 429, "1"),
        ("tokyo", 200, None),
        ("research", 403, None),
    ]


async def test_the_demos_change_is_seen_over_the_wire() -> None:
    accounts = demo_world()
    account = accounts[0]
    async with (
        SimulatedApi(
            [account.simulated], settings=Settings(default_per_page=300, max_per_page=300)
        ) as api,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {account.token}"}) as session,
    ):
        url = f"{api.base_url}/accounts/{account.simulated.id}/ai-gateway/billing/invoice-history"
        before = await (await session.get(url)).json()
        change = change_world(accounts)
        after = await (await session.get(url)).json()
    statuses = [
        {invoice["id"]: invoice["status"] for invoice in answer["result"]["invoices"]}
        for answer in (before, after)
    ]
    assert dict(statuses[1].items() - statuses[0].items()) == {
        change.paid_id: "paid",
        change.appeared_id: "open",
    }


async def test_the_demo_runs_as_its_own_process_until_it_is_terminated() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "syncer.demo", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    output = process.stdout
    assert output is not None
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        base_url = (await output.readline()).decode().split()[-1]
        assert (await session.get(base_url)).status == 404
        rival = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "syncer.demo", "--port", str(urlsplit(base_url).port)),
            stderr=asyncio.subprocess.PIPE,
        )
        (_, told) = await rival.communicate()
        assert rival.returncode == 1
        assert told.decode() == (
            f"python -m syncer.demo: cannot listen on {urlsplit(base_url).netloc}"
            " (Address already in use); see --host and --port\n"
        )
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert await output.read() == b""
