"""Authorities and certificates of the tests' own, and a front that ends TLS before a server."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "localhost"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """One who issues certificates, and the file that names it."""

    ca: trustme.CA
    file: Path

    def for_host(self) -> trustme.LeafCert:
        return self.ca.issue_cert(HOST)

    def for_another_host(self) -> trustme.LeafCert:
        return self.ca.issue_cert("db.elsewhere.test")

    def expired(self) -> trustme.LeafCert:
        return self.ca.issue_cert(HOST, not_after=LONG_AGO)


def authority(directory: Path, name: str = "ca") -> Authority:
    file = directory / f"{name}.pem"
    ca = trustme.CA()
    ca.cert_pem.write_to_path(file)
    return Authority(ca, file)


@asynccontextmanager
async def tls_front(certificate: trustme.LeafCert, host: str, port: int) -> AsyncIterator[int]:
    """Listen on localhost with this certificate, and pass on what comes; the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    tasks: set[asyncio.Task[None]] = set()

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await source.read(65536):
                target.write(some)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        behind_reader, behind_writer = await asyncio.open_connection(host, port)
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, behind_writer))
            group.create_task(carry(behind_reader, writer))

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
