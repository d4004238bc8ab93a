"""Measure what a sync costs, against its limits and against other programs that do the same.

Everything is measured in one run, because machines are noisy: compare the ratios, not the seconds.
The server of the pages and PostgreSQL are processes of their own. What was found is printed as
tables, and kept as JSON, from which `python -m benchmarks.document` writes docs/performance.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import clients, daemon, growth, page_sizes, phases, report, waiting
from benchmarks.api import own_api
from benchmarks.measure import Bench, Measurement
from benchmarks.postgres import own_postgres
from benchmarks.processes import Failed
from benchmarks.results import Results, Waited, new_results, write_results
from benchmarks.versions import look_at_peer

if TYPE_CHECKING:
    from collections.abc import Iterator


PARTS: Final = ("sync", "latency", "limit", "page_sizes", "growth", "start")


def arguments() -> argparse.Namespace:
    """Read the command line, and choose the parts."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--sync", action="store_true", help="the three phases; the default")
    parser.add_argument("--latency", action="store_true", help="with 25 ms for each request")
    parser.add_argument("--limit", action="store_true", help="under the API's limit")
    parser.add_argument("--page-sizes", action="store_true", help="50 to 1,000 invoices a page")
    parser.add_argument("--growth", action="store_true", help="up to a million invoices")
    parser.add_argument("--start", action="store_true", help="the time to --help and to a request")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="what a daemon costs then")
    parser.add_argument("--all", action="store_true", help="all of these, ten minutes of idleness")
    parser.add_argument(
        "--peers", action="store_true", help="other programs, too (make makes them)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="little of all these parts, or of those given: 6 accounts of 220 invoices, one run,"
        " 5 ms and that in the first load alone, one budget, one size of pages, two shapes, one"
        " start, one second of idleness, and no fsync",
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-runs", type=int, help="fewer, because they take minutes")
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=2000, help="of each account")
    parser.add_argument("--json", type=Path, help=".bench/results.json, or .bench/quick.json")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.accounts, given.invoices = 1, 6, 220
    if given.json is None:
        given.json = Path(".bench", "quick.json" if given.quick else "results.json")
    chosen = given.idle or any(getattr(given, part) for part in PARTS)
    if given.all or (given.quick and not chosen):
        for part in PARTS:
            setattr(given, part, True)
        given.idle = given.idle or (1 if given.quick else 600)
    given.sync = given.sync or not chosen
    return given


def measure(given: argparse.Namespace, file: Path) -> Results:
    """Measure each part that was chosen; what was found is in the file after each measurement."""
    with ExitStack() as stack:
        postgres = stack.enter_context(own_postgres(fsync=not given.quick))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncer-bench-")))
        api = stack.enter_context(own_api(given.accounts, given.invoices))
        bench = Bench(api, postgres, directory)
        results = new_results(postgres)
        phases.make_template(bench)
        for finding, found in series(bench, given, results):
            for one in finding:
                found.append(one)
                write_results(results, file)
                say(one)
        if given.start:
            with own_api(1, 10) as small:
                tries = 1 if given.quick else 10
                results.start = daemon.measure_start(replace(bench, api=small), tries=tries)
            write_results(results, file)
        if given.idle:
            results.idle = daemon.measure_idle(bench, seconds=given.idle)
            write_results(results, file)
        return results


def series(
    bench: Bench, given: argparse.Namespace, results: Results
) -> Iterator[tuple[Iterator[Any], list[Any]]]:
    """Give the parts that were chosen and consist of many measurements, each with its place."""
    if given.sync:
        yield take_turns(bench, given, results), results.sync
    if given.latency:
        latency_ms, measured_phases = (5, 1) if given.quick else (25, 2)
        finding = waiting.under_latency(
            bench, latency_ms=latency_ms, measured_phases=phases.PHASES[:measured_phases]
        )
        yield finding, results.latency
    if given.limit:
        with own_api(given.accounts * 9 // 10, given.invoices) as fewer:
            limit = waiting.Limit(24, 1, (20,)) if given.quick else waiting.USUAL_LIMIT
            yield waiting.under_limit(replace(bench, api=fewer), limit), results.limit
    if given.page_sizes:
        sizes = page_sizes.QUICK_SIZES if given.quick else page_sizes.SIZES
        yield page_sizes.measure_page_sizes(bench, sizes), results.page_sizes
    if given.growth:
        shapes = growth.QUICK_SHAPES if given.quick else growth.SHAPES
        yield growth.measure_growth(bench, shapes), results.growth


def take_turns(bench: Bench, given: argparse.Namespace, results: Results) -> Iterator[Measurement]:
    """Measure every client in turn, and then all of them again."""
    peers = clients.peer_names() if given.peers else []
    for run in range(1, given.runs + 1):
        yield from phases.measure_syncer(bench, run)
        for name in peers:
            if run <= (given.peer_runs or given.runs):
                results.peers[name] = look_at_peer(name)
                yield from phases.measure_peer(bench, name, run)


def say(found: Measurement | Waited | tuple[str, Measurement]) -> None:
    """Tell whoever waits how far it is."""
    match found:
        case Measurement() as measured:
            what = ""
        case Waited(what=what, measured=measured):
            what += ", "
        case (per_page, measured):
            what = f"per_page = {per_page}, "
    print(
        f"{what}{measured.accounts} x {measured.invoices}, run {measured.run}, {measured.phase}:"
        f" {measured.client} {measured.wall_s:.2f} s, {measured.cpu_s:.2f} s of CPU",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    """Measure, print and keep; what was started is ended, whatever happens."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What an earlier run has found stays until there is all of this one.
    unfinished = given.json.with_suffix(".unfinished.json")
    unfinished.unlink(missing_ok=True)
    try:
        results = measure(given, unfinished)
    except (Failed, KeyboardInterrupt) as failure:
        kept = f"; what was measured is in {unfinished}" if unfinished.exists() else ""
        sys.exit(f"benchmarks: {failure if isinstance(failure, Failed) else 'interrupted'}{kept}")
    unfinished.replace(given.json)
    for text in report.blocks(results).values():
        print(f"\n{text.strip()}")
    print(f"\nAll figures are in {given.json}.")


if __name__ == "__main__":
    main()
