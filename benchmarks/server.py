"""The API's server: a process of its own that answers from rendered pages, and so is no bottleneck.

    python -m benchmarks.server --accounts 100 --invoices 2000

prints its base URL and serves until SIGTERM or SIGINT. Accounts are `f"{number:032x}"`. What it was
asked stands at /control/state; POST or GET of the other control paths does what their names say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from benchmarks.pages import OK, PLENTY, USUAL_PER_PAGE, Catalogue, page_body
from syncer.demo.budget import Budget, Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

_END: Final = b"\r\n\r\n"
_UNKNOWN: Final = b'{"success":false,"errors":[{"code":7003,"message":"Could not route"}]}'
_THROTTLED: Final = (
    b'{"success":false,"errors":[{"code":10100,"message":"Please wait and consider throttling'
    b' your request speed"}],"messages":[],"result":null}'
)


@dataclass
class Counts:
    """What the server was asked; times are of the monotonic clock, which processes share."""

    requests: int = 0
    throttled: int = 0
    first_request_at: float | None = None
    last_request_at: float | None = None


class Site:
    """The pages, how they are delivered, and what was asked for."""

    def __init__(self, catalogue: Catalogue, *, max_per_page: int) -> None:
        self.counts = Counts()
        self.latency_s = 0.0
        self._catalogue = catalogue
        self._max_per_page = max_per_page
        self._limit: Limit | None = None
        self._budgets: dict[bytes, Budget] = {}
        catalogue.answers(USUAL_PER_PAGE)

    def answer(self, target: bytes, head: bytes) -> bytes:
        """Answer a request for a page, or refuse it."""
        now = time.monotonic()
        self._count(now)
        lines = PLENTY
        if self._limit is not None:
            budget = self._budget_of(head, now)
            wait_s = budget.spend(now)
            lines = b"".join(
                f"{name}: {value}\r\n".encode() for name, value in budget.headers(now).items()
            )
            if wait_s is not None:
                self.counts.throttled += 1
                return _plain(429, _THROTTLED, lines + b"Retry-After: %d\r\n" % wait_s)
        page = self._page(target)
        return page if lines is PLENTY else OK + lines + page[len(OK) + len(PLENTY) :]

    def control(self, command: str, values: Mapping[str, str]) -> dict[str, Any]:
        """Obey a command between two measurements; the state afterwards."""
        changed = 0
        match command:
            case "state":
                pass
            case "reset":
                self.counts = Counts()
            case "renew":
                self._catalogue.renew_links()
            case "change":
                changed = self._catalogue.change_some()
            case "totals":
                return dict(self._catalogue.totals())
            case "render":
                self._catalogue.answers(int(values["per_page"]))
            case "latency":
                self.latency_s = float(values["ms"]) / 1000
            case "limit":
                self.limit(int(values["requests"]), int(values["seconds"]))
            case _:
                return {"error": f"no command {command}"}
        return {**vars(self.counts), "changed": changed}

    def limit(self, requests: int, window_s: int) -> None:
        """Allow so many requests of a credential in a window; 0 allows any number."""
        self._limit = Limit("default", requests, window_s) if requests else None
        self._budgets.clear()

    def _count(self, now: float) -> None:
        counts = self.counts
        counts.requests += 1
        counts.last_request_at = now
        if counts.first_request_at is None:
            counts.first_request_at = now

    def _budget_of(self, head: bytes, now: float) -> Budget:
        lines = head.split(b"\r\n")
        credential = next((one for one in lines if one.lower().startswith(b"authorization:")), b"")
        if credential not in self._budgets:
            self._budgets[credential] = Budget(() if self._limit is None else (self._limit,), now)
        return self._budgets[credential]

    def _page(self, target: bytes) -> bytes:
        path, _, query = target.partition(b"?")
        asked = dict(one.split(b"=", 1) for one in query.split(b"&") if b"=" in one)
        per_page = min(int(asked.get(b"per_page", USUAL_PER_PAGE)), self._max_per_page)
        number = int(asked.get(b"page", 1))
        parts = path.split(b"/")
        account = parts[2] if path.startswith(b"/accounts/") else b""
        answers = self._catalogue.answers(per_page).get(account)
        if answers is None:
            return _plain(404, _UNKNOWN, PLENTY)
        if number <= len(answers):
            return answers[number - 1]
        total = self._catalogue.invoices
        return _plain(200, page_body([], number, per_page, total=total, more=False), PLENTY)


class Connection(asyncio.Protocol):
    """One connection of a client; requests come one after the other and have no body."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        while (end := self._received.find(_END)) >= 0:
            head, self._received = self._received[:end], self._received[end + len(_END) :]
            target = head.split(b" ", 2)[1]
            if target.startswith(b"/control/"):
                self._transport.write(self._obey(target.decode()))
                continue
            answer = self._site.answer(target, head)
            if self._site.latency_s:
                loop = asyncio.get_running_loop()
                loop.call_later(self._site.latency_s, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _obey(self, target: str) -> bytes:
        command, _, query = target.removeprefix("/control/").partition("?")
        return _plain(200, json.dumps(self._site.control(command, dict(parse_qsl(query)))).encode())


def _plain(status: int, body: bytes, lines: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d -\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, lines, len(body)) + body


async def serve(site: Site, port: int) -> None:
    """Print the base URL, serve until a signal asks to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with await loop.create_server(lambda: Connection(site), "127.0.0.1", port) as server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()


def main() -> None:
    """Render, then serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=2000, help="of each account")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--max-per-page", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument(
        "--limit", type=int, nargs=2, metavar=("REQUESTS", "SECONDS"), default=(0, 1)
    )
    given = parser.parse_args()
    site = Site(Catalogue(given.accounts, given.invoices), max_per_page=given.max_per_page)
    site.latency_s = given.latency_ms / 1000
    site.limit(*given.limit)
    asyncio.run(serve(site, given.port))


if __name__ == "__main__":
    main()
