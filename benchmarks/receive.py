"""The least that any client does: receive every page, and drop it.

python -m benchmarks.receive BASE_URL ACCOUNTS PAGES    prints what it took, as JSON
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp

CONNECTIONS = 16


async def receive(base_url: str, accounts: int, pages: int) -> int:
    """Fetch all pages over a fixed number of connections; how many bytes came."""
    waiting = iter(
        f"{base_url}/accounts/{account:032x}/ai-gateway/billing/invoice-history"
        f"?type=all&page={page}&per_page=50"
        for account in range(accounts)
        for page in range(1, pages + 1)
    )
    received = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal received
        for url in waiting:
            async with session.get(url) as response:
                received += len(await response.read())

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work(session))
    return received


def main() -> None:
    """Measure from inside, without the start of the process."""
    base_url, accounts, pages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began = time.perf_counter()
    received = asyncio.run(receive(base_url, accounts, pages))
    print(json.dumps({"inside_s": time.perf_counter() - began, "bytes": received}))


if __name__ == "__main__":
    main()
