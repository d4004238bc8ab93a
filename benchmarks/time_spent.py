"""Where the CPU of a sync goes, by what the code belongs to.

    python -m benchmarks.time_spent [--accounts 100] [--invoices 2000]

profiles `syncer sync` in each of the three phases (cProfile), and prints the share of each library
and of each module of syncer. What is built in, such as a decoder in C, counts for who called it.
The profiler makes small functions look dearer than they are: trust the order, not the figures.
"""

from __future__ import annotations

import argparse
import pstats
import re
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import clients, phases
from benchmarks.api import own_api
from benchmarks.markdown import table
from benchmarks.measure import Bench
from benchmarks.postgres import own_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATABASE: Final = "profiled"
LEAST_SHARE: Final = 0.01
_BUILT_IN: Final = "~"
_PLACES: Final = (
    re.compile(r"/site-packages/(?P<name>\w+)"),
    re.compile(r"/(?P<name>syncer/.+\.py)$"),
    re.compile(r"/python3\.\d+/(?P<name>\w+)"),
)


def time_spent(bench: Bench, phase: str) -> Counter[str]:
    """Profile one sync; the seconds of each part."""
    dsn = bench.postgres.dsn(DATABASE)
    client = clients.syncer(bench.api, dsn, bench.directory, clients.Setting())
    file = bench.directory / "profile"
    profiled = (sys.executable, "-m", "cProfile", "-o", str(file), *client.command)
    bench.measure(replace(client, command=profiled), phase, run=1, database=DATABASE)
    # The module's own attribute, which its types leave out.
    return by_part(pstats.Stats(str(file)).stats)  # type: ignore[attr-defined]


def by_part(stats: Mapping[Any, Any]) -> Counter[str]:
    """Add up what each part took itself, and what it took in what is built in.

    The profile has (file, line, function) -> (calls, calls, own time, time, {caller: these four}).
    """
    spent: Counter[str] = Counter()
    for (file, _, name), (_, _, own_s, _, callers) in stats.items():
        if file != _BUILT_IN:
            spent[part_of(file)] += own_s
        elif "epoll" in name:
            spent["waiting"] += own_s
        else:
            for (calling, _, _), (_, _, its_s, _) in callers.items():
                spent[part_of(calling)] += its_s
    return spent


def part_of(file: str) -> str:
    """Name what a source file belongs to: a module of syncer, a library, a standard module."""
    for place in _PLACES:
        if found := place.search(file):
            return found["name"]
    return "imports" if "importlib" in file else "other"


def lines(phase: str, spent: Counter[str]) -> Iterator[str]:
    """Lay out what matters."""
    waiting = spent.pop("waiting", 0.0)
    every = spent.total()
    heading = f"{phase[0].upper()}{phase[1:]}"
    yield f"\n**{heading}**: {every:.2f} s of work, {waiting:.2f} s of waiting\n"
    rows = [
        (part, f"{seconds:.2f}", f"{seconds / every:.0%}")
        for part, seconds in spent.most_common()
        if seconds >= LEAST_SHARE * every
    ]
    yield from table(("part", "s", "share"), rows)


def main() -> None:
    """Profile each phase, and print."""
    parser = argparse.ArgumentParser(prog="time_spent", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=2000, help="of each account")
    given = parser.parse_args()
    with ExitStack() as stack:
        postgres = stack.enter_context(own_postgres())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncer-bench-")))
        api = stack.enter_context(own_api(given.accounts, given.invoices))
        bench = Bench(api, postgres, directory)
        phases.make_template(bench)
        postgres.create(DATABASE, template=phases.TEMPLATE)
        for phase in phases.PHASES:
            phases.move_on(api, phase)
            print("\n".join(lines(phase, time_spent(bench, phase))), flush=True)


if __name__ == "__main__":
    main()
