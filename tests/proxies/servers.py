"""Where a proxy connects to, and how a client finds the proxy instead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from syncer.demo.api import SimulatedApi

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_postgres(dsn: str) -> Streams:
    """Connect to the server of a libpq-style URL, which may name the directory of a Unix socket."""
    url = urlsplit(dsn)
    given = dict(parse_qsl(url.query))
    host = url.hostname or given.get("host") or "localhost"
    port = url.port or int(given.get("port", "5432"))
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


def through(dsn: str, port: int) -> str:
    """Name the same database by way of a port of this host."""
    url = urlsplit(dsn)
    login = url.netloc.rpartition("@")[0]
    kept = [(name, value) for name, value in parse_qsl(url.query) if name not in ("host", "port")]
    return f"postgresql://{login}@127.0.0.1:{port}{url.path}?{urlencode(kept)}".rstrip("?")


async def open_api(api: SimulatedApi) -> Streams:
    """Connect to a simulated API."""
    url = urlsplit(api.base_url)
    return await asyncio.open_connection(url.hostname, url.port)


def api_through(api: SimulatedApi, port: int) -> str:
    """Name the same API by way of a port of this host."""
    return f"http://127.0.0.1:{port}{urlsplit(api.base_url).path}"
