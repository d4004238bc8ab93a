"""The results as tables in Markdown: one block for each part of the benchmark. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.markdown import number, table
from benchmarks.report_sync import machine, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.measure import Measurement
    from benchmarks.results import Idle, Results, Start, Waited


_GROWTH_HEADS = ("accounts", "of invoices", "phase", "s", "CPU s", "MB", "WAL MB", "disk MB")
_SLOPE_HEADS = (
    "from",
    "to",
    "phase",
    "ms/account",
    "CPU ms/account",
    "kB/account",
    "µs/invoice",
    "kB/invoice",
)


def blocks(results: Results) -> dict[str, str]:
    """Lay out each part that was measured, by its name."""
    parts: dict[str, Iterator[str]] = {
        "machine": machine(results.machine, results),
        "sync": sync(results.sync),
        "growth": growth(results.growth),
        "latency": waited(results.latency),
        "limit": limited(results.limit),
        "page sizes": page_sizes(results.page_sizes),
        "start": started(results.start),
        "idle": idle(results.idle),
    }
    texts = {name: "\n".join(lines) for name, lines in parts.items()}
    return {name: text for name, text in texts.items() if text}


def growth(measured: Sequence[Measurement]) -> Iterator[str]:
    """Lay out the shapes, and by how much each account and each invoice more made them grow."""
    if measured:
        yield from table(_GROWTH_HEADS, [_grown(one) for one in measured])
    if slopes := list(_slopes(measured)):
        yield ""
        yield "What each account more, and each invoice more, added in time and in peak memory:"
        yield ""
        yield from table(_SLOPE_HEADS, slopes)


def _grown(one: Measurement) -> list[str]:
    return [
        f"{one.accounts:,}",
        f"{one.invoices:,}",
        one.phase,
        number(one.inside_s, 2),
        number(one.cpu_s, 2),
        number(one.peak_kb / 1024, 0),
        number(one.wal_bytes / 1e6, 2),
        number(one.disk_bytes / 1e6, 1),
    ]


def _slopes(measured: Sequence[Measurement]) -> Iterator[list[str]]:
    """Compare the smallest and the largest of those that differ in one number alone."""
    series: dict[object, list[Measurement]] = {}
    for one in measured:
        key = ("alone", one.phase) if one.accounts == 1 else (one.invoices, one.phase)
        series.setdefault(key, []).append(one)
    for smallest, *_, largest in (of for of in series.values() if len(of) > 1):
        accounts = largest.accounts - smallest.accounts
        invoices = largest.accounts * largest.invoices - smallest.accounts * smallest.invoices
        time_s = (largest.inside_s or 0) - (smallest.inside_s or 0)
        memory_kb = largest.peak_kb - smallest.peak_kb
        cpu_s = largest.cpu_s - smallest.cpu_s
        yield [
            f"{smallest.accounts:,} of {smallest.invoices:,}",
            f"{largest.accounts:,} of {largest.invoices:,}",
            smallest.phase,
            number(time_s / accounts * 1e3 if accounts else None, 2),
            number(cpu_s / accounts * 1e3 if accounts else None, 2),
            number(memory_kb / accounts if accounts else None, 1),
            number(time_s / invoices * 1e6, 1),
            number(memory_kb / invoices, 3),
        ]


def waited(found: Iterable[Waited]) -> Iterator[str]:
    """Lay out syncs beside the least that they could take."""
    rows = [
        [
            one.what,
            one.measured.client,
            one.measured.phase,
            f"{one.measured.requests:,}",
            number(one.bound_s, 2),
            number(one.measured.inside_s, 2),
            _ratio(one.measured.inside_s, one.bound_s),
            f"{one.measured.throttled}",
        ]
        for one in found
    ]
    if rows:
        heads = ("what", "client", "phase", "requests", "bound s", "s", "of the bound", "429s")
        yield from table(heads, rows)


def limited(found: Iterable[Waited]) -> Iterator[str]:
    """Lay out syncs under a limit beside what its rate and its windows let them take."""
    rows = [
        [
            one.what,
            one.measured.phase,
            f"{one.measured.requests:,}",
            number(one.at_rate_s, 2),
            number(one.bound_s, 2),
            number(one.measured.inside_s, 2),
            _ratio(one.measured.inside_s, one.at_rate_s),
            _ratio(one.measured.inside_s, one.bound_s),
            f"{one.measured.throttled}",
        ]
        for one in found
    ]
    if rows:
        heads = ("rate s", "windows s", "s", "of the rate", "of the windows", "429s")
        yield from table(("what", "phase", "requests", *heads), rows)


def _ratio(taken_s: float | None, bound_s: float | None) -> str:
    return number(taken_s / bound_s if taken_s is not None and bound_s else None, 2)


def page_sizes(found: Sequence[tuple[str, Measurement]]) -> Iterator[str]:
    """Lay out the sizes of a page beside each other."""
    if found:
        heads = ("invoices a page", "requests", "inside", "CPU s", "PG CPU s", "MB", "WAL MB")
        rows = [
            (
                per_page,
                f"{one.requests:,}",
                number(one.inside_s, 2),
                number(one.cpu_s, 2),
                number(one.postgres_cpu_s, 2),
                number(one.peak_kb / 1024, 0),
                number(one.wal_bytes / 1e6, 2),
            )
            for per_page, one in found
        ]
        yield from table(heads, rows)


def started(found: Start | None) -> Iterator[str]:
    """Lay out how soon the program is there."""
    if found is not None:
        rows = {
            "an empty Python": found.python_s,
            "`syncer --help`": found.help_s,
            "`syncer --help`, CPU": found.help_cpu_s,
            "`syncer sync` to its first request": found.first_request_s,
            "`syncer run` to its first request": found.daemon_first_request_s,
        }
        heads = ("until", "median ms", "least ms", "of")
        yield from table(
            heads,
            [
                (what, number(median(s) * 1e3, 0), number(min(s) * 1e3, 0), f"{len(s)}")
                for what, s in rows.items()
                if s
            ],
        )


def idle(found: Idle | None) -> Iterator[str]:
    """Lay out what an idle daemon costs."""
    if found is not None:
        yield (
            f"An idle daemon with {found.accounts:,} accounts of {found.invoices:,} invoices, after"
            f" its first sync, in {found.seconds:g} s:"
        )
        yield ""
        heads = ("CPU s", "PG CPU s", "MB before", "MB after", "WAL kB")
        row = [
            number(found.cpu_s, 2),
            number(found.postgres_cpu_s, 2),
            number(found.rss_before_kb / 1024, 1),
            number(found.rss_after_kb / 1024, 1),
            number(found.wal_bytes / 1e3, 1),
        ]
        yield from table(heads, [row])
