"""What a person sees: tables and a progress bar on a terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from syncer.sync.observer import Unobserved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncer.account import Account
    from syncer.store.journal import AccountRecord, RunStatus, Trigger
    from syncer.sync.observer import Observer

GAP = "  "


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows to standard output: in a pipe as plain columns, one line each, none cut short."""
    cells = [[_shown(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(*columns, title=title, title_justify="left")
        for row in cells:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    say(title)
    for row in (list(columns), *cells):
        line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    # str() of a Decimal may be 1E+4.
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def say(line: str) -> None:
    """Print one line to standard output."""
    sys.stdout.write(f"{line}\n")


def print_records(records: Sequence[AccountRecord]) -> None:
    """Print what a run did, an account a line."""
    columns = (
        "account",
        "status",
        "pages",
        "requests",
        "fetched",
        "new",
        "changed",
        "unchanged",
        "missing",
        "rejected",
        "why",
    )
    rows = [
        (
            record.account_name,
            record.status,
            record.pages,
            record.requests,
            record.fetched,
            record.inserted,
            record.updated,
            record.unchanged,
            record.missing,
            record.rejected,
            record.error,
        )
        for record in records
    ]
    print_table("Accounts", columns, rows)


@contextmanager
def watching(log_format: str) -> Iterator[Observer]:
    """Show a progress bar on standard error where that is a terminal, nothing otherwise.

    Nothing beside a log in JSON either: a bar wraps the lines above it at the terminal's width.
    """
    if log_format == "json" or not sys.stderr.isatty():
        yield Unobserved()
        return
    progress = Progress(
        SpinnerColumn(),
        # A name may hold what would be markup.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages, {task.fields[accounts]} accounts done"),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        yield ProgressBar(progress)


class ProgressBar:
    """Shows an `Observer`'s news on a bar of pages."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("syncing", total=None, accounts=0)
        self._pages: dict[str, tuple[int, int]] = {}
        self._accounts = 0

    def run_started(self, _trigger: Trigger, /) -> None:
        """Do nothing."""

    def run_ended(self, _trigger: Trigger, _status: RunStatus | None, _seconds: float, /) -> None:
        """Do nothing."""

    def account_started(self, account: Account, /) -> None:
        """Name the account that began last."""
        self._progress.update(self._task, description=f"syncing {account.name}")

    def page_fetched(self, account: Account, pages: int, expected: int, /) -> None:
        """Count the pages of all accounts."""
        self._pages[account.id] = (pages, max(pages, expected))
        fetched, all_pages = map(sum, zip(*self._pages.values(), strict=True))
        self._progress.update(self._task, completed=fetched, total=all_pages)

    def account_finished(self, _record: AccountRecord, _seconds: float, /) -> None:
        """Count the account."""
        self._accounts += 1
        self._progress.update(self._task, accounts=self._accounts)
