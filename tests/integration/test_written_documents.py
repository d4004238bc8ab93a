"""The pages that `make docs` writes are what it would write now."""

from __future__ import annotations

import asyncpg

from tests.documents import blocks, read
from tests.written.answers import QUERIES, queries, with_answers
from tests.written.schema import SCHEMA, describe


async def test_the_answers_are_those_that_the_queries_give(filled_dsn: str) -> None:
    page = read(QUERIES)
    assert await with_answers(page, filled_dsn) == page, "run `make docs`"
    # One block makes the role; every other has its answer.
    assert len(queries(page)) == sum(block.language == "sql" for block in blocks(QUERIES)) - 1
    assert len(queries(page)) >= 20


async def test_a_wrong_answer_would_be_seen(filled_dsn: str) -> None:
    page = read(QUERIES).replace("access_denied", "access_allowed")
    assert await with_answers(page, filled_dsn) == read(QUERIES)


async def test_the_schema_is_the_databases(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await describe(connection) == read(SCHEMA), "run `make docs`"
        await connection.execute("COMMENT ON COLUMN invoices.status IS 'something else'")
        assert await describe(connection) != read(SCHEMA)
    finally:
        await connection.close()
