"""`syncer report`: the file, what a browser reads from it, and that it says what the SQL says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from syncer.demo.invoices import make_history, settled
from syncer.report.wording import NOTHING
from tests.acceptance.program import NOWHERE
from tests.browser import Table, dump_dom, listening, needs_chromium, read_page

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from tests.acceptance.program import Program

HOSTILE = 'a<script src="http://example.invalid/a.js"></script>&"'


async def fill(syncer: Program) -> None:
    """Sync some currencies, a change, an invoice that vanishes, a rejection, and one account not.

    The rest of what the report is about is written by hand: an old failure, and a hostile name.
    """
    for name, currency, number in (
        ("production", "usd", 130),
        ("research", "usd", 40),
        ("tokyo", "jpy", 45),
        ("kuwait", "kwd", 3),
    ):
        syncer.add(name, 0).invoices = make_history(name, number, currency=currency)
    syncer.add("denied", 3).logins = set()
    assert (await syncer.run("sync")).code == 1
    production = syncer.accounts["production"].invoices
    production[1] = settled(production[1])
    production.pop(7)
    production.insert(0, {**production[0], "id": "in_broken", "amount_due": "much"})
    assert (await syncer.run("sync")).code == 1
    syncer.add("never", 3)
    connection = await asyncpg.connect(syncer.dsn)
    await connection.execute(
        "UPDATE sync_state SET account_name = $1 WHERE account_name = 'research'", HOSTILE
    )
    await connection.close()


async def report(syncer: Program) -> Path:
    finished = await syncer.run("report", "--output", "made.html")
    assert (finished.code, finished.stderr) == (0, "")
    assert finished.stdout == "wrote made.html: 6 account(s), 2 of them stale\n"
    return syncer.directory / "made.html"


async def rows(syncer: Program, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(syncer.dsn)
    found = [tuple(row) for row in await connection.fetch(query)]
    await connection.close()
    return found


def figures(table: Table, *columns: str) -> list[tuple[str, ...]]:
    """Pick columns of a table's rows, without its foot."""
    head, *body = table
    return [tuple(row[head.index(column)] for column in columns) for row in body]


def plain(amount: Decimal) -> str:
    return f"{amount:,f}"


async def check_figures(syncer: Program, html: str) -> None:
    """Compare with what the views say, by queries of the test's own."""
    tables = read_page(html).tables
    owed = await rows(
        syncer,
        """SELECT currency, account_name, sum(invoices), sum(amount_remaining_major)
        FROM invoice_totals JOIN sync_state USING (account_id) WHERE status = 'open'
        GROUP BY 1, 2 ORDER BY 1, 4 DESC""",
    )
    for code in ("usd", "jpy", "kwd"):
        mine = [row for row in owed if row[0] == code]
        total = (sum(row[2] for row in mine), sum(row[3] for row in mine))
        assert figures(
            tables[f"Open amounts in {code.upper()}"], "Account", "Invoices", code.upper()
        ) == [
            *((name, str(count), plain(amount)) for _, name, count, amount in mine),
            ("Total", str(total[0]), plain(total[1])),
        ]
        paid = await rows(
            syncer,
            f"""SELECT to_char(month, 'YYYY-MM'), sum(amount_paid_major) FROM invoice_totals
            WHERE currency = '{code}' AND amount_paid_minor <> 0
            GROUP BY month ORDER BY month DESC LIMIT 12""",
        )
        shown = figures(tables[f"Paid in {code.upper()} by month"], "Month", "All")
        in_all = sum(amount for month, amount in paid if month > "2024-11")
        assert shown[-1] == ("Total", plain(in_all))
        assert list(shown[:-1]) == [(month, plain(a)) for month, a in paid if month > "2024-11"]
        origins = await rows(
            syncer,
            f"""SELECT invoice_origin, count(*)::text FROM invoices
            WHERE currency = '{code}' AND missing_since IS NULL GROUP BY 1 ORDER BY 1""",
        )
        by_origin = tables[f"Top-ups in {code.upper()} by origin"]
        assert figures(by_origin, "Origin", "Invoices") == origins
    accounts = figures(tables["Accounts, those to look at first"], "Account", "State", "Invoices")
    assert accounts[:2] == [("denied", "stale", "0"), ("never", "stale", NOTHING)]
    assert set(accounts[2:]) == {
        (HOSTILE, "fresh", "40"),
        ("kuwait", "fresh", "3"),
        ("production", "fresh", "129"),
        ("tokyo", "fresh", "45"),
    }
    failed = await rows(
        syncer,
        """SELECT id FROM invoices WHERE status IN ('open', 'uncollectible') AND attempt_count > 0
        AND missing_since IS NULL ORDER BY created_at, account_id""",
    )
    assert figures(tables["Failed payments, oldest first"], "Invoice") == failed
    changes = figures(tables["Latest changes"], "Change", "Status")
    assert sorted(changes) == [("changed", "open → paid"), ("missing", "paid")]
    assert len(figures(tables["Vanished invoices"], "Invoice")) == 1
    assert len(figures(tables["Rejected records"], "Reason")) == 1
    runs = figures(tables["Latest runs"], "Trigger", "Status", "Accounts complete")
    assert runs == [("command", "partial", "4 of 5")] * 2
    outcomes = tables["What became of each account's walk in these days"]
    assert figures(outcomes, "Outcome", "Reason", "Walks") == [
        ("complete", NOTHING, "8"),
        ("failed", "access_denied", "2"),
    ]


async def test_the_file_says_what_the_database_says_and_refers_to_nothing(syncer: Program) -> None:
    await fill(syncer)
    html = (await report(syncer)).read_text()
    await check_figures(syncer, html)
    page = read_page(html)
    assert page.references == []
    assert page.elements.isdisjoint({"script", "link", "img", "iframe", "object", "base", "a"})
    assert "2 of 6 account(s) are stale" in html
    assert "pay.example.test" not in html  # the links to PDFs
    assert "token-of" not in html
    assert [path.name for path in syncer.directory.iterdir() if "part" in path.name] == []
    to_stdout = await syncer.run("report", "-o", "-")
    assert read_page(to_stdout.stdout).tables.keys() == page.tables.keys()


@pytest.mark.slow
@needs_chromium
async def test_a_browser_reads_the_same_figures_and_asks_nobody(syncer: Program) -> None:
    await fill(syncer)
    made = await report(syncer)
    page = made.read_text()
    await check_figures(syncer, await dump_dom(made))
    # What the policy is for: were such an element to slip in, nothing would be asked of anybody.
    picture = '<img src="http://example.invalid/seen.png" alt="">'
    async with listening() as (proxy, asked):
        through = f"--proxy-server={proxy}"
        made.write_text(page.replace("<main>", f"<main>{picture}"))
        await dump_dom(made, through)
        assert [line for line in asked if "example.invalid" in line] == []
        made.write_text(re.sub("<meta http-equiv[^>]*>", "", made.read_text()))
        await dump_dom(made, through)
        assert [line.split()[:2] for line in asked if "example.invalid" in line] == [
            ["GET", "http://example.invalid/seen.png"]
        ]


@pytest.mark.slow
async def test_an_older_report_stays_where_a_new_one_cannot_be_made(syncer: Program) -> None:
    old = syncer.directory / "syncer-report.html"
    old.write_text("old")
    lost = await syncer.run("report", SYNCER_DATABASE__URL=NOWHERE)
    assert lost.code == 3
    assert "planted-password" not in lost.stderr
    assert old.read_text() == "old"
    unwritable = await syncer.run("report", "--output", "no/such/directory/report.html")
    assert (unwritable.code, unwritable.stderr.splitlines()) == (
        1,
        [
            (
                "syncer: cannot write the report to no/such/directory/report.html:"
                " No such file or directory; --output names another file"
            )
        ],
    )
    assert (await syncer.run("report")).code == 0
    assert old.read_text().startswith("<!DOCTYPE html>")


async def test_no_amount_is_too_large_to_be_drawn_or_added_up(syncer: Program) -> None:
    account = syncer.add("production", 2)
    for invoice, amount in zip(account.invoices, (10**400, 100), strict=True):
        invoice |= {"status": "open", "amount_due": amount, "amount_remaining": amount}
        invoice["amount_paid"] = amount
    assert (await syncer.run("sync")).code == 0
    finished = await syncer.run("report", "--output", "-")
    assert (finished.code, finished.stderr) == (0, "")
    assert f"<h3>USD: {10**398 + 1:,}.00" in finished.stdout


async def test_it_is_utf_8_whatever_the_terminal_takes(syncer: Program) -> None:
    syncer.add("production", 0)
    arguments = ("--config", str(syncer.config), "report", "--output", "-")
    finished = await syncer.run_bare(*arguments, PYTHONIOENCODING="ascii")
    assert (finished.code, finished.stderr) == (0, "")
    assert '<meta charset="utf-8">' in finished.stdout
    assert "\N{EN DASH}" in finished.stdout
    assert finished.stdout.endswith("</html>\n")


async def test_neither_accounts_nor_a_token_are_needed(syncer: Program) -> None:
    environment = {"SYNCER_DATABASE__URL": syncer.dsn}
    finished = await syncer.run_bare("report", **environment)
    assert (finished.code, finished.stderr) == (0, "")
    html = (syncer.directory / "syncer-report.html").read_text()
    assert "No sync is on record, and no account is configured." in html
    assert (await syncer.run_bare("sync", **environment)).code == 2


async def test_a_database_that_was_never_migrated_is_refused(fresh_syncer: Program) -> None:
    finished = await fresh_syncer.run("report")
    assert finished.code == 3
    assert "syncer migrate" in finished.stderr
    assert list(fresh_syncer.directory.glob("*.html")) == []
