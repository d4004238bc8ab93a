"""What the reader looks for first: how far to trust the page, and what is owed in all."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Final

from syncer.report.html import Column, paragraph, section, table
from syncer.report.money import MOST_CURRENCIES
from syncer.report.wording import NO_SYNC, NOTHING, amount, count, currency, moment, total_of

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
    if not report.all_known:
        yield paragraph(
            "The list of accounts could not be had: some may be missing here, and every sum on"
            " this page lacks theirs.",
            "warning",
        )
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
        fresh = f"complete and fresh{oldest}."
        if report.all_known:
            yield paragraph(f"All {total:,} account(s) are {fresh}", "well")
        else:
            yield paragraph(f"The {total:,} account(s) that are known are {fresh}")
    else:
        configured = ", and no account is configured" if report.all_known else ""
        yield paragraph(f"No sync is on record{configured}.", "warning")
    if report.unrecorded.accounts:
        yield paragraph(
            f"{report.unrecorded.accounts:,} account(s) have invoices here, but {NO_SYNC}: their"
            f" {report.unrecorded.invoices:,} invoice(s) count, as they were last seen."
        )


def _named(line: AccountLine) -> str:
    state = line.state
    if state is None:
        return f"{line.name} ({NO_SYNC})"
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
    currencies = [
        (code, list(rows)) for code, rows in groupby(report.open, lambda row: row.currency)
    ]
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
            _of_currency(code, rows, failed.get(code, _ZERO))
            for code, rows in currencies[:MOST_CURRENCIES]
        ],
        more=max(0, len(currencies) - MOST_CURRENCIES),
    )


def _of_currency(code: str, rows: list[Open], failed: Decimal) -> tuple[str, ...]:
    def figure(value: Decimal) -> str:
        return amount(value) if value else NOTHING

    # Of what is not certain, also a sum of nothing is news.
    is_unsure = any(row.stale or row.unrecorded for row in rows)
    return (
        currency(code),
        amount(total_of(row.amount for row in rows)),
        figure(total_of(row.credit for row in rows)),
        figure(failed),
        amount(total_of(row.unsure for row in rows)) if is_unsure else NOTHING,
        count(sum(row.invoices for row in rows)),
    )
