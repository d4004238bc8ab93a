"""How time and memory grow with the stored invoices and with the accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from benchmarks import clients, phases
from benchmarks.api import own_api

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Bench, Measurement

# Accounts, and invoices of each: ten thousand to a million invoices, ten to five thousand
# accounts, and one account that is as large as the program lets one be.
SHAPES: Final = (
    (5, 2000),
    (50, 2000),
    (500, 2000),
    (10, 10),
    (100, 10),
    (1000, 10),
    (5000, 10),
    (1, 10_000),
    (1, 100_000),
)
QUICK_SHAPES: Final = ((2, 10), (3, 10))


def measure_growth(bench: Bench, shapes: Sequence[tuple[int, int]]) -> Iterator[Measurement]:
    """Measure a first load and a sync in which nothing changed of each shape."""
    for accounts, invoices in shapes:
        with own_api(accounts, invoices) as api:
            here = replace(bench, api=api)
            dsn = bench.postgres.create("growth", template=phases.TEMPLATE)
            client = clients.syncer(api, dsn, bench.directory, clients.Setting())
            for phase in (phases.FIRST, phases.NOTHING):
                phases.move_on(api, phase)
                measured = here.measure(client, phase, run=1, database="growth")
                phases.require_counts(measured, api, 0)
                yield measured
            here.check(client, "growth")
        bench.postgres.drop("growth")
