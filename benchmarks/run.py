"""What a sync costs, as ratios to receiving the same pages and doing nothing with them.

Everything is measured in one run, because machines are noisy: compare the ratios, not the seconds.
The server of the pages and PostgreSQL are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

from syncer.app import App, open_app
from syncer.cloudflare.client import Tally
from syncer.config import Settings
from syncer.stop import Stop
from syncer.sync.observer import Unobserved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from syncer.account import Account

PER_PAGE = 50


@dataclass(frozen=True)
class Cost:
    """Wall clock, CPU of this process, and the write-ahead log of the database."""

    what: str
    wall_s: float
    cpu_s: float
    wal_bytes: int


@asynccontextmanager
async def page_server(accounts: int, invoices: int) -> AsyncIterator[str]:
    """Start the server of the pages; its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.server",
        f"--accounts={accounts}",
        f"--invoices={invoices}",
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdout is None:
        raise RuntimeError("the server has no pipe")
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def receive(app: App, invoices: int) -> None:
    """Fetch and decode every page of every account, and do nothing with them."""

    async def pages_of(account: Account) -> None:
        with app.client.slots.sharing(account.id):
            for page in range(1, -(-invoices // PER_PAGE) + 1):
                query = {"type": "all", "page": str(page), "per_page": str(PER_PAGE)}
                await app.client.fetch_page(account, query, Tally())

    waiting = iter(app.settings.read_accounts())

    async def work() -> None:
        for account in waiting:
            await pages_of(account)

    async with asyncio.TaskGroup() as group:
        for _ in range(app.settings.sync.concurrent_accounts):
            group.create_task(work())


async def sync(app: App) -> None:
    """Sync every account once; anything but a complete one is an error."""
    accounts = app.settings.read_accounts()
    result = await app.runner.run(accounts, trigger="command", stop=Stop())
    if not result.well:
        raise RuntimeError(f"the sync ended {result.status}")


async def measure(app: App, what: str, work: Awaitable[None]) -> Cost:
    """Await the work and say what it cost."""
    before = await wal_position(app)
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(what, wall, cpu, await wal_position(app) - before)


async def wal_position(app: App) -> int:
    """Bytes of write-ahead log since the database was made."""
    async with app.database.transaction() as conn:
        position = await conn.execute(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
        return int(position.scalar_one())


async def costs(accounts: int, invoices: int, directory: Path) -> AsyncIterator[Cost]:
    """Measure each phase."""
    async with page_server(accounts, invoices) as base_url:
        settings = Settings.model_validate(
            {
                "cloudflare": {
                    "base_url": base_url,
                    "concurrent_requests": 16,
                    "rate_limit": {"requests": 1_000_000, "per": "5m"},
                },
                "database": {"data_dir": directory / "postgres"},
                "accounts": [
                    {"id": f"{number:032x}", "api_token": f"token-{number}"}
                    for number in range(accounts)
                ],
            }
        )
        async with open_app(settings, Unobserved()) as app:
            yield await measure(app, "receiving only", receive(app, invoices))
            yield await measure(app, "first load", sync(app))
            yield await measure(app, "nothing changed", sync(app))


def report(measured: list[Cost]) -> Iterator[str]:
    """Lay the costs out as a table in Markdown."""
    base = measured[0]
    yield "| phase | wall s | of receiving | CPU s | WAL kB |"
    yield "| --- | --- | --- | --- | --- |"
    for cost in measured:
        yield (
            f"| {cost.what} | {cost.wall_s:.2f} | {cost.wall_s / base.wall_s:.2f}"
            f" | {cost.cpu_s:.2f} | {cost.wal_bytes / 1000:.0f} |"
        )


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--invoices", type=int, default=1000, help="of each account")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="syncer-bench-") as directory:
        phases = costs(arguments.accounts, arguments.invoices, Path(directory))
        measured = [cost async for cost in phases]
    print(f"{arguments.accounts} accounts of {arguments.invoices} invoices, {PER_PAGE} a page\n")
    print("\n".join(report(measured)))


if __name__ == "__main__":
    asyncio.run(main())
