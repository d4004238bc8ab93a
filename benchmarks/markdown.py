"""Tables and paragraphs in Markdown. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LONGEST_LINE = 120
_FIGURE = re.compile(r"-|[\d,]+(\.\d+)?%?")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table in Markdown, numbers to the right."""
    rows = list(rows)
    yield f"| {' | '.join(heads)} |"
    numeric = [
        all(_FIGURE.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)
    ]
    yield f"| {' | '.join('--:' if right else '---' for right in numeric)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def number(value: float | None, digits: int) -> str:
    """Write a figure, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def paragraph(text: str) -> Iterator[str]:
    """Break a text into lines."""
    yield from textwrap.wrap(text, _LONGEST_LINE, break_on_hyphens=False)
