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
from typing import TYPE_CHECKING

from benchmarks import clients, daemon, growth, page_sizes, phases, report, waiting
from benchmarks.api import own_api
from benchmarks.measure import Bench
from benchmarks.postgres import own_postgres
from benchmarks.processes import Failed
from benchmarks.results import Results, new_results, write_results
from benchmarks.versions import look_at_peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Measurement


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
    parser.add_argument("--quick", action="store_true", help="little of all but --growth")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-runs", type=int, help="fewer, because they take minutes")
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=2000, help="of each account")
    parser.add_argument("--json", type=Path, default=Path(".bench/results.json"))
    given = parser.parse_args()
    if given.quick:
        given.runs, given.accounts, given.invoices = 1, 6, 220
    if given.all or given.quick:
        given.sync = given.latency = given.limit = given.start = True
        given.page_sizes = given.growth = given.all
        given.idle = given.idle or (1 if given.quick else 600)
    given.sync = given.sync or not any(
        (given.latency, given.limit, given.page_sizes, given.growth, given.start, given.idle)
    )
    return given


def measure(given: argparse.Namespace) -> Results:
    """Measure each part that was chosen."""
    with ExitStack() as stack:
        postgres = stack.enter_context(own_postgres(fsync=not given.quick))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncer-bench-")))
        api = stack.enter_context(own_api(given.accounts, given.invoices))
        bench = Bench(api, postgres, directory)
        results = new_results(postgres)
        phases.make_template(bench)
        if given.sync:
            for measured in take_turns(bench, given, results):
                say(measured)
                results.sync.append(measured)
        if given.latency:
            results.latency.extend(
                waiting.under_latency(
                    bench,
                    latency_ms=5 if given.quick else 25,
                    measured_phases=phases.PHASES[: 1 if given.quick else 2],
                )
            )
        if given.limit:
            with own_api(given.accounts * 9 // 10, given.invoices) as fewer:
                limit = waiting.Limit(24, 1, (20,)) if given.quick else waiting.USUAL_LIMIT
                results.limit.extend(waiting.under_limit(replace(bench, api=fewer), limit))
        if given.page_sizes:
            sizes = page_sizes.measure_page_sizes(bench, page_sizes.SIZES)
            results.page_sizes.extend(sizes)
        if given.start:
            with own_api(1, 10) as small:
                tries = 1 if given.quick else 10
                results.start = daemon.measure_start(replace(bench, api=small), tries=tries)
        if given.growth:
            for measured in growth.measure_growth(bench, growth.SHAPES):
                say(measured)
                results.growth.append(measured)
        if given.idle:
            results.idle = daemon.measure_idle(bench, seconds=given.idle)
        return results


def take_turns(bench: Bench, given: argparse.Namespace, results: Results) -> Iterator[Measurement]:
    """Measure every client in turn, and then all of them again."""
    peers = clients.peer_names() if given.peers else []
    for run in range(1, given.runs + 1):
        yield from phases.measure_syncer(bench, run)
        for name in peers:
            if run <= (given.peer_runs or given.runs):
                results.peers[name] = look_at_peer(name)
                yield from phases.measure_peer(bench, name, run)


def say(measured: Measurement) -> None:
    """Tell whoever waits how far it is."""
    print(
        f"{measured.accounts} x {measured.invoices}, run {measured.run}, {measured.phase}:"
        f" {measured.client} {measured.wall_s:.2f} s, {measured.cpu_s:.2f} s of CPU",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    """Measure, print and keep; what was started is ended, whatever happens."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        results = measure(given)
    except Failed as failure:
        sys.exit(f"benchmarks: {failure}")
    except KeyboardInterrupt:
        sys.exit("benchmarks: interrupted")
    write_results(results, given.json)
    for text in report.blocks(results).values():
        print(f"\n{text.strip()}")
    print(f"\nAll figures are in {given.json}.")


if __name__ == "__main__":
    main()
