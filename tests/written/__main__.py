"""`python -m tests.written`: write what documents say of a database, from a database."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import asyncpg

from syncer.demo.fill import fill
from syncer.demo.postgres import EmbeddedPostgres
from tests.documents import ROOT, read
from tests.written.answers import QUERIES, with_answers
from tests.written.schema import SCHEMA, describe


def main() -> None:
    """Write docs/schema.md, and the answers in docs/queries.md."""
    with (
        tempfile.TemporaryDirectory(prefix="syncer-docs-") as directory,
        EmbeddedPostgres(Path(directory, "postgres")) as dsn,
    ):
        asyncio.run(_write(dsn))


async def _write(dsn: str) -> None:
    await fill(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        (ROOT / SCHEMA).write_text(await describe(connection))
    finally:
        await connection.close()
    (ROOT / QUERIES).write_text(await with_answers(read(QUERIES), dsn))


if __name__ == "__main__":
    main()
