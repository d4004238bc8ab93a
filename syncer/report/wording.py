"""Figures and times as text."""

from __future__ import annotations

from decimal import MAX_PREC, Decimal, localcontext
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

NOTHING = "–"  # noqa: RUF001 an en dash, where a table has no figure

# Of an account that was never synced, and of one whose row in sync_state was deleted.
NO_SYNC = "no sync on record"


def escaped(text: str) -> str:
    """Write anybody's text as HTML, and visibly what hides in it or turns a line around."""
    return escape("".join(one if one.isprintable() else _seen(one) for one in text))


def _seen(one: str) -> str:
    return " " if one.isspace() else "\ufffd"


def amount(value: Decimal) -> str:
    """Write every digit, grouped: 1,234.50."""
    return f"{value:,f}"


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """Add up every digit, however many there are."""
    with localcontext(prec=MAX_PREC):
        return sum(amounts, Decimal(0))


def count(value: int) -> str:
    """Write a number, grouped."""
    return f"{value:,}"


def moment(value: datetime | None) -> str:
    """Write a time to the minute; the page says that all are in UTC."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M}"


def age(value: timedelta | None) -> str:
    """Write an age to two units."""
    if value is None:
        return NOTHING
    minutes = int(value.total_seconds()) // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def currency(code: str) -> str:
    """Write a currency's code as people do."""
    return code.upper()
