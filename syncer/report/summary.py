"""What the reader looks for first: how far to trust the page, and what is owed in all."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Final

from syncer.report.html import Column, paragraph, section, table
from syncer.report.wording import NOTHING, amount, count, currency, moment, total_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncer.store.report import AccountLine, Open, Report

_MOST_NAMED: Final = 5
_ZERO: Final = Decimal(0)


def summary(report: Report) -> str:
    """Say what is owed by currency, after what is known of how complete that is."""
    return section("summary", "At a glance", [*_completeness(report), _owed(report)])


def _completeness(report: Report) -> Iterator[str]:
    total, stale = report.accounts.total, report.stale_accounts
    if stale:
        yield paragraph(
            f"{stale:,} of {total:,} account(s) are stale: their invoices may be out of date or"
            " not there at all, and no sum on this page is more complete than that.",
            "warning",
        )
        named = [_named(line) for line in report.accounts.rows if line.stale][:_MOST_NAMED]
        more = f"; and {stale - len(named):,} more" if stale > len(named) else ""
        yield paragraph(f"Stale: {'; '.join(named)}{more}.")
    elif total:
        oldest = f", the oldest as of {moment(report.oldest)}" if report.oldest else ""
        yield paragraph(f"All {total:,} account(s) are complete and fresh{oldest}.", "well")
    else:
        yield paragraph("No account was ever synced, and none is configured.", "warning")
    if report.forgotten.accounts:
        yield paragraph(
            f"Besides, {report.forgotten.accounts:,} account(s) are not synced any more; the"
            f" {report.forgotten.invoices:,} invoice(s) that are stored of them count, as they were"
            " last seen."
        )


def _named(line: AccountLine) -> str:
    state = line.state
    if state is None:
        return f"{line.name} (never synced)"
    if state.last_complete_at is None:
        since = "never complete"
    elif state.complete_as_of is None:
        since = "complete as of an unknown time"
    else:
        since = f"complete as of {moment(state.complete_as_of)}"
    return f"{line.name} ({', '.join(part for part in (state.last_error_kind, since) if part)})"


def _owed(report: Report) -> str:
    if not report.open:
        return paragraph("Nothing is open.")
    failed = {row.currency: row.amount for row in report.failed_sums if row.status == "open"}
    return table(
        "What is owed, by currency",
        (
            Column("Currency"),
            Column("Open", is_number=True),
            Column("Credits in it", is_number=True),
            Column("Payment failed", is_number=True),
            Column("Perhaps out of date", is_number=True),
            Column("Invoices", is_number=True),
        ),
        [
            _of_currency(code, list(rows), failed.get(code, _ZERO))
            for code, rows in groupby(report.open, lambda row: row.currency)
        ],
    )


def _of_currency(code: str, rows: list[Open], failed: Decimal) -> tuple[str, ...]:
    def figure(value: Decimal) -> str:
        return amount(value) if value else NOTHING

    return (
        currency(code),
        amount(total_of(row.amount for row in rows)),
        figure(total_of(row.credit for row in rows)),
        figure(failed),
        figure(total_of(row.unsure for row in rows)),
        count(sum(row.invoices for row in rows)),
    )
