"""How far the figures can be relied on, and what happened: accounts, changes, runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.report.charts import Series, columns
from syncer.report.html import Column, Markup, cards, paragraph, pill, section, table
from syncer.report.wording import NO_SYNC, NOTHING, age, amount, count, currency, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.store.report import AccountLine, Report, RunDay

_RUN_STATES = ("succeeded", "partial", "failed", "running", "abandoned")
_KINDS = {
    "complete": "good",
    "succeeded": "good",
    "incomplete": "look",
    "partial": "look",
    "running": "look",
    "skipped": "look",
}


def accounts(report: Report) -> str:
    """List the accounts: which figures can be relied on, and why others cannot."""
    shown = table(
        "Accounts, those to look at first",
        (
            Column("Account", is_name=True),
            Column("State"),
            Column("Complete as of"),
            Column("Age"),
            Column("Last sync"),
            Column("Invoices", is_number=True),
            Column("Why", is_sentence=True),
        ),
        [_account(line) for line in report.accounts.rows],
        more=report.accounts.more,
    )
    there = shown if report.accounts.total else paragraph("There are none.")
    return section("accounts", "How complete this is", [there])


def _account(line: AccountLine) -> tuple[str | Markup, ...]:
    name = line.name + (" (not asked any more)" if line.configured is False else "")
    state = line.state
    if state is None:
        return name, pill("stale", "bad"), NOTHING, NOTHING, NOTHING, NOTHING, NO_SYNC
    # What an older version stored may have been complete, while nobody knows when that began.
    as_of = "never" if state.last_complete_at is None else "unknown"
    return (
        name,
        pill("stale", "bad") if state.stale else pill("fresh", "good"),
        as_of if state.complete_as_of is None else moment(state.complete_as_of),
        age(state.age),
        _status(state.last_status or "never"),
        count(state.invoices),
        _why(state.last_error_kind, state.last_error),
    )


def _why(kind: str | None, error: str | None) -> str:
    return ": ".join(part for part in (kind, error) if part) or NOTHING


def _status(word: str) -> Markup:
    return pill(word, _KINDS.get(word, "bad"))


def changes(report: Report) -> str:
    """Show what changed last."""
    shown = table(
        "Latest changes",
        (
            Column("Observed"),
            Column("Account", is_name=True),
            Column("Invoice", is_name=True),
            Column("Change"),
            Column("Status", is_name=True),
        ),
        [
            (
                moment(row.observed_at),
                row.account,
                row.invoice_id,
                row.change,
                " → ".join(word for word in (row.before, row.after) if word) or NOTHING,
            )
            for row in report.changed.rows
        ],
        more=report.changed.more,
    )
    return section(
        "changes",
        "Recently changed",
        [
            paragraph("Changes after an invoice's first sight, newest first.", "faint"),
            shown if report.changed.total else paragraph("Nothing has changed yet."),
        ],
    )


def vanished(report: Report) -> str:
    """Show what the API lists no more."""
    shown = table(
        "Vanished invoices",
        (
            Column("Missing since"),
            Column("Account", is_name=True),
            Column("Invoice", is_name=True),
            Column("Last status", is_name=True),
            Column("Due", is_number=True),
            Column("Currency"),
        ),
        [
            (
                moment(row.missing_since),
                row.account,
                row.invoice_id,
                row.status or NOTHING,
                amount(row.amount),
                currency(row.currency),
            )
            for row in report.vanished.rows
        ],
        more=report.vanished.more,
    )
    return section(
        "vanished",
        "Vanished invoices",
        [
            paragraph("The API lists them no more; no sum on this page counts them.", "faint"),
            shown if report.vanished.total else paragraph("There are none."),
        ],
    )


def rejections(report: Report) -> str:
    """Show records that cannot be invoices."""
    shown = table(
        "Rejected records",
        (Column("First seen"), Column("Account", is_name=True), Column("Reason", is_sentence=True)),
        [(moment(row.first_seen_at), row.account, row.reason) for row in report.rejected.rows],
        more=report.rejected.more,
    )
    return section(
        "rejections",
        "Rejected records",
        [
            paragraph("Records of the API that cannot be invoices; no sum counts them.", "faint"),
            shown if report.rejected.total else paragraph("There are none."),
        ],
    )


def runs(report: Report) -> str:
    """Show how the runs went: a chart by day, what the walks came to, and the last runs."""
    if not report.runs.total:
        return section("runs", "Runs", [paragraph("There was no run yet.")])
    outcomes = table(
        "What became of each account's walk in these days",
        (
            Column("Outcome"),
            Column("Reason"),
            Column("Walks", is_number=True),
            Column("Last"),
        ),
        [
            (_status(row.status), row.reason or NOTHING, count(row.walks), moment(row.last_at))
            for row in report.outcomes
        ],
    )
    last = table(
        "Latest runs",
        (
            Column("Began"),
            Column("Took"),
            Column("Trigger"),
            Column("Status"),
            Column("Accounts complete", is_number=True),
        ),
        [
            (
                moment(row.started_at),
                NOTHING
                if row.finished_at is None
                else f"{(row.finished_at - row.started_at).total_seconds():,.1f} s",
                row.trigger,
                _status(row.status),
                f"{row.accounts_complete:,} of {row.accounts_total:,}",
            )
            for row in report.runs.rows
        ],
        more=report.runs.more,
    )
    return section(
        "runs",
        "Runs",
        [
            paragraph("The last two weeks up to the latest run.", "faint"),
            cards((_days(report.run_days), outcomes)),
            last,
        ],
    )


def _days(found: Sequence[RunDay]) -> str:
    days = sorted({row.day for row in found})
    figures = {(row.day, row.status): row.runs for row in found}
    states = [word for word in _RUN_STATES if any(row.status == word for row in found)]
    chart = columns(
        "runs-days",
        "Runs by day and outcome",
        "The table has every figure.",
        [f"{day:%m-%d}" for day in days],
        [
            Series(word, word, [float(figures.get((day, word), 0)) for day in days])
            for word in states
        ],
        unit="runs",
    )
    shown = table(
        "Runs by day",
        (Column("Day"), *(Column(word, is_number=True) for word in states)),
        [
            (str(day), *(count(figures.get((day, word), 0)) for word in states))
            for day in reversed(days)
        ],
    )
    return f"{chart}\n{shown}"
