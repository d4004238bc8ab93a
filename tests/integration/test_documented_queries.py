"""The SQL of the pages, executed: it does what they say, on the data that they say."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg

from syncer.account import Account, Credential
from syncer.demo.world import DEMO_SETTINGS, change_world, demo_world
from tests.documents import GUIDES, Block, blocks
from tests.integration.roles import OPERATIONS, sql_of
from tests.integration.running import Site, of

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACEHOLDER = "023e105f4ecef8ad9ca31a8372d0c353"


async def sync_the_demo(here: Site) -> None:
    """Bring the database to where `syncer demo` brings its own."""
    world = demo_world()
    here.api.settings = DEMO_SETTINGS
    for account in world:
        account.simulated.script = None  # being throttled would only take time
        here.api.accounts[account.simulated.id] = account.simulated
        credential = Credential(token=account.token)
        here.accounts[account.name] = Account(account.simulated.id, account.name, credential)
    await here.run()
    change_world(world)
    await here.run()


async def test_the_readme_shows_what_its_queries_answer(here: Site) -> None:
    await sync_the_demo(here)
    shown = list(queries_with_answers())
    for query, columns, lines, is_whole in shown:
        answer = await here.rows(query.text)
        assert list(answer[0]) == columns, query.place
        found = [[as_psql_does(cell) for cell in row.values()] for row in answer]
        assert found[: None if is_whole else len(lines)] == lines, query.place
    assert [query for query, *_ in shown] == [
        block for block in blocks("README.md") if block.language == "sql"
    ]


def queries_with_answers() -> Iterator[tuple[Block, list[str], list[list[str]], bool]]:
    """Each query of the README that an answer follows: its columns, rows, and if that is all."""
    found = blocks("README.md")
    for query, answer in pairwise(found):
        if (query.language, answer.language) == ("sql", "text"):
            header, _, *lines = answer.text.splitlines()
            is_whole = lines[-1].strip() != "..."
            rows = [cells(line) for line in (lines if is_whole else lines[:-1])]
            yield query, cells(header), rows, is_whole


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def as_psql_does(cell: object) -> str:
    if isinstance(cell, bool):
        return "t" if cell else "f"
    if isinstance(cell, Decimal):
        return f"{cell:f}"  # the driver makes 1E+4 of 10000
    return "" if cell is None else str(cell)


async def test_every_statement_can_be_executed(here: Site, database_dsn: str) -> None:
    await sync_the_demo(here)
    statements = [block for page in GUIDES for block in blocks(page) if block.language == "sql"]
    connection = await asyncpg.connect(database_dsn)
    try:
        for statement in statements:
            # Roles belong to the whole server: other names for them, and no trace.
            suffix = uuid4().hex
            text = re.sub(r"\b(syncer_daemon|reporting|analyst)\b", rf"\1_{suffix}", statement.text)
            transaction = connection.transaction()
            await transaction.start()
            for role in set(re.findall(rf"\w+_{suffix}", text)):
                if f"CREATE ROLE {role}" not in text:  # another page makes it
                    await connection.execute(f"CREATE ROLE {role}")
            await connection.execute(text)
            await transaction.rollback()
    finally:
        await connection.close()
    assert {block.place.partition(":")[0] for block in statements} >= {"README.md", OPERATIONS}


async def test_a_mass_disappearance_can_be_accepted(here: Site) -> None:
    production = here.add("production", 30)
    await here.run()
    gone = {invoice["id"] for invoice in production.invoices[10:]}
    del production.invoices[10:]
    assert of(await here.run(), "production").reason == "mass_disappearance"

    statement = sql_of("## mass_disappearance", PLACEHOLDER)
    await here.execute(statement.replace(PLACEHOLDER, production.id))
    assert of(await here.run(), "production").status == "complete"
    missing = await here.rows("SELECT id FROM invoices WHERE missing_since IS NOT NULL")
    assert {row["id"] for row in missing} == gone
    history = await here.rows("SELECT change, count(*) FROM invoice_history GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in history] == [("missing", 30), ("reappeared", 10)]


async def test_an_account_that_is_gone_can_be_forgotten(here: Site) -> None:
    former = here.add("former", 3)
    await here.run()
    statement = sql_of("## An account that is gone", PLACEHOLDER)
    await here.execute(statement.replace(PLACEHOLDER, former.id))
    assert await here.rows("SELECT account_id FROM sync_freshness") == []
    assert await here.row("SELECT count(*) FROM invoices") == {"count": 3}
