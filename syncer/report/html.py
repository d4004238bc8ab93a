"""Tables and text as HTML; everything that comes from outside is escaped here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncer.report.wording import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is HTML already."""

    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; figures are set to the right, names and sentences alone are broken."""

    heading: str
    is_number: bool = False
    is_name: bool = False
    is_sentence: bool = False


def markup(text: str | Markup) -> str:
    """Escape what is not HTML yet."""
    return text.text if isinstance(text, Markup) else escaped(text)


def pill(word: str, kind: str) -> Markup:
    """Mark a word as good, bad, or something to look at, in more than colour alone."""
    return Markup(f'<span class="pill {kind}">{escaped(word)}</span>')


def paragraph(text: str | Markup, kind: str = "") -> str:
    """Write a paragraph."""
    opening = f'<p class="{kind}">' if kind else "<p>"
    return f"{opening}{markup(text)}</p>"


def section(id_: str, heading: str, parts: Iterable[str]) -> str:
    """Write a part of the page with a heading."""
    inner = "\n".join(parts)
    return (
        f'<section aria-labelledby="{id_}">\n<h2 id="{id_}">{escaped(heading)}</h2>\n'
        f"{inner}\n</section>"
    )


def named(name: str, *marks: Markup) -> Markup:
    """Write a name with what is to be known of it."""
    return Markup(" ".join([escaped(name), *(mark.text for mark in marks)]))


def cards(parts: Iterable[str]) -> str:
    """Put parts beside each other where the page is wide enough."""
    inner = "\n".join(f'<div class="card">\n{part}\n</div>' for part in parts)
    return f'<div class="cards">\n{inner}\n</div>'


def beside(chart: str, figures: str) -> str:
    """Put a table that grows wide to the right of its chart, or below it."""
    return f'<div class="beside">\n<div>{chart}</div>\n<div class="card">{figures}</div>\n</div>'


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str | Markup]],
    *,
    foot: Sequence[str | Markup] = (),
    more: int = 0,
) -> str:
    """Write a table whose first column names its rows; `more` is how many rows it leaves out.

    It scrolls by itself where the page is too narrow for it.
    """
    head = "".join(
        f'<th scope="col"{_kind(column)}>{escaped(column.heading)}</th>' for column in columns
    )
    body = "\n".join(_row(columns, row) for row in rows)
    foot_text = f"<tfoot>\n{_row(columns, foot)}\n</tfoot>\n" if foot else ""
    name = escaped(caption)
    text = (
        f'<div class="scroll" role="group" aria-label="{name}" tabindex="0">\n'
        f"<table>\n<caption>{name}</caption>\n<thead>\n<tr>{head}</tr>\n</thead>\n"
        f"<tbody>\n{body}\n</tbody>\n{foot_text}</table>\n</div>"
    )
    return text + (f"\n{paragraph(f'and {more:,} more', 'more')}" if more else "")


def _row(columns: Sequence[Column], cells: Sequence[str | Markup]) -> str:
    first, *others = zip(columns, cells, strict=True)
    name = f'<th scope="row"{_kind(first[0])}>{markup(first[1])}</th>'
    rest = "".join(f"<td{_kind(column)}>{markup(cell)}</td>" for column, cell in others)
    return f"<tr>{name}{rest}</tr>"


def _kind(column: Column) -> str:
    kinds = {"number": column.is_number, "name": column.is_name, "sentence": column.is_sentence}
    chosen = " ".join(kind for kind, applies in kinds.items() if applies)
    return f' class="{chosen}"' if chosen else ""
