"""What it saves to ask for more invoices at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import clients, phases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Bench, Measurement

# The server grants as many as syncer ever asks for.
GRANTED: Final = 1000
SIZES: Final[tuple[int | str, ...]] = (50, 100, 200, 500, GRANTED, "auto")
QUICK_SIZES: Final[tuple[int | str, ...]] = ("auto",)
DATABASE: Final = "sizes"


def measure_page_sizes(
    bench: Bench, sizes: Sequence[int | str]
) -> Iterator[tuple[str, Measurement]]:
    """Measure a sync in which nothing changed with each size, on what another one has loaded."""
    api = bench.api
    dsn = bench.postgres.create(DATABASE, template=phases.TEMPLATE)
    loading = clients.syncer(api, dsn, bench.directory, clients.Setting())
    bench.measure(loading, phases.FIRST, run=1, database=DATABASE)
    for size in sizes:
        per_page = size if isinstance(size, int) else GRANTED
        api.tell(f"render?per_page={per_page}")
        setting = clients.Setting(per_page=size)
        client = clients.syncer(api, dsn, bench.directory, setting)
        # The first one with another size finds nothing that it knows, so the second one counts.
        for _ in range(2):
            phases.move_on(api, phases.NOTHING)
            measured = bench.measure(client, phases.NOTHING, run=1, database=DATABASE)
            phases.require_counts(measured, api, 0, per_page=per_page)
        yield str(size), measured
