"""What is owed, what was paid, what failed, and where it came from; a card per currency."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar

from syncer.report.charts import Bar, Series, bars, columns, length_of
from syncer.report.html import Column, Markup, beside, cards, named, paragraph, pill, section, table
from syncer.report.style import SERIES
from syncer.report.wording import (
    NO_SYNC,
    NOTHING,
    amount,
    count,
    currency,
    escaped,
    moment,
    total_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncer.store.report import Open, Origin, Paid, Report

MOST_CURRENCIES: Final = 12
MOST_SUMS: Final = 50  # currencies and statuses are the API's text, of which there is no end
_ZERO: Final = Decimal(0)

Row = TypeVar("Row", "Open", "Paid", "Origin")


def open_amounts(report: Report) -> str:
    """Show what is open, by currency and account."""
    return section(
        "open",
        "Open amounts",
        [
            paragraph(
                "What remains to be paid of invoices that are open, less credits. Neither drafts"
                " nor void or uncollectible invoices are counted.",
                "faint",
            ),
            *_cards(report.open, _open_card, "Nothing is open."),
        ],
    )


def _open_card(number: int, code: str, rows: Sequence[Open]) -> str:
    name = currency(code)
    total = total_of(row.amount for row in rows)
    credit = total_of(row.credit for row in rows)
    invoices = sum(row.invoices for row in rows)
    chart = bars(
        f"open-{number}",
        f"Open amounts in {name} by account",
        f"{amount(total)} {name} in {count(invoices)} invoice(s); the table has every figure.",
        [Bar(_account(row), length_of(row.amount), f"{amount(row.amount)} {name}") for row in rows],
    )
    # A credit hides in a sum; where there is one, it is shown by itself.
    given = [(amount(row.credit) if row.credit else NOTHING,) if credit else () for row in rows]
    shown = table(
        f"Open amounts in {name}",
        (
            Column("Account", is_name=True),
            Column(name, is_number=True),
            *((Column("Credits in it", is_number=True),) if credit else ()),
            Column("Invoices", is_number=True),
        ),
        [
            (named(_account(row), *_standing(row)), amount(row.amount), *back, count(row.invoices))
            for row, back in zip(rows, given, strict=True)
        ],
        foot=("Total", amount(total), *((amount(credit),) if credit else ()), count(invoices)),
    )
    return f"<h3>{escaped(name)}: {amount(total)}</h3>\n{chart}\n{shown}"


def spend(report: Report) -> str:
    """Show what was paid, by month of the invoice and account."""
    otherwise = "; ".join(
        f"{amount(row.amount)} {currency(row.currency)}"
        for row in report.paid_otherwise[:MOST_CURRENCIES]
    )
    if len(report.paid_otherwise) > MOST_CURRENCIES:
        otherwise += f"; and {len(report.paid_otherwise) - MOST_CURRENCIES:,} more"
    return section(
        "spend",
        "Spend over time",
        [
            paragraph(
                "What was paid, to date, of the invoices created in each of the last twelve months"
                " (UTC); the newest may not be over. The API does not say when something was paid.",
                "faint",
            ),
            *_cards(report.paid, _spend_card, "Nothing was paid.", beneath=True),
            *(
                [paragraph(f"Besides, paid in other months or in none: {otherwise}.")]
                if otherwise
                else []
            ),
        ],
    )


def _spend_card(number: int, code: str, rows: Sequence[Paid]) -> str:
    name = currency(code)
    months = _months(rows)
    names = {row.place: row.account or "all other accounts" for row in rows}
    figures = {(row.month, row.place): row.amount for row in rows}
    places = sorted(names)
    chart = columns(
        f"spend-{number}",
        f"Paid in {name} by month and account",
        f"{amount(total_of(figures.values()))} {name} in all; the table has every figure.",
        months,
        [
            Series(
                names[place],
                SERIES[place - 1],
                [length_of(_of_month(figures, month, place)) for month in months],
            )
            for place in places
        ],
        unit=name,
    )
    lines = []
    for month in reversed(months):
        amounts = [_of_month(figures, month, place) for place in places]
        cells = [amount(value) if value else NOTHING for value in amounts]
        lines.append((month, *cells, amount(total_of(amounts))))
    sums = [total_of(row.amount for row in rows if row.place == place) for place in places]
    shown = table(
        f"Paid in {name} by month",
        (
            Column("Month"),
            *(Column(names[place], is_number=True, is_name=True) for place in places),
            Column("All", is_number=True),
        ),
        lines,
        foot=("Total", *map(amount, sums), amount(total_of(sums))),
    )
    return f"<h3>{escaped(name)}</h3>\n{beside(chart, shown)}"


def _months(rows: Sequence[Paid]) -> list[str]:
    """Name every month from the first to the last, those without a payment too."""
    first, last = min(row.month for row in rows), max(row.month for row in rows)
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]


def _of_month(figures: dict[tuple[date, int], Decimal], month: str, place: int) -> Decimal:
    return figures.get((date.fromisoformat(f"{month}-01"), place), _ZERO)


def failed_payments(report: Report) -> str:
    """Show invoices that were tried to collect and still have something to pay."""
    sums = table(
        "Failed payments by currency",
        (
            Column("Currency"),
            Column("Status", is_name=True),
            Column("Invoices", is_number=True),
            Column("Remaining", is_number=True),
        ),
        [
            (currency(row.currency), row.status, count(row.invoices), amount(row.amount))
            for row in report.failed_sums[:MOST_SUMS]
        ],
        more=max(0, len(report.failed_sums) - MOST_SUMS),
    )
    oldest = table(
        "Failed payments, oldest first",
        (
            Column("Invoice", is_name=True),
            Column("Account", is_name=True),
            Column("Created"),
            Column("Age in days", is_number=True),
            Column("Status", is_name=True),
            Column("Attempts", is_number=True),
            Column("Remaining", is_number=True),
            Column("Currency"),
        ),
        [
            (
                row.invoice_id,
                row.account,
                moment(row.created_at),
                NOTHING
                if row.created_at is None
                else count((report.made_at - row.created_at).days),
                row.status,
                NOTHING if row.attempts is None else count(row.attempts),
                amount(row.amount),
                currency(row.currency),
            )
            for row in report.failed.rows
        ],
        more=report.failed.more,
    )
    return section(
        "failed",
        "Failed payments",
        [
            paragraph(
                "Invoices that are open or uncollectible, of which something remains although"
                " payment was attempted.",
                "faint",
            ),
            *([sums, oldest] if report.failed.total else [paragraph("There are none.")]),
        ],
    )


def origins(report: Report) -> str:
    """Show what was topped up by itself and what by hand."""
    more = report.origins.more
    return section(
        "origins",
        "Manual and automatic top-ups",
        [
            paragraph("By what gave rise to the invoice, in the API's words.", "faint"),
            *_cards(report.origins.rows, _origin_card, "There are no invoices."),
            *([paragraph(f"and {more:,} more", "more")] if more else []),
        ],
    )


def _origin_card(number: int, code: str, rows: Sequence[Origin]) -> str:
    name = currency(code)
    chart = bars(
        f"origin-{number}",
        f"Paid in {name} by origin",
        "The table has every figure.",
        [Bar(row.origin or "not said", length_of(row.paid), amount(row.paid)) for row in rows],
    )
    shown = table(
        f"Top-ups in {name} by origin",
        (
            Column("Origin", is_name=True),
            Column("Invoices", is_number=True),
            Column("Due", is_number=True),
            Column("Paid", is_number=True),
        ),
        [
            (row.origin or "not said", count(row.invoices), amount(row.due), amount(row.paid))
            for row in rows
        ],
    )
    return f"<h3>{escaped(name)}</h3>\n{chart}\n{shown}"


def _account(row: Open) -> str:
    return row.account or f"{row.accounts:,} other account(s)"


def _standing(row: Open) -> Iterator[Markup]:
    some = "" if row.account else "some "
    if row.stale:
        yield pill(f"{some}stale", "bad")
    if row.unrecorded:
        yield pill(f"{some}{NO_SYNC}", "look")


def _cards(
    rows: Sequence[Row],
    card: Callable[[int, str, Sequence[Row]], str],
    nothing: str,
    *,
    beneath: bool = False,
) -> Iterator[str]:
    """Make a card of the rows of each currency, which stand together; `beneath` each other."""
    groups = [(code, list(those)) for code, those in groupby(rows, lambda row: row.currency)]
    if not groups:
        yield paragraph(nothing)
        return
    shown = groups[:MOST_CURRENCIES]
    made = [card(number, code, those) for number, (code, those) in enumerate(shown)]
    yield "\n".join(made) if beneath else cards(made)
    if len(groups) > len(shown):
        yield paragraph(f"and {len(groups) - len(shown):,} more currencies", "more")
