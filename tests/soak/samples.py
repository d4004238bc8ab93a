"""What is looked at every few seconds: the daemon's process, its sessions and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.soak.server import DAEMONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.soak.server import Server

TABLES: Final = (
    "invoices",
    "invoice_history",
    "rejected_invoices",
    "sync_state",
    "sync_runs",
    "account_syncs",
    "account_digests",
)


@dataclass(frozen=True, slots=True)
class Process:
    """A process as the kernel sees it; sizes in kB."""

    rss: int
    peak: int
    fds: int
    threads: int
    children: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table's rows, its bytes on disk, and what autovacuum has not cleared away yet."""

    rows: int
    table: int
    indexes: int
    dead: int


@dataclass(frozen=True, slots=True)
class Hold:
    """What the daemon has of the server; `locks` are advisory ones."""

    sessions: int
    locks: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything."""

    at_s: float
    process: Process
    hold: Hold
    runs: int
    requests: int
    faults: int
    tables: Mapping[str, TableSize]


def look_at(pid: int) -> Process:
    """Read what the kernel says of a process."""
    proc = Path("/proc", str(pid))
    status = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
    )
    return Process(
        rss=int(status["VmRSS"].split()[0]),
        peak=int(status["VmHWM"].split()[0]),
        fds=sum(1 for _ in (proc / "fd").iterdir()),
        threads=int(status["Threads"]),
        children=len((proc / "task" / str(pid) / "children").read_text().split()),
    )


async def hold_on(server: Server) -> Hold:
    """Count the daemon's sessions, and the advisory locks in its database."""
    row = await server.row(f"""
        SELECT
            (SELECT count(*) FROM pg_stat_activity WHERE {DAEMONS}) AS sessions,
            (
                SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE locktype = 'advisory' AND datname = current_database()
            ) AS locks
    """)
    return Hold(**row)


async def table_sizes(server: Server, schema: str = "public") -> dict[str, TableSize]:
    """Measure every table of the schema."""
    return {table: await _table_size(server, schema, table) for table in TABLES}


async def _table_size(server: Server, schema: str, table: str) -> TableSize:
    name = f"{schema}.{table}"
    row = await server.row(f"""
        SELECT
            (SELECT count(*) FROM {name}) AS rows,
            pg_table_size('{name}') AS table,
            pg_indexes_size('{name}') AS indexes,
            pg_stat_get_dead_tuples('{name}'::regclass) AS dead
    """)
    return TableSize(**row)


def as_table(samples: Sequence[Sample]) -> Iterator[str]:
    """Lay the samples out in columns, sizes in kB."""
    named = "".join(f" | {table:>28}" for table in TABLES)
    yield f"{'':>67}{named}"
    heads = f" | {'rows':>7} {'table':>7} {'index':>6} {'dead':>5}" * len(TABLES)
    yield (
        f"{'s':>5} {'RSS kB':>7} {'peak':>7} {'fds':>4} {'thr':>4} {'sess':>5} {'locks':>6}"
        f" {'runs':>5} {'requests':>9} {'faults':>7}{heads}"
    )
    for one in samples:
        sizes = "".join(
            f" | {size.rows:>7} {size.table // 1024:>7} {size.indexes // 1024:>6} {size.dead:>5}"
            for size in one.tables.values()
        )
        process, hold = one.process, one.hold
        yield (
            f"{one.at_s:>5.0f} {process.rss:>7} {process.peak:>7} {process.fds:>4}"
            f" {process.threads:>4} {hold.sessions:>5} {hold.locks:>6}"
            f" {one.runs:>5} {one.requests:>9} {one.faults:>7}{sizes}"
        )
