"""Charts as SVG, for a card about as wide as a telephone; colours come from the page's style.

Lengths are only for the eye, so they are floats; every figure stands in a table, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncer.report.wording import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

WIDTH: Final = 420
_LARGEST: Final = 1e200  # so that neither a sum nor a ratio of lengths leaves what a float can be
_ROW: Final = 36  # a bar with its label above
_BAR: Final = 12
_PLOT: Final = 170
_LEFT: Final = 52  # the axis' labels
_FOOT: Final = 22
_TOP: Final = 26  # the axis' unit
_LEGEND_ROW: Final = 18
_LONGEST: Final = 30  # characters of a label


def length_of(amount: Decimal) -> float:
    """Give an amount for the eye, whatever it is: as good as nothing is nothing."""
    length = max(-_LARGEST, min(_LARGEST, float(amount)))
    return length if abs(length) > 1 / _LARGEST else 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a bar chart: its figure as text stands beside its length."""

    label: str
    value: float
    figure: str


@dataclass(frozen=True, slots=True)
class Series:
    """What is stacked: a name, the class of its colour, and a value per column."""

    name: str
    kind: str
    values: Sequence[float]


def bars(id_: str, title: str, description: str, lines: Sequence[Bar]) -> str:
    """Draw a bar per line, below its label and figure; a negative one has another colour."""
    most = max((abs(line.value) for line in lines), default=0.0) or 1.0
    parts = []
    for index, line in enumerate(lines):
        top = index * _ROW
        length = WIDTH * abs(line.value) / most
        kind = "negative" if line.value < 0 else "s0"
        parts += [
            f'<text x="0" y="{top + 14}">{escaped(_short(line.label))}</text>',
            f'<text x="{WIDTH}" y="{top + 14}" class="end">{escaped(line.figure)}</text>',
            f'<rect x="0" y="{top + 19}" width="{WIDTH}" height="{_BAR}" class="track"/>',
            f'<rect x="0" y="{top + 19}" width="{length:.1f}" height="{_BAR}" class="{kind}"/>',
        ]
    return _svg(id_, title, description, max(len(lines), 1) * _ROW, parts)


def columns(
    id_: str,
    title: str,
    description: str,
    labels: Sequence[str],
    stacked: Sequence[Series],
    *,
    unit: str,
) -> str:
    """Draw a column per label with the series on top of each other, negatives below zero."""
    most, least = _extremes(len(labels), stacked)
    step = _nice_step((most - least) / 4)
    if all(value.is_integer() for series in stacked for value in series.values):
        step = max(step, 1.0)  # there are no halves of what can be counted
    high, low = math.ceil(most / step) * step, math.floor(least / step) * step
    bottom = _TOP + _PLOT

    def y_of(value: float) -> float:
        return bottom - _PLOT * (value - low) / (high - low)

    parts = [f'<text x="{_LEFT - 6}" y="12" class="end faint">{escaped(unit)}</text>']
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        y = y_of(value)
        kind = "axis" if abs(value) < step / 2 else "grid"
        parts += [
            f'<line x1="{_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="{kind}"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end faint">{_compact(value)}</text>',
        ]
    slot = (WIDTH - _LEFT) / max(len(labels), 1)
    every = math.ceil(len(labels) / 6) or 1
    for index, label in enumerate(labels):
        left = _LEFT + index * slot
        pieces = "\n".join(_stack(index, left + slot * 0.14, slot * 0.72, stacked, y_of))
        parts.append(f'<g class="stack">\n{pieces}\n</g>')
        # From the newest backwards, so that it always has a label.
        if (len(labels) - 1 - index) % every == 0:
            x = left + slot / 2
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 16}" class="middle faint">{escaped(label)}</text>'
            )
    legend = list(_legend(stacked, bottom + _FOOT))
    height = bottom + _FOOT + _LEGEND_ROW * math.ceil(len(stacked) / 2)
    return _svg(id_, title, description, height, [*parts, *legend])


def _stack(
    index: int, x: float, width: float, stacked: Sequence[Series], y_of: Callable[[float], float]
) -> Iterator[str]:
    above = below = 0.0
    for series in stacked:
        value = series.values[index]
        if not value:
            continue
        start = above if value > 0 else below
        end = start + value
        if value > 0:
            above = end
        else:
            below = end
        top, bottom = sorted((y_of(start), y_of(end)))
        yield (
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}"'
            f' class="{series.kind}"/>'
        )


def _legend(stacked: Sequence[Series], top: float) -> Iterator[str]:
    for index, series in enumerate(stacked):
        x = (index % 2) * (WIDTH / 2)
        y = top + (index // 2) * _LEGEND_ROW
        yield f'<rect x="{x:.0f}" y="{y + 3:.0f}" width="10" height="10" class="{series.kind}"/>'
        yield f'<text x="{x + 16:.0f}" y="{y + 12:.0f}">{escaped(_short(series.name, 26))}</text>'


def _extremes(count: int, stacked: Sequence[Series]) -> tuple[float, float]:
    above = [sum(max(series.values[i], 0.0) for series in stacked) for i in range(count)]
    below = [sum(min(series.values[i], 0.0) for series in stacked) for i in range(count)]
    most, least = max(above, default=0.0), min(below, default=0.0)
    return (most, least) if most > least else (1.0, 0.0)


def _nice_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)


def _compact(value: float) -> str:
    for size, letter in ((1e12, " tn"), (1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.4g}"


def _short(label: str, longest: int = _LONGEST) -> str:
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _svg(id_: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    inner = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img"'
        f' aria-labelledby="{id_}-title {id_}-desc">\n'
        f'<title id="{id_}-title">{escaped(title)}</title>\n'
        f'<desc id="{id_}-desc">{escaped(description)}</desc>\n{inner}\n</svg>'
    )
