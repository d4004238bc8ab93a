"""The health port before strangers: what it tells, where it listens, and what it endures."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from syncer.health import Readiness, health_server, probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

PATIENCE_S = 20.0


async def counted() -> bytes:
    return b"# nothing\n"


async def ready() -> Readiness:
    return Readiness(ready=True)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", readiness: Callable[[], Coroutine[None, None, Readiness]] = ready
) -> AsyncIterator[int]:
    port = free_port(host)
    async with health_server(
        (host, port), is_live=lambda: True, readiness=readiness, metrics=counted
    ):
        yield port


async def said(port: int, request: bytes, host: str = "127.0.0.1") -> bytes:
    """Send the bytes; what comes until the other side closes."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


async def ask(
    port: int, method: str = "GET", path: str = "/healthz", host: str = "127.0.0.1"
) -> tuple[int, str, bytes]:
    """Status, head and body of the answer."""
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = (await said(port, request.encode(), host)).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


async def test_it_answers_three_questions_and_nothing_else() -> None:
    async with serving() as port:
        status, head, body = await ask(port)
        assert (status, body) == (200, b'{"live":true}')
        assert (await ask(port, "HEAD"))[::2] == (200, b"")
        assert json.loads((await ask(port, path="/readyz"))[2])["ready"] is True
        status, metrics_head, body = await ask(port, path="/metrics")
        assert (status, body) == (200, b"# nothing\n")
        assert "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in metrics_head
        head += metrics_head
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            assert (await ask(port, method))[0] == 405
        for path in ("/", "/healthz/", "/metrics/", "//healthz", "/.."):
            status, other_head, body = await ask(port, path=path)
            assert (status, body) == (404, b"404: Not Found")
            head += other_head
        assert "Server" not in head


GARBAGE = {
    "noise": bytes(range(256)) * 4 + b"\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + b"\0" * 64 + b"\r\n\r\n",
    "long": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "chunks": b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("request_", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_does_no_harm(request_: bytes) -> None:
    async with serving() as port:
        with suppress(ConnectionResetError):
            assert (await said(port, request_)).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert (await ask(port))[0] == 200


async def test_it_listens_where_it_is_told_and_nowhere_else() -> None:
    async with serving("127.0.0.2") as port:
        assert (await ask(port, host="127.0.0.2"))[0] == 200
        for elsewhere in ("127.0.0.1", "127.0.0.3", "::1", own_address()):
            with pytest.raises(OSError, match=r"Connect call failed|refused"):
                await said(port, b"", elsewhere)


def own_address() -> str:
    """This host's address on the network, where there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing, suppress(OSError):
        probing.connect(("192.0.2.1", 9))  # sends nothing
        address: str = probing.getsockname()[0]
        return address
    return "127.0.0.4"


@pytest.mark.parametrize("host", ["::1", "::"])
async def test_it_speaks_ipv6(host: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("this host has no IPv6")
    async with serving(host) as port:
        assert await probe((host, port))


@dataclass
class Look:
    """A look at the database that takes until `end` is set, as its calls and outcomes."""

    begun: int = 0
    ended: int = 0
    cut: int = 0
    fails: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Readiness:
        self.begun += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        self.ended += 1
        if self.fails:
            raise RuntimeError("a defect")
        return Readiness(ready=True)


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def have_asked(port: int, count: int) -> list[Client]:
    """Ask for /readyz so often; every other client leaves. All questions have come in then."""
    staying = []
    for nth in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if nth % 2:
            writer.close()
            await writer.wait_closed()
        else:
            staying.append((reader, writer))
    # Whoever is served now came after them.
    assert (await ask(port))[0] == 200
    return staying


async def answers(clients: list[Client]) -> list[bytes]:
    """The status that each of them gets; nothing where the server hangs up."""
    found = []
    async with asyncio.timeout(PATIENCE_S):
        for reader, writer in clients:
            found.append(b" ".join((await reader.read()).split()[1:2]))
            writer.close()
    return found


async def test_those_who_ask_during_a_look_share_its_answer() -> None:
    look = Look()
    async with serving(readiness=look) as port:
        clients = await have_asked(port, 50)
        assert look.begun == 1
        look.end.set()
        assert await answers(clients) == [b"200"] * 25
        # Clients that left have put nothing in the way, and no answer is kept.
        assert (await ask(port, path="/readyz"))[0] == 200
        assert (look.begun, look.ended) == (2, 2)


async def test_a_look_that_fails_breaks_no_later_one(caplog: pytest.LogCaptureFixture) -> None:
    look = Look(fails=True)
    async with serving(readiness=look) as port:
        clients = await have_asked(port, 4)
        look.end.set()
        assert await answers(clients) == [b"500"] * 2
        look.fails = False
        assert (await ask(port, path="/readyz"))[0] == 200
    assert look.begun == 2
    assert {record.getMessage() for record in caplog.records} == {
        "Error handling request from 127.0.0.1"
    }


async def test_the_end_does_not_wait_for_a_look_that_hangs() -> None:
    look = Look()
    async with asyncio.timeout(PATIENCE_S):
        async with serving(readiness=look) as port:
            clients = await have_asked(port, 4)
            assert (look.begun, look.cut) == (1, 0)
        # It is not left behind either.
        assert (look.begun, look.cut) == (1, 1)
        assert await answers(clients) == [b"", b""]


async def test_silent_connections_keep_nobody_out_and_nothing_up() -> None:
    async with serving() as port:
        others = []
        for begin in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") * 50:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin)
            others.append((reader, writer))
        assert (await ask(port))[0] == 200
    async with asyncio.timeout(PATIENCE_S):
        for reader, writer in others:
            with suppress(ConnectionResetError):
                await reader.read()
            writer.close()
