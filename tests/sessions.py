"""What another session of the database does while the program works."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 30.0

_OURS = "datname = current_database() AND application_name LIKE 'syncer/%'"

# Sessions that wait for a lock of somebody else.
WAITING = f"SELECT count(*) FROM pg_stat_activity WHERE {_OURS} AND wait_event_type = 'Lock'"

_LOCKS = """
    pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# Which connections of the program: those of its pool, the one that holds its locks, or all.
POOL = f"{_OURS} AND NOT {_LOCKS}"
LOCKS = f"{_OURS} AND {_LOCKS}"
ALL = _OURS

ADVISORY_LOCKS = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect, as somebody else."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def holding(dsn: str, statement: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold the locks of a statement until the context ends, or the session does."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"BEGIN; {statement}")
        yield connection
    finally:
        connection.terminate()


async def until(connection: asyncpg.Connection, query: str, expected: object) -> None:
    """Ask again and again until the answer is the expected one."""
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval(query) != expected:
            # Within a transaction statistics would stay as they are.
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def terminate(connection: asyncpg.Connection, which: str) -> int:
    """End sessions as an administrator does; how many there were."""
    ended = await connection.fetch(
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {which}"
    )
    return len(ended)
