"""The three phases that every client goes through, beside the limits, each run in turn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import clients
from benchmarks.pages import USUAL_PER_PAGE
from benchmarks.processes import Failed, run_measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.api import Api
    from benchmarks.clients import Client
    from benchmarks.measure import Bench, Measurement

FIRST: Final = "first load"
NOTHING: Final = "nothing changed"
SOME: Final = "1 % changed"
PHASES: Final = (FIRST, NOTHING, SOME)
TEMPLATE: Final = "migrated"


def make_template(bench: Bench) -> None:
    """Make a database with syncer's empty tables, to be copied."""
    dsn = bench.postgres.create(TEMPLATE)
    migrating = clients.syncer(
        bench.api, dsn, bench.directory, clients.Setting(), command="migrate"
    )
    run_measured(migrating.command, environ=migrating.full_environ(), directory=bench.directory)
    bench.postgres.wait_until_left(TEMPLATE)


def measure_syncer(bench: Bench, run: int) -> Iterator[Measurement]:
    """Measure syncer, receiving alone right before each phase, and one COPY of the same rows."""
    dsn = bench.postgres.create("syncer", template=TEMPLATE)
    client = clients.syncer(bench.api, dsn, bench.directory, clients.Setting())
    receiving = clients.receiving(bench.api)
    for phase in PHASES:
        changed = move_on(bench.api, phase)
        yield bench.measure(receiving, phase, run=run, database="postgres")
        measured = bench.measure(client, phase, run=run, database="syncer")
        bench.check(client, "syncer")
        require_counts(measured, bench.api, changed)
        yield measured
        if phase == FIRST:
            text = bench.directory / "invoices.copy"
            bench.postgres.copy_out("syncer", "invoices", text)
            yield measure_copy(bench, run, partial(clients.copying_text, text=text))
            text.unlink()
            yield measure_copy(bench, run, partial(clients.copying_values, source=dsn))


def measure_copy(bench: Bench, run: int, copying: Callable[[str], Client]) -> Measurement:
    """Measure what storing the rows of syncer's database takes at the least."""
    client = copying(bench.postgres.create("copy", template=TEMPLATE))
    measured = bench.measure(client, FIRST, run=run, database="copy")
    bench.check(client, "copy")
    bench.postgres.drop("copy")
    return measured


def measure_peer(bench: Bench, name: str, run: int) -> Iterator[Measurement]:
    """Measure a peer through the same phases, in an empty database of its own."""
    state = bench.directory / f"{name}-{run}"
    state.mkdir()
    dsn = bench.postgres.create("peer")
    client = clients.peer(name, bench.api, dsn, state)
    for phase in PHASES:
        move_on(bench.api, phase)
        yield bench.measure(client, phase, run=run, database="peer")
        bench.check(client, "peer")


def move_on(api: Api, phase: str) -> int:
    """Let happen what lies between a phase and the one before; how many invoices change."""
    if phase != FIRST:
        api.tell("renew")
    return int(api.tell("change")["changed"]) if phase == SOME else 0


def require_counts(
    measured: Measurement, api: Api, changed: int, *, per_page: int = USUAL_PER_PAGE
) -> None:
    """Raise Failed unless syncer counted what happened, and got each page by asking once."""
    first = measured.phase == FIRST
    wanted = {
        "requests": api.pages(per_page),
        "retries": 0,
        "fetched": api.rows,
        "inserted": api.rows if first else 0,
        "updated": changed,
        "unchanged": 0 if first else api.rows - changed,
        "missing": 0,
        "rejected": 0,
        "accounts_complete": api.accounts,
    }
    asked = (measured.requests, measured.throttled)
    if measured.counts != wanted or asked != (api.pages(per_page), 0):
        raise Failed(
            f"{measured.phase}: syncer counted {measured.counts}, {wanted} was to be;"
            f" {measured.requests} requests came, {measured.throttled} of them were refused"
        )
