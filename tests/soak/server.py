"""A PostgreSQL of the soak's own, with default settings, and what can be done to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from syncer.demo.postgres import EmbeddedPostgres
from tests.places import server_place
from tests.servers import dsn_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Row = dict[str, Any]

DATABASE: Final = "soak"
# The daemon's connections say so; those of the tests do not.
DAEMONS: Final = f"datname = '{DATABASE}' AND application_name LIKE 'syncer/%'"


class Server:
    """The server and a connection to it that is made anew after a restart."""

    def __init__(self, directory: Path) -> None:
        self._postgres = EmbeddedPostgres(directory)
        self._connection: asyncpg.Connection | None = None
        # A connection carries one statement at a time.
        self._mutex = asyncio.Lock()
        self.dsn = ""

    async def start(self) -> None:
        server_dsn = await asyncio.to_thread(self._postgres.__enter__)
        self.dsn = dsn_of(server_dsn, DATABASE)
        self._server_dsn = server_dsn

    async def create_database(self) -> None:
        connection = await asyncpg.connect(self._server_dsn)
        await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.close()

    async def stop(self) -> None:
        await self._hang_up()
        # Nothing interrupts the thread. Whoever is cancelled waits for its end all the same, or the
        # directory would be removed below a server that is still writing.
        stopping = asyncio.ensure_future(
            asyncio.to_thread(self._postgres.__exit__, None, None, None)
        )
        try:
            await asyncio.shield(stopping)
        finally:
            await asyncio.wait([stopping])

    async def restart(self) -> None:
        """End every session and start anew, as `pg_ctl restart` does."""
        before = self.dsn
        await self.stop()
        await self.start()
        assert self.dsn == before

    async def end_a_session(self) -> None:
        """Terminate one of the daemon's connections, whichever."""
        await self.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE {DAEMONS} ORDER BY random() LIMIT 1"
        )

    async def rows(self, query: str) -> list[Row]:
        async with self._mutex:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self.dsn)
            return [dict(row) for row in await self._connection.fetch(query)]

    async def row(self, query: str) -> Row:
        (row,) = await self.rows(query)
        return row

    async def execute(self, script: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(script)
        await connection.close()

    async def _hang_up(self) -> None:
        async with self._mutex:
            if self._connection is not None:
                await self._connection.close()
            self._connection = None


@asynccontextmanager
async def soak_server() -> AsyncIterator[Server]:
    """Start a server in a directory of its own, which is removed afterwards."""
    with server_place("syncer-soak-") as directory:
        server = Server(directory)
        await server.start()
        try:
            await server.create_database()
            yield server
        finally:
            await server.stop()
