"""A database that will not store what an account brought: said why, once, and nothing half."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import structlog

from syncer.demo.invoices import make_history
from syncer.errors import DatabaseError
from syncer.store.engine import Database
from tests.integration.roles import PASSWORD, dsn_as
from tests.integration.running import of
from tests.integration.storing import (
    COUNT_TRIES,
    FIRST,
    NOT_STORED,
    converges,
    meanwhile,
    reaching,
    store_and_change,
    told,
    tries,
)
from tests.servers import name_of, own_server
from tests.sessions import POOL, session, terminate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg

    from tests.integration.running import Site

RETRY = "transaction.retry_scheduled"


@pytest.fixture
async def admin(database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may do anything in the test's own database."""
    async with session(database_dsn) as connection:
        yield connection


async def execute(admin: asyncpg.Connection, *statements: str) -> None:
    for statement in statements:
        await admin.execute(statement)


async def test_a_privilege_that_is_taken_away_is_named_and_not_tried_again(
    here: Site, database_dsn: str, admin: asyncpg.Connection
) -> None:
    role = f"syncer_{uuid4().hex}"
    await execute(
        admin,
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        async with reaching(here, Database(dsn_as(role, database_dsn))) as there:
            await store_and_change(there)
            await execute(admin, *COUNT_TRIES)
            meanwhile(there, lambda: admin.execute(f"REVOKE UPDATE ON invoices FROM {role}"))
            with structlog.testing.capture_logs() as events:
                record = of(await there.run(), "production")
            assert (record.status, record.reason, record.inserted) == ("failed", "storage", 0)
            assert record.error == (
                f"PostgreSQL at {there.database.where}: 42501 InsufficientPrivilegeError:"
                " permission denied for table invoices;"
                " its user lacks a right, see docs/operations.md"
                " (for [retention], docs/retention.md)"
            )
            assert RETRY not in [event["event"] for event in events]
            assert await told(here.database) == NOT_STORED
            await admin.execute(f"GRANT UPDATE ON invoices TO {role}")
            await converges(there)
    finally:
        await execute(admin, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_database_that_turns_read_only_is_told_and_not_tried_again(
    here: Site, database_dsn: str, admin: asyncpg.Connection
) -> None:
    await store_and_change(here)
    name = name_of(database_dsn)

    async def turn_read_only() -> None:
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await terminate(admin, POOL)

    meanwhile(here, turn_read_only)
    asked = len(here.api.requests)
    with structlog.testing.capture_logs() as events:
        for _ in range(2):
            with pytest.raises(
                DatabaseError, match=r" 25006 .* in a read-only transaction; .*name the primary"
            ):
                await here.run()
    (failed,) = (event for event in events if event["event"] == "account.failed")
    assert failed["reason"] == "storage"
    assert failed["error"].startswith(f"PostgreSQL at {here.database.where}: 25006 ")
    assert RETRY not in [event["event"] for event in events]
    # The second run was not even begun.
    assert len(here.api.requests) == asked + 2
    assert (await told(here.database)).walks == [FIRST, (None, None, 0, 0, 0, "running")]
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await terminate(admin, POOL)
    await converges(here)
    assert (await told(here.database)).walks[1] == ("abandoned", None, 0, 0, 0, "abandoned")


async def test_a_standby_is_told_and_used_once_it_is_promoted(here: Site, cluster: Path) -> None:
    with own_server(cluster, standby=True) as server:
        async with reaching(here, Database(server.dsn)) as there:
            there.add("production", 3)
            for _ in range(2):
                with pytest.raises(
                    DatabaseError, match=r" 25006 .* in a read-only transaction; .*name the primary"
                ):
                    await there.run()
            assert here.api.requests == []
            async with session(server.dsn) as admin:
                assert await admin.fetchval("SELECT pg_promote()")
            assert of(await there.run(), "production").inserted == 3


MOUNT, UMOUNT = "/bin/mount", "/bin/umount"


def enlarge(disk: Path) -> None:
    subprocess.run([MOUNT, "-o", "remount,size=64m", disk], check=True)


@contextmanager
def tiny_disk(owner: Path) -> Iterator[Path]:
    """Mount a file system of 256 kB that belongs to the owner of the path."""
    if os.geteuid() != 0 or not Path(MOUNT).exists():
        pytest.skip("only root can mount a file system, and only where there is mount")
    with tempfile.TemporaryDirectory(prefix="syncer-disk-") as path:
        Path(path).chmod(0o755)
        mounted = subprocess.run(
            [MOUNT, "-t", "tmpfs", "-o", "size=256k", "tmpfs", path],
            check=False,
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            account = owner.stat()
            os.chown(path, account.st_uid, account.st_gid)
            yield Path(path)
        finally:
            subprocess.run([UMOUNT, "--lazy", path], check=True)


async def test_a_full_disk_is_told_and_not_tried_again(here: Site, cluster: Path) -> None:
    with own_server(cluster) as server, tiny_disk(server.home / "data") as disk:
        async with reaching(here, Database(server.dsn)) as there:
            await store_and_change(there)
            async with session(server.dsn) as admin:
                await execute(
                    admin,
                    f"CREATE TABLESPACE tiny LOCATION '{disk}'",
                    "ALTER TABLE invoices SET TABLESPACE tiny",
                    *COUNT_TRIES,
                )
            there.simulated["production"].invoices += make_history("more", 3000)
            record = of(await there.run(), "production")
            assert (record.status, record.reason, record.fetched) == ("failed", "storage", 3061)
            where = there.database.where
            assert record.error is not None
            assert record.error.startswith(f"PostgreSQL at {where}: 53100 DiskFullError: ")
            assert record.error.endswith("No space left on device")
            assert await tries(there) == 1
            found = await told(there.database)
            assert (found.invoices, found.changes, found.walks) == (60, [], NOT_STORED.walks)
            enlarge(disk)
            assert of(await there.run(), "production").inserted == 3001
            assert (await told(there.database)).invoices == 3061
