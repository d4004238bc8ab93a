"""The least that storing the rows takes: one COPY of text that is there already.

python -m benchmarks.copy_rows DSN FILE    prints what it took, as JSON
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from pathlib import Path

import asyncpg


async def copy(dsn: str, text: bytes) -> dict[str, float]:
    """Fill `invoices` in one transaction."""
    connection = await asyncpg.connect(dsn)
    wall, cpu = time.perf_counter(), time.process_time()
    await connection.copy_to_table("invoices", source=io.BytesIO(text))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await connection.close()
    return {"inside_s": wall, "inside_cpu_s": cpu}


def main() -> None:
    """Measure from inside, without the start of the process."""
    print(json.dumps(asyncio.run(copy(sys.argv[1], Path(sys.argv[2]).read_bytes()))))


if __name__ == "__main__":
    main()
