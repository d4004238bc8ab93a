"""The views: the feed of changes, freshness, and exact totals."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.integration.stored import ACCOUNT, change, fetch, invoice, merge

if TYPE_CHECKING:
    from syncer.store.engine import Database

RUN = UUID("00000000-0000-4000-8000-000000000003")
MARCH = datetime(2025, 3, 31, 23, 59, 59, tzinfo=UTC)


async def test_the_feed_tells_an_invoices_whole_life(database: Database) -> None:
    for status in ("draft", "open"):
        await merge(
            database,
            [invoice("in_1", status=status, invoice_pdf=f"https://x/{status}")],
            run_id=RUN,
        )
    await merge(database, [], listed=[], run_id=RUN)
    await merge(database, [invoice("in_1", status="paid")], run_id=RUN)
    await merge(database, [invoice("in_2", status="draft")], account_id="other")
    feed = await fetch(
        database,
        """SELECT account_id, invoice_id, run_id, change, before ->> 'status' AS before,
            after ->> 'status' AS after, before ? 'invoice_pdf' OR after ? 'invoice_pdf' AS leaks
        FROM invoice_changes ORDER BY observed_at""",
    )
    assert [tuple(row.values())[2:] for row in feed] == [
        (None, "appeared", None, "draft", None),
        (RUN, "changed", "draft", "open", False),
        (RUN, "missing", "open", None, None),
        (RUN, "reappeared", "open", "paid", False),
        (None, "appeared", None, "draft", None),
    ]
    assert [(row["account_id"], row["invoice_id"]) for row in feed] == [
        *[(ACCOUNT, "in_1")] * 4,
        ("other", "in_2"),
    ]


async def test_a_first_sight_is_told_in_the_words_of_a_change(database: Database) -> None:
    await merge(database, [invoice("in_1", invoice_pdf="https://x", extra='{"a": 1}')])
    fresh = await fetch(database, "SELECT after FROM invoice_changes")
    await merge(database, [invoice("in_1", status="paid", extra='{"a": 1}')])
    later = await fetch(
        database,
        """SELECT after FROM invoice_changes WHERE change = 'appeared'
        UNION ALL SELECT before FROM invoice_changes WHERE change = 'changed'""",
    )
    assert later == fresh * 2


async def test_freshness_has_a_row_for_each_account(database: Database) -> None:
    await change(
        database,
        """INSERT INTO sync_state (account_id, account_name, last_complete_at, stale_after) VALUES
            ('fresh', 'Fresh', now() - interval '59 minutes', '1 hour'),
            ('stale', 'Stale', now() - interval '61 minutes', '1 hour'),
            ('never', 'Never', null, '1 hour'),
            ('default', 'Default', now() - interval '61 minutes', DEFAULT)""",
    )
    rows = await fetch(
        database,
        """SELECT account_id, account_name, stale, age = now() - last_complete_at AS right_age
        FROM sync_freshness ORDER BY account_id""",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("default", "Default", True, True),
        ("fresh", "Fresh", False, True),
        ("never", "Never", True, None),
        ("stale", "Stale", True, True),
    ]


@pytest.mark.parametrize(
    ("currency", "minor", "major"),
    [
        ("usd", "1050.50", "10.5050"),
        ("USD", "1", "0.01"),
        ("jpy", "1050", "1050"),
        ("KRW", "-7", "-7"),
        ("bhd", "1050", "1.050"),
        ("Tnd", "1", "0.001"),
        ("isk", "100", "1.00"),
        ("ugx", "100", "1.00"),
        ("xyz", "100", "1.00"),
        ("usd", "1E-30", "0." + "0" * 31 + "1"),
        ("usd", "9" * 60, "9" * 58 + ".99"),
    ],
)
async def test_totals_follow_the_currency_exactly(
    database: Database, currency: str, minor: str, major: str
) -> None:
    await merge(database, [invoice("in_1", currency=currency, amount_due=Decimal(minor))])
    (row,) = await fetch(
        database,
        """SELECT currency, cast(amount_due_minor AS text), cast(amount_due_major AS text)
        FROM invoice_totals""",
    )
    assert row == {
        "currency": currency,
        "amount_due_minor": f"{Decimal(minor):f}",
        "amount_due_major": major,
    }


async def test_totals_add_up_by_account_currency_month_and_status(database: Database) -> None:
    paid = {"amount_paid": Decimal(1000), "amount_remaining": Decimal(0), "status": "paid"}
    await merge(
        database,
        [
            invoice("in_1", created_at=MARCH, **paid),
            invoice("in_2", created_at=datetime(2025, 3, 1, tzinfo=UTC), **paid),
            invoice("in_3", created_at=datetime(2025, 4, 1, tzinfo=UTC), **paid),
            invoice("in_4", created_at=MARCH, status="open"),
            invoice("in_5", created_at=MARCH, currency="eur", **paid),
            invoice("in_6"),
        ],
    )
    await merge(database, [invoice("in_1", created_at=MARCH, **paid)], account_id="other")
    await merge(database, [invoice("gone")], account_id="other", listed=["in_1"])
    await merge(database, [], account_id="emptied")
    await change(database, "UPDATE invoices SET missing_since = now() WHERE id = 'gone'")
    rows = await fetch(
        database,
        """SELECT * FROM invoice_totals
        ORDER BY account_id, currency, month NULLS FIRST, status""",
    )
    march, april = date(2025, 3, 1), date(2025, 4, 1)
    thousand, nothing, ten = Decimal(1000), Decimal(0), Decimal(10)
    assert [tuple(row.values()) for row in rows] == [
        (ACCOUNT, "eur", march, "paid", 1, thousand, thousand, nothing, ten, ten, nothing),
        (ACCOUNT, "usd", None, None, 1, thousand, nothing, thousand, ten, nothing, ten),
        (ACCOUNT, "usd", march, "open", 1, thousand, nothing, thousand, ten, nothing, ten),
        (ACCOUNT, "usd", march, "paid", 2, 2 * thousand, 2 * thousand, 0, 2 * ten, 2 * ten, 0),
        (ACCOUNT, "usd", april, "paid", 1, thousand, thousand, nothing, ten, ten, nothing),
        ("other", "usd", march, "paid", 1, thousand, thousand, nothing, ten, ten, nothing),
    ]
