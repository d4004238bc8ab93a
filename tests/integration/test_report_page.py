"""What the report claims of a database: who can be relied on, what is owed, whatever the names."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING

import asyncpg
import pytest

from syncer.report.page import render
from syncer.report.wording import NOTHING
from syncer.store.engine import Database
from syncer.store.report import read_report
from tests.browser import Reader, dump_dom, needs_chromium, print_page, read_page

if TYPE_CHECKING:
    from pathlib import Path

# The story ends in the past; here the accounts that its last run completed are fresh.
FRESH = """
UPDATE sync_state SET
    last_complete_at = now() - interval '59 minutes', complete_as_of = now() - interval '1 hour'
WHERE last_status = 'complete'
"""
OWED = "What is owed, by currency"
FORMER = "2a36430635e7505479f0ba76c491f1fe"
# Markup, quotes, a name that turns around what follows, and a space that is none.
NAME = "<script>alert(1)</script>\"'&\u202egnihton\u2066\x1b[31m🦄"
SEEN = NAME.replace("\u202e", "\ufffd").replace("\u2066", "\ufffd").replace("\x1b", "\ufffd")
# Sixty accounts in five currencies with names that fill a line, and sums that do.
MANY = """
INSERT INTO sync_state SELECT (jsonb_populate_record(s, jsonb_build_object(
    'account_id', md5(n::text),
    'account_name', CASE n WHEN 1 THEN repeat('x', 100) ELSE 'A rather long name, number ' || n END
))).*
FROM sync_state s, generate_series(1, 60) n WHERE s.account_name = 'production';
INSERT INTO invoices SELECT (jsonb_populate_record(i, jsonb_build_object(
    'account_id', md5(n::text), 'currency', (ARRAY['usd', 'eur', 'gbp', 'kwd', 'jpy'])[1 + n % 5],
    'amount_paid', i.amount_paid * n * 499, 'amount_remaining', -i.amount_remaining * n
))).*
FROM invoices i JOIN sync_state s USING (account_id), generate_series(1, 60) n
WHERE s.account_name = 'production';
"""


async def execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def html_of(dsn: str, *statements: str) -> str:
    for statement in statements:
        await execute(dsn, statement)
    database = Database(dsn)
    try:
        return render(await read_report(database, {}), version="0")
    finally:
        await database.close()


async def page_of(dsn: str, *statements: str) -> Reader:
    return read_page(await html_of(dsn, *statements))


async def test_what_is_owed_comes_first_with_what_is_not_certain_of_it(filled_dsn: str) -> None:
    page = await page_of(filled_dsn, FRESH)
    assert next(iter(page.tables)) == OWED
    # From the story: research's and archive's 25 dollars, the former account's 25 euros.
    assert page.tables[OWED] == [
        ["Currency", "Open", "Credits in it", "Payment failed", "Perhaps out of date", "Invoices"],
        ["EUR", "35.00", NOTHING, "35.00", "25.00", "2"],
        ["JPY", "8,000", NOTHING, "8,000", NOTHING, "1"],
        ["KWD", "7.500", "-7.500", "15.000", NOTHING, "2"],
        ["USD", "310.00", NOTHING, "310.00", "50.00", "6"],
    ]
    assert page.tables["Open amounts in EUR"] == [
        ["Account", "EUR", "Invoices"],
        [f"{FORMER} not synced any more", "25.00", "1"],
        ["staging", "10.00", "1"],
        ["Total", "35.00", "2"],
    ]
    assert page.tables["Open amounts in KWD"][1:] == [
        ["kuwait", "7.500", "-7.500", "2"],
        ["Total", "7.500", "-7.500", "2"],
    ]
    accounts = [row[0] for row in page.tables["Open amounts in USD"]]
    assert accounts == ["Account", "production", "archive stale", "research stale", "Total"]


async def test_stale_accounts_are_named_with_the_reason(filled_dsn: str) -> None:
    html = await html_of(filled_dsn, FRESH)
    assert "3 of 8 account(s) are stale" in html
    assert (
        "Stale: acquired (access_denied, never complete); archive (fewer_than_reported, never"
        " complete); research (access_denied, complete as of 2025-11-03 06:00)." in html
    )
    assert "are complete and fresh" not in html


async def test_accounts_that_nothing_syncs_are_no_part_of_all_are_fresh(filled_dsn: str) -> None:
    forget = "DELETE FROM sync_state WHERE last_status <> 'complete'"
    html = await html_of(
        filled_dsn,
        FRESH,
        forget,
        "UPDATE sync_state SET complete_as_of = '2025-11-19 05:04+00' WHERE account_name = 'tokyo'",
    )
    assert "All 5 account(s) are complete and fresh, the oldest as of 2025-11-19 05:04." in html
    assert "Besides, 3 account(s) are not synced any more; the 21 invoice(s)" in html


async def test_an_attempt_without_a_number_is_an_attempt(filled_dsn: str) -> None:
    one = "id = (SELECT min(id) FROM invoices WHERE currency = 'jpy' AND status = 'open')"
    page = await page_of(
        filled_dsn, f"UPDATE invoices SET attempted = true, attempt_count = NULL WHERE {one}"
    )
    assert ["JPY", "open", "1", "8,000"] in page.tables["Failed payments by currency"]
    (row,) = [
        row
        for row in page.tables["Failed payments, oldest first"]
        if row[-1] == "JPY" and row[4] == "open"
    ]
    assert row[5] == NOTHING


async def test_a_database_without_accounts_claims_nothing(database_dsn: str) -> None:
    page = await page_of(database_dsn)
    assert page.tables == {}
    assert "complete and fresh" not in await html_of(database_dsn)


async def test_hostile_text_is_shown_as_text(filled_dsn: str) -> None:
    html = await html_of(
        filled_dsn,
        f"UPDATE sync_state SET account_name = $${NAME}$$ WHERE account_name = 'production'",
        f"UPDATE invoices SET status = $${NAME}$$ WHERE missing_since IS NOT NULL",
        f"UPDATE invoices SET invoice_origin = $${NAME}$$ WHERE currency = 'jpy'",
        f"UPDATE invoices SET currency = $${NAME}$$ WHERE currency = 'eur'",
        f"UPDATE rejected_invoices SET reason = $${NAME}$$",
        f"UPDATE sync_state SET last_error = $${NAME}\n$$ WHERE account_name = 'archive'",
    )
    page = read_page(html)
    assert "script" not in page.elements
    assert page.tables["Open amounts in USD"][1][0] == f"{SEEN} stale"
    assert page.tables["Vanished invoices"][1][3] == SEEN
    assert page.tables[f"Open amounts in {SEEN.upper()}"][-1] == ["Total", "35.00", "2"]
    assert page.tables["Top-ups in JPY by origin"][1][0] == SEEN
    assert page.tables["Rejected records"][1][2] == SEEN
    reasons = [row[-1] for row in page.tables["Accounts, those to look at first"]]
    assert f"fewer_than_reported: {SEEN} " in reasons
    assert not {"\u202e", "\u2066", "\x1b"} & set(html)


@pytest.mark.slow
@needs_chromium
async def test_only_tables_scroll_whatever_the_width(filled_dsn: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(await html_of(filled_dsn, FRESH, MANY))
    widths = (390, 900, 1400)
    frames = "".join(
        f'<iframe src="report.html" style="border:0; width:{width}px; height:900px"></iframe>'
        for width in widths
    )
    # Another page looks into it, for this one may run no script.
    around = tmp_path / "around.html"
    around.write_text(
        f"""<!DOCTYPE html><body>{frames}<script>onload = () => document.body.textContent =
        [...document.querySelectorAll("iframe")].map(one => one.contentDocument.documentElement)
        .map(one => `${{one.clientWidth}} ${{one.scrollWidth}}`).join("; ")</script>"""
    )
    seen = await dump_dom(around, "--allow-file-access-from-files")
    assert "; ".join(f"{width} {width}" for width in widths) in seen


@pytest.mark.slow
@needs_chromium
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext (poppler-utils)")
async def test_paper_has_every_figure_in_one_piece(filled_dsn: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(await html_of(filled_dsn, FRESH, MANY))
    paper = tmp_path / "report.pdf"
    await print_page(report, paper)
    process = await asyncio.create_subprocess_exec(
        "pdftotext", "-layout", paper, "-", stdout=subprocess.PIPE
    )
    text, _ = await process.communicate()
    words = set(text.decode().split())
    tables = read_page(report.read_text()).tables
    figures = {
        cell
        for caption, (_head, *rows) in tables.items()
        if caption.startswith("Paid in") or caption == OWED
        for row in rows
        for cell in row
    }
    assert len(figures) > 100
    assert figures - {NOTHING} - words == set()
