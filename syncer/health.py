"""Liveness, readiness and metrics over HTTP, and the probe that a container's health check runs."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from syncer.errors import ConfigurationError, plain_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

Answer = TypeVar("Answer")

PROBE_TIMEOUT_S: Final = 3.0
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked for, not chosen


class Readiness(msgspec.Struct, frozen=True):
    """Whether the daemon can do its work, and which accounts (by name) are stale.

    `details` has for each of those a word for what keeps it so.
    """

    ready: bool
    error: str | None = None
    stale: tuple[str, ...] = ()
    details: dict[str, str] = {}


@asynccontextmanager
async def health_server(
    address: tuple[str, int] | None,
    *,
    is_live: Callable[[], bool],
    readiness: Callable[[], Coroutine[None, None, Readiness]],
    metrics: Callable[[], Coroutine[None, None, bytes]],
) -> AsyncIterator[None]:
    """Answer GET and HEAD of /healthz, /readyz and /metrics on the address, nothing else.

    Where that is None, nobody is answered. /healthz depends on neither the database nor Cloudflare:
    restarting would mend neither. Those who ask for /readyz (or /metrics) while somebody else's
    answer is being found share it, as there is one connection for all looks; a look that has not
    ended by then is cancelled at the end.
    Raises `ConfigurationError` when the address cannot be listened on.
    """
    if address is None:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        live = is_live()
        return _json({"live": live}, HTTPStatus.OK if live else HTTPStatus.SERVICE_UNAVAILABLE)

    look = _SharedLook(readiness)

    async def readyz(_: web.Request) -> web.Response:
        answer = await look.answer()
        return _json(answer, HTTPStatus.OK if answer.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    scrape = _SharedLook(metrics)

    async def exposed(_: web.Request) -> web.Response:
        return web.Response(body=await scrape.answer(), headers={"Content-Type": METRICS_TYPE})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposed)
    application.on_response_prepare.append(_leave_out_versions)
    for under_way in (look, scrape):
        application.on_shutdown.append(under_way.end)  # or the server would wait for it
    server = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await server.setup()
    try:
        await _listen(server, address)
        yield
    finally:
        try:
            await server.cleanup()
        finally:
            await look.end()
            await scrape.end()


async def _listen(server: web.AppRunner, address: tuple[str, int]) -> None:
    host, port = address
    try:
        await web.TCPSite(server, host, port).start()
    except OSError as error:
        finding = f"[health].listen: cannot listen on {host}:{port} ({why_not_bound(error)})"
        if error.errno == errno.EADDRINUSE:
            finding += "; is a daemon running already?"
        raise ConfigurationError([finding]) from error


def why_not_bound(error: OSError) -> str:
    """Say why an address cannot be listened on."""
    return plain_reason(error) or error.strerror or str(error)


class _SharedLook(Generic[Answer]):
    """A look that any number may ask for: there is one at a time, and its answer is for them all.

    Taking turns would not do: aiohttp goes on to answer clients that have left, so that behind a
    database which hangs they would queue, and those who came later wait for each of them.
    """

    def __init__(self, look: Callable[[], Coroutine[None, None, Answer]]) -> None:
        self._look = look
        self._under_way: asyncio.Task[Answer] | None = None

    async def answer(self) -> Answer:
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._look())
        # Who is cut off alone leaves it to the others.
        return await asyncio.shield(self._under_way)

    async def end(self, *_: object) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait([self._under_way])


async def probe(address: tuple[str, int]) -> bool:
    """Ask the daemon on this host whether it is live."""
    host, port = address
    host = WILDCARDS.get(host, host)
    url = f"http://[{host}]:{port}/healthz" if ":" in host else f"http://{host}:{port}/healthz"
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _leave_out_versions(_: web.Request, response: web.StreamResponse) -> None:
    # Of Python and of aiohttp, which are nobody's business.
    del response.headers["Server"]


def _json(value: object, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
