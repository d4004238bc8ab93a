"""The least that storing the rows takes, as one COPY.

python -m benchmarks.copy_rows text DSN FILE      of text that is there already
python -m benchmarks.copy_rows values DSN FROM    of Python's values, read before from another
                                                  database, which the driver has to put into bytes

prints what it took, as JSON
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable


async def copy_text(dsn: str, text: bytes) -> dict[str, float]:
    """Fill `invoices` in one transaction."""
    async with connected(dsn) as connection:
        return await measured(connection.copy_to_table("invoices", source=io.BytesIO(text)))


async def copy_values(dsn: str, source: str) -> dict[str, float]:
    """Fill `invoices` in one transaction with what is in those of another database."""
    async with connected(source) as connection:
        records = await connection.fetch("SELECT * FROM invoices")
    async with connected(dsn) as connection:
        return await measured(connection.copy_records_to_table("invoices", records=records))


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect, and disconnect afterwards."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def measured(work: Awaitable[str]) -> dict[str, float]:
    """Do it, and say what it took, without the start of the process."""
    began = time.perf_counter()
    await work
    return {"inside_s": time.perf_counter() - began}


def main() -> None:
    """Measure one of the two."""
    of, dsn, source = sys.argv[1:]
    if of == "text":
        took = asyncio.run(copy_text(dsn, Path(source).read_bytes()))
    else:
        took = asyncio.run(copy_values(dsn, source))
    print(json.dumps(took))


if __name__ == "__main__":
    main()
