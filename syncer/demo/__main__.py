"""`python -m syncer.demo`: the simulated API with the demo's accounts, as its own process.

Point `[cloudflare].base_url` (SYNCER_CLOUDFLARE__BASE_URL) at the URL that it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from syncer.demo.api import SimulatedApi
from syncer.demo.world import DEMO_SETTINGS, demo_world
from syncer.health import why_not_bound

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Serve until SIGTERM or SIGINT; the one line on standard output is the base URL."""
    parser = argparse.ArgumentParser(
        prog="python -m syncer.demo",
        description=__doc__,
        epilog="\n".join(("accounts (id, token, invoices):", *_accounts())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787)
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.host, arguments.port))
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        why = f"cannot listen on {where} ({why_not_bound(error)}); see --host and --port"
        parser.exit(1, f"{parser.prog}: {why}\n")


def _accounts() -> Iterator[str]:
    for account in demo_world():
        lacks = " (lacks the permission)" if account.simulated.powerless else ""
        size = len(account.simulated.invoices)
        yield f"  {account.simulated.id}  {account.token:<15}  {size:>3}{lacks}"


async def serve(host: str, port: int) -> None:
    """Serve the demo's accounts on this address; port 0 takes any free one."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    accounts = [account.simulated for account in demo_world()]
    async with SimulatedApi(accounts, settings=DEMO_SETTINGS, host=host, port=port) as api:
        sys.stdout.write(f"simulated Cloudflare API on {api.base_url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
