"""The first load of an account, which is a COPY, stores what the merge would have stored."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncer.errors import DatabaseError, DatabaseUnreachable
from syncer.invoice import Invoice, Rejection
from syncer.store.invoices import MergeCounts
from tests.integration.stored import ACCOUNT, change, fetch, invoice, invoices, merge
from tests.sessions import PATIENCE_S, POOL, WAITING, holding, session, terminate, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.store.engine import Database

MERGED = "merged"  # an account that has an invoice already
CONTENT = """
    SELECT CAST(to_jsonb(invoices) - CAST(:own AS text[]) AS text) AS content,
        changed_at = first_seen_at AS is_new, invoice_pdf_at = first_seen_at AS is_linked
    FROM invoices WHERE account_id = :account AND id <> 'in_before' ORDER BY id
"""
OWN = ["account_id", "first_seen_at", "changed_at", "invoice_pdf_at"]

TEXTS = [
    *(
        "",
        " ",
        "\\",
        "\\\\",
        "\\N",
        "\\.",
        "\\n",
        "\\t",
        "now",
        "NULL",
        "null",
        "'",
        '"',
        "{}",
        "\t",
    ),
    *("\n", "\r", "\r\n", "a\tb\nc\\d", "\\\n", "\n\\.\n", "\x01", "\x08\x0b\x0c\x1f\x7f", "\x85"),
    *(
        "\u2028",
        "\u2029",
        "\u200b",
        "\ufeff",
        "\ufffe",
        "\U0001f600",
        "\U0010ffff",
        "é",
        "$1 %s :a",
    ),
    "x" * 300_000 + "\\",
]
AMOUNTS = [
    *("0", "-0", "-0.00", "1E+5", "1E-7", "0E+5", "10.50", "-12345.6789", "9007199254740993"),
    *("9" * 4000, "1." + "0" * 16_382 + "1", "9" * 131_072, "1E+131071"),
]
TIMES = [
    datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1),
    datetime(1, 1, 1, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(999, 12, 31, tzinfo=UTC),
    datetime(1582, 10, 10, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1),
]


async def assert_stored_alike(database: Database, rows: Sequence[Invoice]) -> list[dict[str, Any]]:
    """Load them, and merge them into an account that has another; both hold the same then."""
    await merge(database, [invoice("in_before")], account_id=MERGED)
    for account in (ACCOUNT, MERGED):
        assert await merge(database, rows, account_id=account) == MergeCounts(inserted=len(rows))
    loaded = await fetch(database, CONTENT, account=ACCOUNT, own=OWN)
    assert loaded == await fetch(database, CONTENT, account=MERGED, own=OWN)
    assert all(row["is_new"] for row in loaded)
    for account in (ACCOUNT, MERGED):
        assert await merge(database, rows, account_id=account) == MergeCounts(unchanged=len(rows))
    return loaded


async def test_odd_texts_are_loaded_as_they_are_merged(database: Database) -> None:
    rows = [
        invoice(
            f"{number}{odd[:50]}",
            currency=odd or "usd",
            status=odd,
            created_by=odd,
            description=odd,
            invoice_origin=odd,
            invoice_pdf=odd,
            extra=json.dumps({"a" + odd: [odd]}),
        )
        for number, odd in enumerate(TEXTS)
    ]
    await assert_stored_alike(database, rows)
    names = ("currency", "status", "created_by", "description", "invoice_origin", "invoice_pdf")
    for row in await fetch(database, f"SELECT id, extra, {', '.join(names)} FROM invoices"):
        sent = {one.id: one for one in [*rows, invoice("in_before")]}[row.pop("id")]
        assert row.pop("extra") == (sent.extra and json.loads(sent.extra))
        assert row == {name: getattr(sent, name) for name in names}


async def test_odd_numbers_and_times_are_loaded_as_they_are_merged(database: Database) -> None:
    rows = [
        *(
            invoice(f"a{number}", amount_due=Decimal(odd), extra=f'{{"a": {odd}}}')
            for number, odd in enumerate(AMOUNTS)
        ),
        *(invoice(f"t{number}", created_at=odd) for number, odd in enumerate(TIMES)),
        *(invoice(f"n{odd}", attempt_count=odd) for odd in (0, 2**63 - 1, -(2**63))),
        *(invoice(f"b{odd}", attempted=odd, auto_advance=not odd) for odd in (True, False)),
        invoice("nothing"),
    ]
    await assert_stored_alike(database, rows)
    stored = await fetch(
        database,
        "SELECT created_at FROM invoices WHERE account_id = :account AND id LIKE 't%' ORDER BY id",
        account=ACCOUNT,
    )
    assert [row["created_at"] for row in stored] == TIMES


@pytest.mark.slow
async def test_a_first_load_of_more_than_one_message_is_stored(database: Database) -> None:
    # So that some message ends within each kind of row.
    rows = [
        invoice(f"in_{number:05}", description="x" * (number % 7) * 50_000) for number in range(450)
    ]
    assert len(await assert_stored_alike(database, rows)) == 450


async def test_an_account_whose_rows_are_all_missing_is_merged(database: Database) -> None:
    rows = invoices(3)
    await merge(database, rows)
    await change(database, "UPDATE invoices SET missing_since = now()")
    assert await merge(database, rows) == MergeCounts(updated=3)


async def test_a_first_load_that_fails_leaves_nothing(database: Database) -> None:
    rejection = Rejection(reason="a\0b", payload="", digest=b"")
    with pytest.raises(DatabaseError):
        await merge(database, invoices(3), rejections=[rejection])
    assert await fetch(database, "SELECT id FROM invoices") == []
    assert await merge(database, invoices(3)) == MergeCounts(inserted=3)


async def test_a_first_load_ends_where_the_connection_is_lost_in_it(
    database: Database, database_dsn: str
) -> None:
    """The table is locked, so that the server reads nothing of what is more than buffers hold."""
    many = [invoice(f"in_{number}", description="x" * 1000) for number in range(20_000)]
    locked = holding(database_dsn, "LOCK TABLE invoices IN EXCLUSIVE MODE")
    async with session(database_dsn) as admin, locked, asyncio.timeout(PATIENCE_S):
        loading = asyncio.ensure_future(merge(database, many))
        await until(admin, WAITING, 1)
        await terminate(admin, POOL)
        with pytest.raises(DatabaseUnreachable):
            await loading
    assert await fetch(database, "SELECT id FROM invoices") == []


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
odd_texts = st.none() | texts | st.text("\\Nnrt.\t\n\r\x01'\"", max_size=8)
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda number: abs(number.adjusted()) < 100
)


@st.composite
def any_invoices(draw: st.DrawFn) -> list[Invoice]:
    return [
        Invoice(
            id=f"{number}{draw(odd_texts) or ''}",
            currency=draw(odd_texts) or "usd",
            amount_due=draw(amounts),
            amount_paid=draw(amounts),
            amount_remaining=draw(amounts),
            status=draw(odd_texts),
            attempt_count=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
            attempted=draw(st.none() | st.booleans()),
            auto_advance=draw(st.none() | st.booleans()),
            created_at=draw(st.none() | st.datetimes(*ENDS, timezones=st.just(UTC))),
            created_by=draw(odd_texts),
            description=draw(odd_texts),
            invoice_origin=draw(odd_texts),
            invoice_pdf=draw(odd_texts),
            extra=draw(st.none() | odd_texts.map(lambda text: json.dumps({"a": text}))),
        )
        for number in range(draw(st.integers(1, 20)))
    ]


ENDS = (TIMES[0].replace(tzinfo=None), TIMES[-1].replace(tzinfo=None))


@pytest.mark.thorough
@settings(
    max_examples=settings().max_examples // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=any_invoices())
async def test_any_invoices_are_loaded_as_they_are_merged(
    database: Database, rows: list[Invoice]
) -> None:
    await change(database, "DELETE FROM invoices")
    await assert_stored_alike(database, rows)
