"""When a PDF link is written, which is another each time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from syncer.store.invoices import MergeCounts
from tests.integration.stored import FULL, change, fetch, history, merge

if TYPE_CHECKING:
    from syncer.store.engine import Database


async def test_a_link_alone_is_no_change(database: Database) -> None:
    await merge(database, [FULL])
    counts = await merge(database, [replace(FULL, invoice_pdf="https://pdf.example/second")])
    assert counts == MergeCounts(unchanged=1)
    (row,) = await fetch(database, "SELECT invoice_pdf FROM invoices")
    assert row["invoice_pdf"] == "https://pdf.example/first"


@pytest.mark.parametrize(
    ("age", "link", "expected"),
    [
        ("7 days 1 second", "https://pdf.example/second", "https://pdf.example/second"),
        ("7 days 1 second", None, None),
        ("6 days 23 hours", "https://pdf.example/second", "https://pdf.example/first"),
    ],
)
async def test_a_link_is_refreshed_once_a_week(
    database: Database, age: str, link: str | None, expected: str | None
) -> None:
    await merge(database, [FULL])
    await change(
        database,
        """UPDATE invoices SET invoice_pdf_at = now() - cast(cast(:age AS text) AS interval),
            changed_at = '2025-01-01Z', first_seen_at = '2025-01-01Z'""",
        age=age,
    )
    counts = await merge(database, [replace(FULL, invoice_pdf=link)])
    assert counts == MergeCounts(unchanged=1)
    (row,) = await fetch(
        database,
        """SELECT invoice_pdf, invoice_pdf_at > now() - interval '1 hour' AS fetched_now,
            changed_at, first_seen_at FROM invoices""",
    )
    long_ago = datetime(2025, 1, 1, tzinfo=UTC)
    refreshed = None if expected is None else expected != FULL.invoice_pdf
    assert row == {
        "invoice_pdf": expected,
        "fetched_now": refreshed,
        "changed_at": long_ago,
        "first_seen_at": long_ago,
    }
    assert await history(database) == []


async def test_an_old_link_that_is_still_the_same_is_not_written(database: Database) -> None:
    await merge(database, [FULL])
    await change(database, "UPDATE invoices SET invoice_pdf_at = now() - interval '1 year'")
    before = await fetch(database, "SELECT ctid::text FROM invoices")
    await merge(database, [FULL])
    assert await fetch(database, "SELECT ctid::text FROM invoices") == before


async def test_a_first_link_is_stored_at_once(database: Database) -> None:
    await merge(database, [replace(FULL, invoice_pdf=None)])
    assert await merge(database, [FULL]) == MergeCounts(unchanged=1)
    (row,) = await fetch(database, "SELECT invoice_pdf FROM invoices")
    assert row["invoice_pdf"] == FULL.invoice_pdf


async def test_a_link_is_refreshed_with_any_other_change(database: Database) -> None:
    await merge(database, [FULL])
    await merge(database, [replace(FULL, status="paid", invoice_pdf="https://pdf.example/second")])
    (row,) = await fetch(
        database, "SELECT invoice_pdf, invoice_pdf_at = changed_at AS fetched_now FROM invoices"
    )
    assert row == {"invoice_pdf": "https://pdf.example/second", "fetched_now": True}
    (entry,) = await history(database)
    assert "pdf.example" not in entry["before"] + entry["after"]
