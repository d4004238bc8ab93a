"""The sizing page's table is what its formula gives."""

from __future__ import annotations

import math
from datetime import timedelta

from syncer.config.settings import CloudflareSettings
from tests.documents import rows, section

PAGE = "docs/sizing.md"
INTERVALS = {
    "1m": 1, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240,
    "6h": 360, "12h": 720, "1d": 1440,
}  # fmt: skip
SHARE = 0.8


def requests(accounts: int, invoices: int, per_page: int) -> int:
    return accounts * max(1, math.ceil(invoices / per_page))


def expected(accounts: int, invoices: int) -> list[str]:
    """A row of the table, at the defaults of the configuration."""
    budget = CloudflareSettings().rate_limit
    per_page = 50
    wanted = requests(accounts, invoices, per_page)
    window = budget.per / timedelta(minutes=1)
    least = (math.ceil(wanted / budget.requests) - 1) * window
    steady = wanted / budget.requests * window
    every = next(name for name, minutes in INTERVALS.items() if steady <= SHARE * minutes)
    credentials = math.ceil(steady / (SHARE * INTERVALS["15m"]))
    return [
        f"{accounts:,}",
        f"{invoices:,}",
        f"{wanted:,}",
        told(least),
        f"`{every}`",
        str(credentials),
    ]


def told(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    return f"{hours}h {rest}m" if hours else f"{rest}m"


def test_the_table_is_what_the_formula_gives() -> None:
    header, *shown = rows(section(PAGE, "## Requests"))
    assert header[:3] == ["accounts", "invoices each", "requests"]
    assert shown == [
        expected(accounts, invoices)
        for accounts in (1, 10, 100, 1000, 5000)
        for invoices in (10, 200, 2000)
    ]
