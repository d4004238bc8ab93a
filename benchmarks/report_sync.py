"""What all clients took in the three phases, beside each other, and on what machine. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.markdown import number, paragraph, table
from benchmarks.medians import summaries
from benchmarks.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Measurement
    from benchmarks.medians import Summary
    from benchmarks.results import Machine, Results

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
        peers = "; ".join(one.described_as(name) for name, one in results.peers.items())
        text += f" Peers: {peers}."
    yield from paragraph(text)


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
        number(one.of(lambda m: m.wall_s), 2),
        number(one.of(lambda m: m.inside_s), 2),
        number(one.against(receiving, lambda m: m.inside_s), 2),
        number(one.against(syncer, lambda m: m.wall_s), 2),
        number(one.of(lambda m: m.cpu_s), 2),
        number(one.against(syncer, lambda m: m.cpu_s), 2),
        number(one.of(lambda m: m.postgres_cpu_s), 2),
        number(one.of(lambda m: m.peak_kb / 1024), 0),
        number(one.of(lambda m: m.wal_bytes / 1e6), 2),
        number(one.of(lambda m: sum(m.dead_rows.values())), 0),
        number(one.of(lambda m: m.requests), 0),
    ]


def _remarks(clients: dict[str, Summary]) -> Iterator[str]:
    syncer = clients["syncer"]
    server_cpu_s = number(syncer.of(lambda m: m.server_cpu_s), 2)
    text = f"The server of the pages took {server_cpu_s} s of CPU for syncer."
    for copy in ("COPY only", "COPY of values"):
        if copy in clients:
            wal = number(syncer.against(clients[copy], lambda m: m.wal_bytes), 2)
            text += (
                f" Of receiving and {copy} together, syncer took {_of_both(clients, copy)} times"
                f" the time inside, and {wal} times the WAL."
            )
    images = number(syncer.of(lambda m: m.wal_images), 0)
    text += f" {images} whole pages, first changed after the checkpoint, are in the WAL of syncer."
    dead = syncer.runs[-1].dead_rows
    named = ", ".join(f"{count:,} in `{name}`" for name, count in sorted(dead.items()))
    text += f" Dead rows of syncer, in its last run: {named or 'none'}."
    yield from paragraph(text)


def _of_both(clients: dict[str, Summary], copy: str) -> str:
    """Give the median of the ratios to what receiving and storing take one after the other."""
    inside = {
        (name, one.run): one.inside_s
        for name in ("receiving only", copy, "syncer")
        for one in clients[name].runs
        if one.inside_s is not None
    }
    runs = [run for name, run in inside if name == copy]
    ratios = [
        inside["syncer", run] / (inside["receiving only", run] + inside[copy, run]) for run in runs
    ]
    return number(median(ratios) if ratios else None, 2)
