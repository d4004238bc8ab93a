"""A PostgreSQL server of a test's own, which it may crash, starve or make a standby of."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
from alembic.script import ScriptDirectory

from syncer.demo.postgres import EmbeddedPostgres
from syncer.store.engine import Database
from syncer.store.migrate import migration_config, upgrade
from tests.places import server_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER = "ledger"

# The revision that this version needs.
HEAD = ScriptDirectory.from_config(migration_config()).get_current_head()


def dsn_of(server_dsn: str, name: str) -> str:
    """Name another database of the same server."""
    url = urlsplit(server_dsn)
    return f"{url.scheme}://{url.netloc}/{name}?{url.query}".rstrip("?")


def administer(dsn: str, statement: str) -> None:
    """Run a statement that no transaction may surround, from outside any event loop."""

    async def execute() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


@dataclass
class OwnServer:
    """A server in a directory, with a migrated database named `ledger`."""

    home: Path
    dsn: str = ""
    _users: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start it, and after a crash have it recover."""
        server_dsn = self._users.enter_context(EmbeddedPostgres(self.home))
        self.dsn = dsn_of(server_dsn, LEDGER)

    def crash(self) -> None:
        """Do what `pg_ctl stop --mode=immediate` does, and wait until nothing of it is left."""
        number = int((self.home / "data/postmaster.pid").read_text().splitlines()[0])
        os.kill(number, signal.SIGQUIT)
        # Each of the server's processes holds this file.
        with (self.home / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    async def restart(self) -> None:
        """Crash and start, as `pg_ctl restart --mode=immediate` does."""
        await asyncio.to_thread(self.crash)
        await asyncio.to_thread(self.start)

    def close(self) -> None:
        """Stop it, running or not."""
        self._users.close()


@contextmanager
def migrated_cluster() -> Iterator[Path]:
    """A stopped cluster with a migrated database, to be copied: making one takes a second."""
    with server_place("syncer-cluster-") as place:
        home = place / "db"

        async def migrate(dsn: str) -> None:
            database = Database(dsn)
            await upgrade(database)
            await database.close()

        with EmbeddedPostgres(home) as dsn:
            administer(dsn, "ALTER SYSTEM SET fsync = off")
            administer(dsn, f"CREATE DATABASE {LEDGER}")
            asyncio.run(migrate(dsn_of(dsn, LEDGER)))
        yield home


@contextmanager
def own_server(cluster: Path, *settings: str, standby: bool = False) -> Iterator[OwnServer]:
    """Start a copy of the cluster, with lines of postgresql.conf of its own."""
    with server_place("syncer-server-") as place:
        home = place / "db"
        subprocess.run(["/bin/cp", "-a", cluster, home], check=True)
        with (home / "data/postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{line}\n" for line in settings)
        if standby:
            shutil.copystat(home / "data/PG_VERSION", _touched(home / "data/standby.signal"))
        server = OwnServer(home)
        try:
            server.start()
            yield server
        finally:
            server.close()


def _touched(path: Path) -> Path:
    path.touch(mode=0o600)
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


def name_of(dsn: str) -> str:
    """The name of the database."""
    return urlsplit(dsn).path.removeprefix("/")
