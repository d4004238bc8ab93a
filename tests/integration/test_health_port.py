"""The health port before strangers: what it tells, where it listens, and what it endures."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from syncer.health import Readiness, health_server, probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PATIENCE_S = 20.0


async def ready() -> Readiness:
    return Readiness(ready=True)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", readiness: Callable[[], Awaitable[Readiness]] = ready
) -> AsyncIterator[int]:
    port = free_port(host)
    async with health_server((host, port), is_live=lambda: True, readiness=readiness):
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


async def test_it_answers_two_questions_and_nothing_else() -> None:
    async with serving() as port:
        status, head, body = await ask(port)
        assert (status, body) == (200, b'{"live":true}')
        assert (await ask(port, "HEAD"))[::2] == (200, b"")
        assert json.loads((await ask(port, path="/readyz"))[2])["ready"] is True
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            assert (await ask(port, method))[0] == 405
        for path in ("/", "/healthz/", "/metrics", "//healthz", "/.."):
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


async def test_those_who_ask_take_turns_at_the_database() -> None:
    looking = most = 0

    async def look() -> Readiness:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await asyncio.sleep(0)
        looking -= 1
        return Readiness(ready=True)

    async with serving(readiness=look) as port, asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(port, path="/readyz")) for _ in range(50)]
    assert [task.result()[0] for task in asking] == [200] * 50
    assert most == 1


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
