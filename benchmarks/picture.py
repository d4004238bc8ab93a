"""The three phases as a picture: time and write-ahead log of each client, in SVG. Pure.

Both axes are logarithmic, because clients differ by factors of hundreds. Colours follow the
reader's light or dark mode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.medians import LIMITS, summaries
from benchmarks.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Measurement

WIDTH: Final = 880
NAMES: Final = 150  # the column of the clients' names
EDGE: Final = 8
ROW: Final = 22
BAR: Final = 14
GAP: Final = 44  # above a phase, with its heading
FOOT: Final = 34
MOST_LABELS: Final = 5
LABEL: Final = 84  # behind the longest bar
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.heading { font-weight: 600; font-size: 13px; }
.faint { fill: #59636e; font-size: 11px; }
.grid { stroke: #d1d9e0; }
.syncer { fill: #c2410c; }
.peer { fill: #6e7f93; }
.limit { fill: #a8b4c0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .faint { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .syncer { fill: #f0883e; }
  .peer { fill: #8b9bb0; }
  .limit { fill: #59636e; }
}
"""


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `least` to `most`, both powers of ten."""

    left: float
    width: float
    least: float
    most: float
    unit: str

    def length(self, value: float) -> float:
        """Return how long the bar of a value is; none for what is less than the axis shows."""
        if value <= self.least:
            return 0.0
        return self.width * math.log10(value / self.least) / math.log10(self.most / self.least)

    def decades(self) -> Iterator[float]:
        """Give the powers of ten that it shows."""
        count = round(math.log10(self.most / self.least))
        yield from (self.least * 10**step for step in range(count + 1))


@dataclass(frozen=True)
class Bar:
    """One client in one phase."""

    client: str
    seconds: float
    megabytes: float


def draw(measured: Sequence[Measurement]) -> str:
    """Draw all phases below each other."""
    phases = {phase: list(_bars(measured, phase)) for phase in PHASES}
    every = [bar for bars in phases.values() for bar in bars]
    half = (WIDTH - NAMES) / 2
    seconds = _axis(NAMES, half - LABEL, [bar.seconds for bar in every], 0.1, "s")
    megabytes = _axis(NAMES + half, half - LABEL, [bar.megabytes for bar in every], 0.01, "MB")
    height = sum(GAP + ROW * len(bars) for bars in phases.values()) + FOOT
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>Time and write-ahead log of each client in each phase</title>",
        f"<style>{_STYLE}</style>",
    ]
    top = 0.0
    for phase, bars in phases.items():
        parts += _phase(phase, bars, (seconds, megabytes), top)
        top += GAP + ROW * len(bars)
    for axis in (seconds, megabytes):
        parts += _scale(axis, top)
    return "\n".join([*parts, "</svg>", ""])


def _bars(measured: Sequence[Measurement], phase: str) -> Iterator[Bar]:
    for name, summary in summaries(measured, phase).items():
        seconds = summary.of(lambda m: m.wall_s)
        wal = summary.of(lambda m: m.wal_bytes / 1e6)
        yield Bar(name, seconds or 0.0, wal or 0.0)


def _axis(left: float, width: float, values: Sequence[float], least: float, unit: str) -> Axis:
    most = max([*values, least * 10])
    return Axis(left, width, least, 10 ** math.ceil(math.log10(most)), unit)


def _phase(phase: str, bars: Sequence[Bar], axes: Sequence[Axis], top: float) -> Iterator[str]:
    for axis, what in zip(axes, ("time of the process", "write-ahead log"), strict=True):
        bottom = top + GAP + ROW * len(bars) - (ROW - BAR)
        for value in axis.decades():
            x = axis.left + axis.length(value)
            yield f'<path class="grid" d="M{x:.1f} {top + GAP - 6:.1f}V{bottom + 4:.1f}"/>'
        yield _text(axis.left, top + GAP - 14, what, "faint")
    heading = f"{phase[0].upper()}{phase[1:]}"
    yield _text(EDGE, top + GAP - 14, heading, "heading")
    for row, bar in enumerate(bars):
        y = top + GAP + ROW * row
        kind = dict.fromkeys(LIMITS, "limit") | {"syncer": "syncer"}
        yield _text(EDGE, y + BAR - 3, bar.client, "heading" if bar.client == "syncer" else "")
        for axis, value in zip(axes, (bar.seconds, bar.megabytes), strict=True):
            length = axis.length(value)
            shape = f'x="{axis.left:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}"'
            yield f'<rect class="{kind.get(bar.client, "peer")}" {shape}/>'
            label = f"{written(value)} {axis.unit}"
            yield _text(axis.left + length + 5, y + BAR - 3, label, "")


def _scale(axis: Axis, top: float) -> Iterator[str]:
    decades = list(axis.decades())
    # Where there are many, each second one, so that their labels keep apart.
    for value in decades[:: 1 if len(decades) <= MOST_LABELS else 2]:
        x = axis.left + axis.length(value)
        yield (
            f'<text class="faint" x="{x:.1f}" y="{top + 14:.1f}" text-anchor="middle">'
            f"{value:g} {axis.unit}</text>"
        )


def _text(x: float, y: float, text: str, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def written(value: float) -> str:
    """Write a figure with three digits or fewer, as far as they matter."""
    if value == 0:
        return "0"
    if value >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - the same
