"""Odd records one by one: what of them is in the tables after a sync, and after another."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

from tests.integration.serving import record, sync

if TYPE_CHECKING:
    from tests.integration.running import Site

NINES = "9" * 131_072
WIDEST = "\U0010ffff" * 255

# What is sent for a column, and what is stored: the text that PostgreSQL shows.
STORED: dict[str, dict[str, str | None]] = {
    "amount_due": {
        "10.50": "10.50",
        "-0": "0",
        "-0.00": "0.00",
        "-7": "-7",
        "1e2": "100",
        "1E-7": "0.0000001",
        "0e5": "0",
        "123456789012345678901234567890.12": "123456789012345678901234567890.12",
        "9007199254740993": "9007199254740993",
        "9" * 4000: "9" * 4000,
        f"{NINES}.5": f"{NINES}.5",
        "1e131071": "1" + "0" * 131_071,
        "1e-16383": "0." + "0" * 16_382 + "1",
    },
    "attempt_count": {
        "-9223372036854775808": "-9223372036854775808",
        "3.00": "3",
        "2e3": "2000",
        "null": None,
    },
    "created": {
        "0": "1970-01-01 00:00:00+00",
        "-1": "1969-12-31 23:59:59+00",
        "-62135596799.999999": "0001-01-01 00:00:00.000001+00",
        "253402300799.999998": "9999-12-31 23:59:59.999998+00",
        "1763769600.25": "2025-11-22 00:00:00.25+00",
        "1763769600.000000000": "2025-11-22 00:00:00+00",
        "null": None,
    },
    "description": {
        '""': "",
        '" \\t\\u007f "': " \t\x7f ",
        '"\\ufeff\\ufffe\\uffff"': "\ufeff\ufffe\uffff",
        '"\\ud83d\\ude00"': "\U0001f600",
        '"a:b, a://b, {\\"a\\":1,\\"a\\":2}"': 'a:b, a://b, {"a":1,"a":2}',
        json.dumps("ü" * 1_000_000): "ü" * 1_000_000,
    },
    "status": {'"disputed"': "disputed", '"PAID "': "PAID ", "null": None},
    "tax": {
        "null": '{"tax": null}',
        "[1e3, 10.50, -0.0]": '{"tax": [1000, 10.50, 0.0]}',
        "18446744073709551616": '{"tax": 18446744073709551616}',
        '{"":{"b":1,"a":[]}}': '{"tax": {"": {"a": [], "b": 1}}}',
        '{"invoice_pdf":"https://a.test/"}': '{"tax": {"invoice_pdf": "https://a.test/"}}',
        "[" * 100 + "]" * 100: '{"tax": ' + "[" * 100 + "]" * 100 + "}",
        "1e131071": '{"tax": 1' + "0" * 131_071 + "}",
    },
}
COLUMN = {"created": "created_at", "tax": "extra"}

# Each is an invoice of its own.
IDS = [
    "in_1",
    "IN_1",
    "in_1 ",
    " in_1",
    "in_1\u200b",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "\ufeff",
    "' OR 1=1 --",
    WIDEST,
]

REJECTED = {
    b"null": "it is not an object, or holds a number of thousands of digits",
    b"NaN": "it is not valid JSON (perhaps NaN, or half a surrogate pair)",
    record('""'): "id is missing",
    record("null"): "id is missing",
    record('"in_\\u0000"'): "id holds a NUL character, which PostgreSQL cannot store",
    record(f'"{"x" * 256}"'): "id is longer than 255 characters",
    record('"r1"', currency='""'): "currency is missing",
    record('"r2"', amount_due="null"): "amount_due is missing",
    record('"r3"', amount_due="true"): "amount_due is a boolean, not a number",
    record('"r4"', amount_due='"10.50"'): "amount_due is a text, not a number",
    record('"r5"', amount_due="1e131072"): (
        "amount_due has more digits than PostgreSQL's numeric can hold"
    ),
    record('"r6"', amount_due="1e-20000"): (
        "amount_due has more digits than PostgreSQL's numeric can hold"
    ),
    record('"r7"', amount_due="9" * 5000): (
        "it is not an object, or holds a number of thousands of digits"
    ),
    record('"r8"', amount_due="-Infinity"): (
        "it is not valid JSON (perhaps NaN, or half a surrogate pair)"
    ),
    record('"r9"', created="1763769600000"): (
        "created is not a time in unix seconds between the years 1 and 9999"
        " (perhaps it is in milliseconds)"
    ),
    record('"ra"', created="-62135596801"): (
        "created is not a time in unix seconds between the years 1 and 9999"
        " (perhaps it is in milliseconds)"
    ),
    record('"ri"', created="-62135596800"): "created is a moment that stands for infinity",
    record('"rj"', created="253402300799.999999"): "created is a moment that stands for infinity",
    record('"rb"', created="0.0000001"): "created is finer than a microsecond",
    record('"rc"', description='"\\ud800"'): (
        "it is not valid JSON (perhaps NaN, or half a surrogate pair)"
    ),
    record('"rd"', tax='{"rate":1,"rate":1}'): "an undocumented or nested field is given twice",
    record('"re"', amount_due='7,"amount_due":8'): "amount_due is given twice",
    record('"rf"', tax='{"\\u0000":1}'): (
        "an undocumented field holds a NUL character, which PostgreSQL cannot store"
    ),
    record('"rg"', tax="[" * 102 + "]" * 102): (
        "an undocumented field is nested more than 100 levels deep"
    ),
    record('"rh"', tax="[" * 100_000 + "]" * 100_000): "it is nested too deeply",
    b'{"id":"\xff\x00","description":"' + b"\\u0041" * 100_000 + b'"}': (
        "it is not valid JSON (perhaps NaN, or half a surrogate pair)"
    ),
}


async def test_odd_values_are_stored_to_the_last_digit(here: Site) -> None:
    here.add("production", 0)
    sent = {
        f"{field}-{number}": (field, value, expected)
        for field, values in STORED.items()
        for number, (value, expected) in enumerate(values.items())
    }
    records = [record(f'"{id_}"', **{field: value}) for id_, (field, value, _) in sent.items()]
    await assert_stored_once(here, records, inserted=len(sent))
    for id_, (field, value, expected) in sent.items():
        column = COLUMN.get(field, field)
        row = await here.row(
            f"SELECT CAST({column} AS text) AS value FROM invoices WHERE id = :id", id=id_
        )
        assert row["value"] == expected, (field, value[:50])


async def test_ids_that_look_alike_are_invoices_of_their_own(here: Site) -> None:
    here.add("production", 0)
    await assert_stored_once(here, [record(json.dumps(id_)) for id_ in IDS], inserted=len(IDS))
    rows = await here.rows("SELECT id FROM invoices")
    assert {row["id"] for row in rows} == set(IDS)


async def test_what_is_no_invoice_is_kept_with_its_reason_beside_those_that_are(here: Site) -> None:
    here.add("production", 0)
    records = [record('"first"'), *REJECTED, record('"last"')]
    await assert_stored_once(here, records, inserted=2, rejected=len(REJECTED))
    rows = await here.rows("SELECT payload, reason FROM rejected_invoices")
    assert {row["payload"]: row["reason"] for row in rows} == {
        raw.decode(errors="backslashreplace").replace("\0", "\\u0000"): reason
        for raw, reason in REJECTED.items()
    }


async def assert_stored_once(
    here: Site, records: list[bytes], *, inserted: int = 0, rejected: int = 0
) -> None:
    """Sync twice; the second sync writes nothing."""
    first = await sync(here, "production", records)
    assert (first.status, first.inserted, first.rejected) == ("complete", inserted, rejected)
    second = await sync(here, "production", records)
    assert (second.status, second.inserted, second.updated) == ("complete", 0, 0)
    assert (second.unchanged, second.rejected) == (inserted, rejected)
    counts = await here.row("""
        SELECT (SELECT count(*) FROM invoices) AS invoices,
            (SELECT count(*) FROM invoice_history) AS changes,
            (SELECT count(*) FROM rejected_invoices) AS rejections
    """)
    assert counts == {"invoices": inserted, "changes": 0, "rejections": rejected}


async def test_an_id_that_cannot_be_stored_proves_no_absence_and_costs_no_account(
    here: Site,
) -> None:
    here.add("production", 0)
    await sync(here, "production", [record('"a"'), record('"b"')])
    synced = await sync(here, "production", [record('"a"'), record('"b\\u0000"')])
    assert (synced.status, synced.unchanged, synced.missing) == ("complete", 1, 0)
    # Where it can be read and stored, the others' absence is proven.
    synced = await sync(here, "production", [record('"a"', amount_due="true")])
    assert (synced.status, synced.rejected, synced.missing) == ("complete", 1, 1)
    rows = await here.rows("SELECT id FROM invoices WHERE missing_since IS NULL")
    assert rows == [{"id": "a"}]


async def test_an_id_that_moves_to_another_account_is_missing_in_one_and_new_in_the_other(
    here: Site,
) -> None:
    here.add("first", 0)
    here.add("second", 0)
    first, second = (here.accounts[name].id for name in ("first", "second"))
    await sync(here, "first", [record('"stays"'), record('"moves"', status='"open"')])
    await sync(here, "second", [record('"other"')])
    await sync(here, "first", [record('"stays"')])
    await sync(here, "second", [record('"other"'), record('"moves"', status='"paid"')])
    rows = await here.rows(
        "SELECT account_id, status, missing_since IS NULL AS listed FROM invoices"
        " WHERE id = 'moves' ORDER BY account_id"
    )
    assert rows == [
        {"account_id": first, "status": "open", "listed": False},
        {"account_id": second, "status": "paid", "listed": True},
    ]
    await sync(here, "first", [record('"stays"'), record('"moves"', status='"paid"')])
    await sync(here, "second", [record('"other"')])
    changes = await here.rows(
        "SELECT account_id, change, before ->> 'status' AS before, after ->> 'status' AS after"
        " FROM invoice_history WHERE invoice_id = 'moves' ORDER BY id"
    )
    assert changes == [
        {"account_id": first, "change": "missing", "before": "open", "after": None},
        {"account_id": first, "change": "reappeared", "before": "open", "after": "paid"},
        {"account_id": second, "change": "missing", "before": "paid", "after": None},
    ]
    totals = await here.row("SELECT count(*) AS rows FROM invoices WHERE missing_since IS NULL")
    assert totals == {"rows": 3}


async def test_thousands_of_rejections_are_kept_once_whatever_links_they_bring(here: Site) -> None:
    here.add("production", 0)
    for issue in (1, 2):
        synced = await sync(
            here,
            "production",
            [
                record(f'"in_{n}"', currency="7", invoice_pdf=f'{{"url":"https://a.test/{issue}"}}')
                for n in range(5000)
            ],
        )
        assert (synced.status, synced.rejected) == ("complete", 5000)
    kept = await here.row("SELECT count(*) AS rows, min(reason) AS reason FROM rejected_invoices")
    assert kept == {"rows": 5000, "reason": "currency is a number, not a text"}
