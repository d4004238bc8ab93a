"""The versions of an invoice: what the tables held at a moment."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.integration.stored import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncer.store.engine import Database


@pytest.fixture
async def filled(filled_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(filled_dsn)
    yield connection
    await connection.close()


async def rows(connection: asyncpg.Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(query)]


async def test_a_payment_that_fails_for_weeks_has_a_version_for_each(
    filled: asyncpg.Connection,
) -> None:
    assert await rows(
        filled,
        """SELECT version, valid_from::date::text, valid_to::date::text, change, status,
            attempt_count
        FROM invoice_versions
        WHERE invoice_id = (
            SELECT invoice_id FROM invoice_history WHERE after ->> 'status' = 'uncollectible'
        )
        ORDER BY version""",
    ) == [
        (1, "2025-10-30", "2025-11-17", "appeared", "open", 2),
        (2, "2025-11-17", "2025-11-20", "changed", "open", 3),
        (3, "2025-11-20", None, "changed", "uncollectible", 3),
    ]


async def test_what_is_missing_is_a_version_that_is_not_listed(filled: asyncpg.Connection) -> None:
    assert await rows(
        filled,
        """SELECT change, listed, status, amount_due, valid_to IS NULL FROM invoice_versions
        WHERE invoice_id = (SELECT invoice_id FROM invoice_history WHERE change = 'reappeared')
        ORDER BY version""",
    ) == [
        ("appeared", True, "paid", Decimal(10000), False),
        ("missing", False, "paid", Decimal(10000), False),
        ("reappeared", True, "paid", Decimal(10000), True),
    ]


async def test_the_present_version_is_what_the_table_holds(filled: asyncpg.Connection) -> None:
    columns = "status, currency, amount_due, amount_paid, amount_remaining, attempt_count"
    present = await rows(
        filled,
        f"""SELECT account_id, invoice_id, listed, created_at, {columns} FROM invoice_versions
        WHERE valid_to IS NULL ORDER BY 1, 2""",
    )
    assert present == await rows(
        filled,
        f"""SELECT account_id, id, missing_since IS NULL, created_at, {columns} FROM invoices
        ORDER BY 1, 2""",
    )
    assert len(present) == 148


async def test_versions_follow_each_other_without_a_gap(filled: asyncpg.Connection) -> None:
    counted = await rows(
        filled,
        """SELECT count(*), count(valid_to), count(*) FILTER (WHERE valid_to > valid_from)
        FROM invoice_versions""",
    )
    assert counted == [(160, 12, 12)]
    assert await rows(filled, "SELECT count(*) FROM invoice_history") == [(12,)]


async def test_a_moment_has_one_version_of_what_was_stored_then(
    filled: asyncpg.Connection,
) -> None:
    moment = "'2025-11-01 00:00+00'"
    at = f"valid_from <= {moment} AND coalesce(valid_to > {moment}, true)"
    versions = await rows(filled, f"SELECT invoice_id FROM invoice_versions WHERE {at} ORDER BY 1")
    stored = f"SELECT id FROM invoices WHERE first_seen_at <= {moment} ORDER BY 1"
    assert versions == await rows(filled, stored)
    assert len(versions) == 110


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("usd", "0.01"), ("JPY", "1"), ("kwd", "0.001"), ("isk", "0.01"), ("new", "0.01")],
)
async def test_a_minor_unit_in_the_currency_itself(
    database: Database, currency: str, expected: str
) -> None:
    (row,) = await fetch(database, "SELECT major_per_minor(:currency)", currency=currency)
    assert row["major_per_minor"] == Decimal(expected)
