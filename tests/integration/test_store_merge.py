"""Merging what was fetched: what is written, what is left alone, what the history tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from syncer.invoice import Invoice, Rejection
from syncer.store.invoices import Batch, MergeCounts, merge_invoices
from tests.integration.stored import (
    ACCOUNT,
    FULL,
    change,
    fetch,
    history,
    invoice,
    invoices,
    merge,
    rows_of,
)

if TYPE_CHECKING:
    from syncer.store.engine import Database

RUN = UUID("00000000-0000-4000-8000-000000000001")

CONTENT = {
    "id": "in_full",
    "status": "open",
    "currency": "usd",
    "amount_due": Decimal("1050.50"),
    "amount_paid": Decimal("0.00"),
    "amount_remaining": Decimal("1050.50"),
    "attempt_count": 2,
    "attempted": True,
    "auto_advance": False,
    "created_at": "2025-03-01T12:30:15.25+00:00",
    "created_by": "billing",
    "description": "AI Gateway credits",
    "invoice_origin": "top_up",
    "extra": {"tax": Decimal("1.50"), "lines": [{"quantity": 3}]},
}

# An account that has no invoice is loaded, any other one merged.
BEFORE = pytest.mark.parametrize("before", [[], [invoice("in_before")]], ids=["loaded", "merged"])
OURS = "WHERE id <> 'in_before'"


def exactly(content: str) -> dict[str, Any]:
    """Read JSON without losing a digit."""
    read: dict[str, Any] = json.loads(content, parse_float=Decimal)
    return read


@BEFORE
async def test_a_first_sight_is_stored_as_it_came_and_writes_no_history(
    database: Database, before: list[Invoice]
) -> None:
    await merge(database, before)
    counts = await merge(database, [FULL])
    assert counts == MergeCounts(inserted=1)
    (row,) = await fetch(database, f"SELECT *, now() AS now FROM invoices {OURS}")
    now = row.pop("now")
    seen_at = row.pop("first_seen_at")
    assert seen_at < now
    assert row.pop("changed_at") == row.pop("invoice_pdf_at") == seen_at
    stored = {name: getattr(FULL, name) for name in FULL.__struct_fields__}
    assert row == stored | {
        "account_id": ACCOUNT,
        "extra": json.loads(FULL.extra or ""),
        "missing_since": None,
    }
    assert await history(database) == []


@BEFORE
async def test_what_the_api_leaves_out_is_null(database: Database, before: list[Invoice]) -> None:
    await merge(database, before)
    await merge(database, [invoice("in_1")])
    (row,) = await fetch(database, f"SELECT * FROM invoices {OURS}")
    assert {name for name, value in row.items() if value is None} == {
        "status",
        "attempt_count",
        "attempted",
        "auto_advance",
        "created_at",
        "created_by",
        "description",
        "invoice_origin",
        "invoice_pdf",
        "invoice_pdf_at",
        "extra",
        "missing_since",
    }


async def test_unchanged_rows_are_neither_rewritten_nor_locked(database: Database) -> None:
    rows = [FULL, *invoices(50)]
    await merge(database, rows)
    written = """SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables
        WHERE relname IN ('invoices', 'invoice_history') ORDER BY relname"""
    untouched = "SELECT id, ctid::text, xmin::text, xmax::text FROM invoices ORDER BY id"
    before = await fetch(database, untouched)
    async with database.transaction() as conn:
        activity = await rows_of(conn, written)
        counts = await merge_invoices(conn, ACCOUNT, RUN, Batch(rows))
        assert await rows_of(conn, written) == activity
    assert counts == MergeCounts(unchanged=51)
    # A lock of a row would have left its transaction in xmax.
    assert {row["xmax"] for row in before} == {"0"}
    assert await fetch(database, untouched) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "paid"),
        ("status", None),
        ("currency", "USD"),
        ("amount_due", Decimal("1050.51")),
        ("amount_paid", Decimal(1)),
        ("amount_remaining", Decimal("-1050.50")),
        ("attempt_count", 2**63 - 1),
        ("attempted", None),
        ("auto_advance", True),
        ("created_at", datetime(2025, 3, 1, 12, 30, 15, 250001, tzinfo=UTC)),
        ("created_by", ""),
        ("description", "AI Gateway credits "),
        ("invoice_origin", None),
        ("extra", '{"tax": 1.50, "lines": [{"quantity": 4}]}'),
        ("extra", None),
    ],
)
async def test_a_change_of_any_field_is_stored_and_told(
    database: Database, field: str, value: object
) -> None:
    await merge(database, [FULL, invoice("in_other")])
    changed = replace(FULL, **{field: value})
    counts = await merge(database, [changed, invoice("in_other")], run_id=RUN)
    assert counts == MergeCounts(updated=1, unchanged=1)
    (row,) = await fetch(
        database,
        "SELECT *, cast(extra AS text) AS extra_text FROM invoices WHERE id = 'in_full'",
    )
    row["extra"] = row["extra_text"]
    stored = {name: row[name] for name in FULL.__struct_fields__}
    expected = {name: getattr(changed, name) for name in FULL.__struct_fields__}
    for content in (stored, expected):
        content["extra"] = content["extra"] and exactly(content["extra"])
    assert stored == expected
    assert row["changed_at"] > row["first_seen_at"]
    (entry,) = await history(database)
    after = exactly(entry.pop("after"))
    assert exactly(entry.pop("before")) == CONTENT
    assert after.keys() == CONTENT.keys()
    assert {name for name in CONTENT if after[name] != CONTENT[name]} == {field}
    assert entry == {
        "account_id": ACCOUNT,
        "invoice_id": "in_full",
        "run_id": RUN,
        "observed_at": row["changed_at"],
        "change": "changed",
    }


async def test_the_same_number_written_otherwise_is_no_change(database: Database) -> None:
    await merge(database, [invoice("in_1", amount_due=Decimal("10.50"), extra='{"a":1, "b":2}')])
    counts = await merge(
        database, [invoice("in_1", amount_due=Decimal("10.500"), extra='{"b": 2, "a": 1}')]
    )
    assert counts == MergeCounts(unchanged=1)


@pytest.mark.parametrize(
    ("amount", "stored"),
    [
        ("10.50", "10.50"),
        ("0", "0"),
        ("-0.00", "0.00"),
        ("-12345.6789", "-12345.6789"),
        ("1E-30", "0.000000000000000000000000000001"),
        ("1E+60", "1" + "0" * 60),
        ("9" * 40 + "." + "9" * 40, "9" * 40 + "." + "9" * 40),
        ("1." + "0" * 16382 + "1", "1." + "0" * 16382 + "1"),
        ("9" * 131072, "9" * 131072),
    ],
)
@BEFORE
async def test_amounts_keep_every_digit(
    database: Database, amount: str, stored: str, before: list[Invoice]
) -> None:
    await merge(database, before)
    await merge(database, [invoice("in_1", amount_due=Decimal(amount))])
    (row,) = await fetch(database, f"SELECT cast(amount_due AS text) FROM invoices {OURS}")
    assert row["amount_due"] == stored
    await merge(database, [invoice("in_1", amount_due=Decimal(amount), status="paid")])
    (entry,) = await fetch(
        database,
        """SELECT before ->> 'amount_due' AS before, after ->> 'amount_due' AS after
        FROM invoice_history""",
    )
    assert entry == {"before": stored, "after": stored}


@pytest.mark.parametrize(
    "odd",
    [
        'it\'s "quoted" \\ and {braced}, $1 :name %s',
        "🧾 emoji, ünïcödé, \u202eright to left",
        "line\nbreak\ttab\u0001control",
        "x" * 2_000_000,
        "NULL",
        "",
    ],
)
@BEFORE
async def test_any_text_comes_back_as_it_was(
    database: Database, odd: str, before: list[Invoice]
) -> None:
    await merge(database, before)
    row = invoice("in_" + odd[:50], description=odd, created_by=odd, extra=json.dumps({odd: odd}))
    await merge(database, [row])
    assert await merge(database, [row]) == MergeCounts(unchanged=1)
    (stored,) = await fetch(
        database, f"SELECT id, description, created_by, extra FROM invoices {OURS}"
    )
    assert stored == {"id": row.id, "description": odd, "created_by": odd, "extra": {odd: odd}}


async def test_the_same_id_of_another_account_is_another_invoice(database: Database) -> None:
    await merge(database, [invoice("in_1", status="open")])
    counts = await merge(database, [invoice("in_1", status="paid")], account_id="other")
    assert counts == MergeCounts(inserted=1)
    rows = await fetch(database, "SELECT account_id, status FROM invoices ORDER BY 1")
    assert rows == [
        {"account_id": ACCOUNT, "status": "open"},
        {"account_id": "other", "status": "paid"},
    ]


@pytest.mark.slow
@pytest.mark.parametrize("lose_statistics", [False, True])
async def test_many_rows_in_every_state_at_once(
    database: Database, *, lose_statistics: bool
) -> None:
    if lose_statistics:
        # The planner believes that there is no other account.
        await merge(database, invoices(3000), account_id="other")
        await change(database, "ANALYZE invoices")
    everything = invoices(20_000)
    ids = [row.id for row in everything]
    assert await merge(database, everything, listed=ids) == MergeCounts(inserted=20_000)
    now = [replace(row, status="paid") for row in everything[:7000]]
    now += everything[7000:15_000]
    now += [invoice(f"new_{number}") for number in range(3000)]
    counts = await merge(database, now, listed=[row.id for row in now])
    assert counts == MergeCounts(inserted=3000, updated=7000, unchanged=8000, missing=5000)
    totals = await fetch(
        database,
        """SELECT count(*) AS stored, count(missing_since) AS missing,
            (SELECT count(*) FROM invoice_history) AS told
        FROM invoices WHERE account_id = :account""",
        account=ACCOUNT,
    )
    assert totals == [{"stored": 23_000, "missing": 5000, "told": 12_000}]
    assert await merge(database, everything[::-1], listed=ids) == MergeCounts(
        updated=12_000, unchanged=8000, missing=3000
    )


async def test_an_empty_walk_changes_nothing(database: Database) -> None:
    assert await merge(database, []) == MergeCounts()


async def test_a_rejection_is_kept_once(database: Database) -> None:
    first = Rejection(reason="no id", payload='{"amount_due": 1}', digest=b"\x00" * 32)
    second = Rejection(reason="no currency", payload="{'🧾", digest=b"\xff" * 32)
    counts = await merge(database, [], rejections=[second, first], run_id=RUN)
    assert counts == MergeCounts(rejected=2)
    counts = await merge(database, [], rejections=[first])
    assert counts == MergeCounts(rejected=1)
    counts = await merge(database, [], rejections=[first], account_id="other")
    assert counts == MergeCounts(rejected=1)
    rows = await fetch(
        database,
        """SELECT account_id, payload_digest, run_id = :run AS first_run, reason, payload
        FROM rejected_invoices ORDER BY account_id, payload_digest""",
        run=RUN,
    )
    stored = [
        {"account_id": ACCOUNT, "payload_digest": first.digest, "first_run": True},
        {"account_id": ACCOUNT, "payload_digest": second.digest, "first_run": True},
        {"account_id": "other", "payload_digest": first.digest, "first_run": False},
    ]
    texts = [
        {"reason": rejection.reason, "payload": rejection.payload}
        for rejection in (first, second, first)
    ]
    assert rows == [key | text for key, text in zip(stored, texts, strict=True)]


@pytest.mark.long
async def test_more_text_than_a_message_of_postgresql_can_hold_is_stored(
    database: Database,
) -> None:
    # A gigabyte: some 1.5 GB of memory here, and a minute.
    rows = invoices(2000, description="x" * 600_000)
    rejections = [
        Rejection(reason="odd", payload="y" * 600_000, digest=number.to_bytes(32))
        for number in range(2000)
    ]
    counts = await merge(database, rows, rejections=rejections)
    assert counts == MergeCounts(inserted=2000, rejected=2000)
