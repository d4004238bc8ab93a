"""A server of its own process with every page rendered beforehand, so that it is no bottleneck.

usage: python server.py ACCOUNTS INVOICES    prints its base URL, serves until its stdin closes
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
from aiohttp import web

from syncer.demo.invoices import make_history

PER_PAGE = 50


def render(account: int, invoices: int) -> list[bytes]:
    """Render the pages of one account."""
    history = make_history(f"account {account}", invoices)
    starts = range(0, max(invoices, 1), PER_PAGE)
    encoder = msgspec.json.Encoder(decimal_format="number")
    pages = []
    for number, start in enumerate(starts, start=1):
        pagination = {
            "has_more": number < len(starts),
            "page": number,
            "per_page": PER_PAGE,
            "total_count": invoices,
        }
        result = {"invoices": history[start : start + PER_PAGE], "pagination": pagination}
        pages.append(
            encoder.encode({"success": True, "errors": [], "messages": [], "result": result})
        )
    return pages


async def serve(accounts: int, invoices: int) -> None:
    """Serve accounts whose ids are their numbers."""
    pages = {f"{account:032x}": render(account, invoices) for account in range(accounts)}

    async def answer(request: web.BaseRequest) -> web.Response:
        account_id = request.path.split("/")[2]
        page = pages[account_id][int(request.query["page"]) - 1]
        return web.Response(body=page, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
