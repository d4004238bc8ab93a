"""The answers in docs/queries.md: each query of the page, asked of the demo's story."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import asyncpg

from syncer.demo.story import STORY_NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

QUERIES: Final = "docs/queries.md"
_ANSWERED: Final = re.compile(r"```sql\n([^`]*)```\n\n```text\n([^`]*)```")
_ROLE: Final = re.compile(r"```sql\n(CREATE ROLE analyst[^`]*)```")
# What `now()` means to the page's queries, and to no view.
_CLOCK: Final = f"""
CREATE SCHEMA story;
CREATE FUNCTION story.now() RETURNS timestamptz LANGUAGE sql
RETURN cast('{STORY_NOW.isoformat()}' AS timestamptz);
"""


async def with_answers(page: str, filled_dsn: str) -> str:
    """Write the page anew, each query answered as its role `analyst`; the database is spent."""
    role = f"analyst_{uuid4().hex}"
    (grants,) = _ROLE.findall(page)
    connection = await asyncpg.connect(filled_dsn, server_settings={"timezone": "UTC"})
    try:
        await connection.execute(_CLOCK + re.sub(r"\banalyst\b", role, grants))
        await connection.execute(f"GRANT USAGE ON SCHEMA story TO {role}")
        await connection.execute(f"SET search_path TO story, pg_catalog, public; SET ROLE {role}")
        for query, answer in _ANSWERED.findall(page):
            found = await _answer(connection, query)
            page = page.replace(
                f"```sql\n{query}```\n\n```text\n{answer}```",
                f"```sql\n{query}```\n\n```text\n{found}```",
            )
        await connection.execute("RESET ROLE")
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    finally:
        await connection.close()
    return page


def queries(page: str) -> list[str]:
    """The queries that have an answer."""
    return [query for query, _ in _ANSWERED.findall(page)]


async def _answer(connection: asyncpg.Connection, query: str) -> str:
    prepared = await connection.prepare(query.strip().rstrip(";"))
    names = [attribute.name for attribute in prepared.get_attributes()]
    rows = [[_cell(value) for value in row] for row in await prepared.fetch()]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    lines = [_line(names, widths), "-+-".join("-" * width for width in widths)]
    return "".join(f"{line}\n" for line in [*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return " | ".join(padded).rstrip()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case Decimal():
            return f"{value:f}"  # the driver makes 1E+4 of 10000
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return str(value).removesuffix(", 0:00:00")
        case _:
            return str(value)
