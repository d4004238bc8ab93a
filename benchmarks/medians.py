"""Medians over the runs, and ratios of what was measured in the same run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.measure import Measurement

LIMITS: Final = ("receiving only", "COPY only", "COPY of values")
FIRST_CLIENTS: Final = (*LIMITS, "syncer")


@dataclass(frozen=True)
class Summary:
    """One client in one phase, over all of its runs."""

    client: str
    runs: Sequence[Measurement]

    def of(self, figure: Callable[[Measurement], float | None]) -> float | None:
        """Return a figure's median; None where the client has no such figure."""
        values = [value for one in self.runs if (value := figure(one)) is not None]
        return median(values) if values else None

    def against(
        self, other: Summary | None, figure: Callable[[Measurement], float | None]
    ) -> float | None:
        """Return the median of the ratios to another client, each within one run.

        The machine may have become slower from one run to the next, for both alike.
        """
        theirs = {} if other is None else {one.run: figure(one) for one in other.runs}
        ratios = []
        for one in self.runs:
            mine, base = figure(one), theirs.get(one.run)
            if mine is not None and base:
                ratios.append(mine / base)
        return median(ratios) if ratios else None


def summaries(measured: Iterable[Measurement], phase: str) -> dict[str, Summary]:
    """Sum up each client in one phase: the limits, syncer, then its peers from the fastest on."""
    found: dict[str, list[Measurement]] = {}
    for one in measured:
        if one.phase == phase:
            found.setdefault(one.client, []).append(one)
    every = [Summary(client, runs) for client, runs in found.items()]
    return {one.client: one for one in sorted(every, key=_place)}


def _place(summary: Summary) -> tuple[int, float]:
    if summary.client in FIRST_CLIENTS:
        return FIRST_CLIENTS.index(summary.client), 0.0
    return len(FIRST_CLIENTS), summary.of(lambda m: m.wall_s) or 0.0
