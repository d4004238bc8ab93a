"""Statements that a run makes for each account, on the shortest way to the server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncConnection

_NAME = re.compile(r"(?<!:):(\w+)")


async def driver_of(conn: AsyncConnection) -> asyncpg.Connection:
    """Give the driver's own connection, for what SQLAlchemy has no way for, or a long one."""
    driver: asyncpg.Connection = (await conn.get_raw_connection()).driver_connection
    return driver


class Statement:
    """SQL with values as `:name`, handed to the driver without SQLAlchemy in between.

    So it takes half of the time. Errors are the driver's; `Database.transaction` translates both.
    """

    def __init__(self, sql: str) -> None:
        self._names = tuple(dict.fromkeys(_NAME.findall(sql)))
        numbers = {name: f"${number}" for number, name in enumerate(self._names, 1)}
        self._sql = _NAME.sub(lambda found: numbers[found[1]], sql)

    async def fetch_one(self, conn: AsyncConnection, **values: object) -> asyncpg.Record | None:
        """Return the first row, None where there is none; values that have no name are left out."""
        # What is kept of it is only how to read values and rows: it has no name on the server, and
        # its text is sent each time.
        prepared = conn.info.get(self)
        if prepared is None:
            driver = await driver_of(conn)
            prepared = conn.info[self] = await driver.prepare(self._sql)
        rows = await prepared.fetch(*[values[name] for name in self._names])
        return rows[0] if rows else None
