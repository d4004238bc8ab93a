from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.proxies.frames import HttpFrames, PostgresFrames
from tests.proxies.proxy import Message, Passage, Proxy, Traffic
from tests.proxies.servers import open_postgres, through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.proxies.frames import Frame, Sender, Splitter


@pytest.fixture
async def wire(database_dsn: str) -> AsyncIterator[Proxy]:
    async with Proxy("db", Traffic(), PostgresFrames, lambda: open_postgres(database_dsn)) as proxy:
        yield proxy


@pytest.fixture
def dsn(wire: Proxy, database_dsn: str) -> str:
    return through(database_dsn, wire.port)


async def test_messages_are_numbered_in_the_order_in_which_they_pass(wire: Proxy, dsn: str) -> None:
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await second.execute("SELECT 1")
    await first.close()
    await second.close()
    await wire.wait_until_idle()
    messages = wire.traffic.messages
    assert [message.number for message in messages] == list(range(1, len(messages) + 1))
    # Runs of the same kind count once: how many parameters there are differs between versions.
    labels = [label for label, _ in groupby(message.label for message in messages)]
    greeting = [
        "client SSLRequest",
        "server EncryptionRefused",
        "client Startup",
        "server Authentication",
        "server ParameterStatus",
        "server BackendKeyData",
        "server ReadyForQuery",
    ]
    assert labels == [
        *(f"db 1 {label}" for label in greeting),
        *(f"db 2 {label}" for label in greeting),
        "db 2 client Query SELECT 1",
        "db 2 server RowDescription",
        "db 2 server DataRow",
        "db 2 server CommandComplete SELECT 1",
        "db 2 server ReadyForQuery",
        "db 1 client Terminate",
        "db 2 client Terminate",
    ]


async def test_a_message_is_held_for_as_long_as_it_takes(wire: Proxy, dsn: str) -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def hold(passage: Passage) -> None:
        arrived.set()
        await released.wait()
        await passage.forward()

    slow, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    wire.traffic.watch = lambda one: hold if "Query SELECT 'held'" in one.label else None
    asking = asyncio.create_task(slow.execute("SELECT 'held'"))
    await arrived.wait()
    assert await other.execute("SELECT 1") == "SELECT 1"
    assert not asking.done()
    released.set()
    assert await asking == "SELECT 1"
    await slow.close()
    await other.close()


async def test_a_message_that_is_still_held_at_the_end_holds_nobody(database_dsn: str) -> None:
    arrived = asyncio.Event()

    async def hold_for_ever(_passage: Passage) -> None:
        arrived.set()
        await asyncio.Event().wait()

    traffic = Traffic(lambda one: hold_for_ever if one.frame.kind == "Query" else None)
    async with Proxy("db", traffic, PostgresFrames, lambda: open_postgres(database_dsn)) as wire:
        connection = await asyncpg.connect(through(database_dsn, wire.port))
        asking = asyncio.create_task(connection.execute("SELECT 1"))
        await arrived.wait()
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await asking


@pytest.mark.parametrize(("forwarded", "stored"), [(False, 0), (True, 1)])
async def test_a_cut_comes_before_a_message_or_after_it(
    wire: Proxy, dsn: str, database_dsn: str, *, forwarded: bool, stored: int
) -> None:
    async def cut(passage: Passage) -> None:
        if forwarded:
            await passage.forward()
        passage.cut()

    connection = await asyncpg.connect(dsn)
    wire.traffic.watch = lambda one: cut if "Query COMMIT" in one.label else None
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        async with connection.transaction():
            await connection.execute("CREATE TABLE kept ()")
    await wire.wait_until_idle()
    direct = await asyncpg.connect(database_dsn)
    assert await direct.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'kept'") == stored
    await direct.close()


async def test_what_the_watch_raises_is_raised_at_the_end(database_dsn: str) -> None:
    def fail(message: Message) -> None:
        assert message.frame.kind != "Startup"

    opened = Proxy("db", Traffic(fail), PostgresFrames, lambda: open_postgres(database_dsn))
    await opened.__aenter__()
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await asyncpg.connect(through(database_dsn, opened.port))
    with pytest.raises(ExceptionGroup, match="whoever watches the db failed"):
        await opened.__aexit__(None, None, None)


async def test_a_server_that_has_just_gone_is_no_failure_of_the_watch() -> None:
    ended = asyncio.Event()

    async def reset(_passage: Passage) -> None:
        upstream, _ = listener.accept()
        await ended.wait()
        # The client's end is read in one of the next turns of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
        # The server's is noticed in none, as there is no further turn before the end is passed on.
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        upstream.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        traffic = Traffic(lambda _: reset)
        opening = Proxy("api", traffic, HttpFrames, lambda: asyncio.open_connection(host, port))
        async with opening as wire:
            reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            writer.write(REQUEST)
            writer.write_eof()
            ended.set()
            # Whether the client learns of an end or of a reset is not the point.
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            await wire.wait_until_idle()
    assert [message.frame.kind for message in traffic.messages] == ["Request"]


REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("splitter", "client", "server", "kinds"),
    [
        (
            PostgresFrames,
            b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\0\x03\0\0P\0\0\0\x0aS1\0x\0\0S\0\0\0\x04",
            b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
            "SSLRequest Startup Parse Sync EncryptionRefused Authentication ReadyForQuery",
        ),
        (HttpFrames, REQUEST * 2, (HEAD + b"hello") * 2, "Request Request Head Body Head Body"),
    ],
)
def test_bytes_may_come_one_at_a_time(
    splitter: Callable[[], Splitter], client: bytes, server: bytes, kinds: str
) -> None:
    sides: tuple[tuple[Sender, bytes], ...] = (("client", client), ("server", server))

    def split(size: int) -> list[Frame]:
        frames = splitter()
        return [
            frame
            for sender, sent in sides
            for start in range(0, len(sent), size)
            for frame in frames.split(sender, sent[start : start + size])
        ]

    whole = split(1000)
    assert " ".join(frame.kind for frame in whole) == kinds
    assert b"".join(frame.data for frame in whole) == client + server
    assert split(1) == whole


def test_encryption_that_cannot_be_looked_into_is_refused() -> None:
    frames = PostgresFrames()
    list(frames.split("client", b"\0\0\0\x08\x04\xd2\x16\x2f"))
    with pytest.raises(ValueError, match="sslmode=disable"):
        list(frames.split("server", b"S"))
