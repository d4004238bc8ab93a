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
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def copy_text(dsn: str, text: bytes) -> dict[str, float]:
    """Fill `invoices` in one transaction."""
    connection = await asyncpg.connect(dsn)
    return await measured(connection.copy_to_table("invoices", source=io.BytesIO(text)))


async def copy_values(dsn: str, source: str) -> dict[str, float]:
    """Fill `invoices` in one transaction with what is in those of another database."""
    records = await (await asyncpg.connect(source)).fetch("SELECT * FROM invoices")
    connection = await asyncpg.connect(dsn)
    return await measured(connection.copy_records_to_table("invoices", records=records))


async def measured(work: Awaitable[str]) -> dict[str, float]:
    """Do it, and say what it took, without the start of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return {
        "inside_s": time.perf_counter() - wall,
        "inside_cpu_s": time.process_time() - cpu,
    }


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
