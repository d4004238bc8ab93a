"""What the report claims of a database: who can be relied on, what is owed, whatever the names."""

from __future__ import annotations

import asyncio
import re
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
    from collections.abc import Mapping
    from pathlib import Path

# The story ends in the past; here the accounts that its last run completed are fresh.
FRESH = """
UPDATE sync_state SET
    last_complete_at = now() - interval '59 minutes', complete_as_of = now() - interval '1 hour'
WHERE last_status = 'complete'
"""
OWED = "What is owed, by currency"
COULD_NOT_BE_HAD = (
    "The list of accounts could not be had: some may be missing here, and every sum on this page"
    " lacks theirs."
)
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


async def html_of(
    dsn: str, *statements: str, names: Mapping[str, str] | None = None, all_known: bool = True
) -> str:
    for statement in statements:
        await execute(dsn, statement)
    database = Database(dsn)
    try:
        report = await read_report(database, names or {}, all_known=all_known)
        return render(report, version="0")
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
        [f"{FORMER} no sync on record", "25.00", "1"],
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


async def test_accounts_without_a_sync_on_record_are_no_part_of_all_are_fresh(
    filled_dsn: str,
) -> None:
    forget = "DELETE FROM sync_state WHERE last_status <> 'complete'"
    html = await html_of(
        filled_dsn,
        FRESH,
        forget,
        "UPDATE sync_state SET complete_as_of = '2025-11-19 05:04+00' WHERE account_name = 'tokyo'",
    )
    assert "All 5 account(s) are complete and fresh, the oldest as of 2025-11-19 05:04." in html
    assert "3 account(s) have invoices here, but no sync on record: their 21 invoice(s)" in html


async def test_an_account_that_lost_its_record_is_called_the_same_throughout(
    filled_dsn: str,
) -> None:
    html = await html_of(filled_dsn, FRESH, names={FORMER: "back again"})
    assert "acquired (access_denied, never complete)" in html
    assert "back again (no sync on record)" in html
    assert "1 account(s) have invoices here, but no sync on record: their 3 invoice(s)" in html
    page = read_page(html)
    assert page.tables["Open amounts in EUR"][1][0] == f"{FORMER} no sync on record"
    (listed,) = [
        row
        for row in page.tables["Accounts, those to look at first"]
        if row[0].startswith("back again")
    ]
    assert listed[1:] == ["stale", *[NOTHING] * 4, "no sync on record"]
    assert "never synced" not in html
    assert "any more" not in html.replace("(not asked any more)", "")


async def test_nothing_is_called_complete_while_the_list_of_accounts_is_unknown(
    filled_dsn: str,
) -> None:
    forget = "DELETE FROM sync_state WHERE last_status <> 'complete'"
    unsure = await html_of(filled_dsn, FRESH, forget, all_known=False)
    assert f'<p class="warning">{COULD_NOT_BE_HAD}</p>' in unsure
    assert "<p>The 5 account(s) that are known are complete and fresh, the oldest as of" in unsure
    assert 'class="well"' not in unsure
    with_one = await html_of(filled_dsn, names={"0" * 32: "configured"}, all_known=False)
    assert f'<p class="warning">{COULD_NOT_BE_HAD}</p>' in with_one
    assert "1 of 6 account(s) are stale" in with_one
    assert "Stale: configured (no sync on record)." in with_one
    assert "(not asked any more)" not in with_one
    sure = await html_of(filled_dsn, names={"0" * 32: "configured"})
    assert COULD_NOT_BE_HAD not in sure
    assert sure.count("(not asked any more)") == 5


async def test_what_is_perhaps_out_of_date_is_shown_where_it_adds_up_to_nothing(
    filled_dsn: str,
) -> None:
    # Research is stale, and what it owes is now what archive, which is stale too, gets back.
    page = await page_of(
        filled_dsn,
        FRESH,
        """UPDATE invoices SET amount_remaining = -amount_remaining
        WHERE status = 'open' AND missing_since IS NULL AND account_id =
            (SELECT account_id FROM sync_state WHERE account_name = 'archive')""",
    )
    assert page.tables[OWED][-1] == ["USD", "260.00", "-25.00", "285.00", "0.00", "6"]
    assert page.tables[OWED][-2][4] == NOTHING


async def test_however_many_currencies_the_api_invents_the_page_is_bounded(
    filled_dsn: str,
) -> None:
    html = await html_of(
        filled_dsn,
        """INSERT INTO invoices SELECT (jsonb_populate_record(i, jsonb_build_object(
            'id', 'in_' || n, 'currency', 'x' || n, 'attempted', true,
            'created_at', i.created_at - interval '3 years', 'amount_paid', 100
        ))).*
        FROM invoices i, generate_series(1, 60) n
        WHERE i.id = (SELECT min(id) FROM invoices WHERE currency = 'jpy' AND status = 'open')""",
    )
    page = read_page(html)
    assert [row[0] for row in page.tables[OWED][1:4]] == ["EUR", "JPY", "KWD"]
    assert len(page.tables[OWED]) == 1 + 12
    assert html.split('id="open"')[0].count("and 52 more") == 1
    sums = page.tables["Failed payments by currency"]
    assert len(sums) == 1 + 50
    assert re.search(r"Besides, paid in other months or in none: .*; and \d+ more\.</p>", html)


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
