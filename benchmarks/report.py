"""The results as tables in Markdown: one block for each part of the benchmark. Pure."""

from __future__ import annotations

import re
import textwrap
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.medians import summaries
from benchmarks.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.measure import Measurement
    from benchmarks.medians import Summary
    from benchmarks.results import Idle, Machine, Results, Start, Waited

_LONGEST_LINE = 120
_FIGURE = re.compile(r"-|[\d,]+(\.\d+)?%?")
_SHOWN_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")

_SYNC_HEADS = (
    "client",
    "s",
    "inside",
    "of receiving",
    "of syncer",
    "CPU s",
    "of syncer",
    "PG CPU s",
    "MB",
    "WAL MB",
    "dead",
    "requests",
)
_GROWTH_HEADS = (
    "accounts",
    "invoices each",
    "phase",
    "s",
    "ms/account",
    "µs/invoice",
    "CPU s",
    "MB",
    "kB/invoice",
    "WAL MB",
    "disk MB",
)


def blocks(results: Results) -> dict[str, str]:
    """Lay out each part that was measured, by its name."""
    parts: dict[str, Iterator[str]] = {
        "machine": machine(results.machine, results),
        "sync": sync(results.sync),
        "growth": growth(results.growth),
        "latency": waited(results.latency),
        "limit": waited(results.limit),
        "start": started(results.start),
        "idle": idle(results.idle),
    }
    texts = {name: "\n".join(lines) for name, lines in parts.items()}
    return {name: text for name, text in texts.items() if text}


def machine(found: Machine, results: Results) -> Iterator[str]:
    """Say what it ran on, and with which versions."""
    settings = found.postgres
    shown = ", ".join(f"`{name} = {settings[name]}`" for name in _SHOWN_SETTINGS)
    text = (
        f"Measured {results.measured_at[:10]} with syncer {results.version} on {found.cores} cores"
        f" of {found.cpu}, {found.memory_mb // 1024} GB, Linux {found.kernel}, Python"
        f" {found.python}, PostgreSQL {settings['server_version']} on {found.file_system} with"
        f" {shown}."
    )
    if results.peers:
        peers = "; ".join(f"{name} is {one.described()}" for name, one in results.peers.items())
        text += f" Of the peers, {peers}."
    yield from textwrap.wrap(text, _LONGEST_LINE, break_on_hyphens=False)


def sync(measured: Sequence[Measurement]) -> Iterator[str]:
    """Lay out each phase with all clients, in turn."""
    for phase in PHASES:
        clients = summaries(measured, phase)
        if "syncer" not in clients:
            continue
        runs = {name: len(one.runs) for name, one in clients.items()}
        yield ""
        yield f"**{phase[0].upper()}{phase[1:]}** ({_runs(runs)})"
        yield ""
        yield from table(
            _SYNC_HEADS,
            [_row(one, clients) for one in clients.values()],
        )
        yield ""
        yield from _remarks(clients)


def _runs(runs: dict[str, int]) -> str:
    usual = runs["syncer"]
    others = [f"{count} of {name}" for name, count in runs.items() if count != usual]
    return ", ".join([f"medians of {usual}", *others])


def _row(one: Summary, clients: dict[str, Summary]) -> list[str]:
    receiving, syncer = clients.get("receiving only"), clients.get("syncer")
    return [
        one.client,
        _number(one.of(lambda m: m.wall_s), 2),
        _number(one.of(lambda m: m.inside_s), 2),
        _number(one.against(receiving, lambda m: m.inside_s), 2),
        _number(one.against(syncer, lambda m: m.wall_s), 2),
        _number(one.of(lambda m: m.cpu_s), 2),
        _number(one.against(syncer, lambda m: m.cpu_s), 2),
        _number(one.of(lambda m: m.postgres_cpu_s), 2),
        _number(one.of(lambda m: m.peak_kb / 1024), 0),
        _number(one.of(lambda m: m.wal_bytes / 1e6), 2),
        _number(one.of(lambda m: sum(m.dead_rows.values())), 0),
        _number(one.of(lambda m: m.requests), 0),
    ]


def _remarks(clients: dict[str, Summary]) -> Iterator[str]:
    syncer, copy = clients["syncer"], clients.get("COPY only")
    server_cpu_s = _number(syncer.of(lambda m: m.server_cpu_s), 2)
    text = f"The server of the pages took {server_cpu_s} s of CPU for syncer."
    if copy is not None:
        time = _number(syncer.against(copy, lambda m: m.inside_s), 2)
        wal = _number(syncer.against(copy, lambda m: m.wal_bytes), 2)
        text += f" Of COPY only, syncer took {time} times the time and {wal} times the WAL."
    dead = syncer.runs[-1].dead_rows
    named = ", ".join(f"{count:,} in `{name}`" for name, count in sorted(dead.items()))
    text += f" Dead rows of syncer, in its last run: {named or 'none'}."
    yield from textwrap.wrap(text, _LONGEST_LINE, break_on_hyphens=False)


def growth(measured: Sequence[Measurement]) -> Iterator[str]:
    """Lay out the shapes, with what each invoice and each account took."""
    if measured:
        yield from table(_GROWTH_HEADS, [_grown(one) for one in measured])


def _grown(one: Measurement) -> list[str]:
    rows, inside_s = one.accounts * one.invoices, one.inside_s or 0.0
    return [
        f"{one.accounts:,}",
        f"{one.invoices:,}",
        one.phase,
        _number(inside_s, 2),
        _number(inside_s / one.accounts * 1e3, 2),
        _number(inside_s / rows * 1e6, 1),
        _number(one.cpu_s, 2),
        _number(one.peak_kb / 1024, 0),
        _number(one.peak_kb / rows, 2),
        _number(one.wal_bytes / 1e6, 2),
        _number(one.disk_bytes / 1e6, 1),
    ]


def waited(found: Iterable[Waited]) -> Iterator[str]:
    """Lay out syncs beside the least that they could take."""
    rows = [
        [
            one.what,
            one.measured.client,
            one.measured.phase,
            f"{one.measured.requests:,}",
            _number(one.bound_s, 2),
            _number(one.measured.inside_s, 2),
            _number((one.measured.inside_s or 0) / one.bound_s, 2) if one.bound_s else "-",
            f"{one.measured.throttled}",
        ]
        for one in found
    ]
    if rows:
        heads = ("what", "client", "phase", "requests", "bound s", "s", "of the bound", "429s")
        yield from table(heads, rows)


def started(found: Start | None) -> Iterator[str]:
    """Lay out how soon the program is there."""
    if found is not None:
        rows = [
            ["an empty Python", found.python_s],
            ["`syncer --help`", found.help_s],
            ["`syncer --help`, CPU", found.help_cpu_s],
            ["`syncer sync` to its first request", found.first_request_s],
        ]
        heads = ("until", "median ms", "least ms", "of")
        yield from table(
            heads,
            [
                [
                    str(what),
                    _number(median(tries) * 1e3, 0),
                    _number(min(tries) * 1e3, 0),
                    f"{len(tries)}",
                ]
                for what, tries in rows
                if isinstance(tries, list)
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
            _number(found.cpu_s, 2),
            _number(found.postgres_cpu_s, 2),
            _number(found.rss_before_kb / 1024, 1),
            _number(found.rss_after_kb / 1024, 1),
            _number(found.wal_bytes / 1e3, 1),
        ]
        yield from table(heads, [row])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table in Markdown, numbers to the right."""
    rows = list(rows)
    yield f"| {' | '.join(heads)} |"
    numeric = [
        all(_FIGURE.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)
    ]
    yield f"| {' | '.join('--:' if right else '---' for right in numeric)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
