"""A database that cannot be reached, or is not named right: what is told of it."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from tests.integration.stored import fetch, opened, told
from tests.servers import dsn_of


async def test_a_closed_port_is_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    dsn = f"postgresql://syncer:hunter2@127.0.0.1:{port}/ledger"
    async with opened(Database(dsn)) as database:
        with pytest.raises(DatabaseUnreachable) as caught:
            await fetch(database, "SELECT 1")
    assert str(caught.value) == (
        f"cannot reach PostgreSQL at 127.0.0.1:{port}/ledger: the connection is refused;"
        " does PostgreSQL run there, and listen on that address?"
    )
    assert "hunter2" not in told(caught.value)


async def test_a_host_that_never_answers_is_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        dsn = f"postgresql://127.0.0.1:{port}/ledger?user=syncer"
        async with opened(Database(dsn, connect_timeout_s=0.05)) as database:
            with pytest.raises(DatabaseUnreachable, match=r"ledger: no answer in time$"):
                await fetch(database, "SELECT 1")


async def test_a_missing_socket_is_named() -> None:
    dsn = "postgresql:///ledger?host=/nowhere/at%20all&user=syncer"
    with pytest.raises(DatabaseUnreachable, match=r"at /nowhere/at all:5432/ledger: No such file"):
        await Database(dsn).connect()


async def test_a_missing_database_is_unreachable(server_dsn: str) -> None:
    dsn = dsn_of(server_dsn, "no_such_ledger")
    with pytest.raises(DatabaseUnreachable, match=r'database "no_such_ledger" does not exist$'):
        await Database(dsn).connect()


async def test_a_wrong_password_is_unreachable_and_never_told(
    database_dsn: str, database: Database
) -> None:
    methods = await fetch(database, "SELECT auth_method FROM pg_hba_file_rules")
    if any(row["auth_method"] == "trust" for row in methods):
        pytest.skip("this server takes anybody at their word")
    wrong = "hunter2"
    with pytest.raises(DatabaseUnreachable) as caught:
        await Database(database_dsn, password=wrong).connect()
    assert "password authentication failed for user" in str(caught.value)
    assert "hunter2" not in told(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://syncer:hunter2/x@db.example/ledger",
        "postgresql://syncer:hunter2@home@db.example/ledger",
        "postgresql://syncer:12#hunter2@db.example/ledger",
        "postgresql://syncer:12?hunter2@db.example/ledger",
        "postgresql://[hunter2]:5432/ledger",
        "postgresql://localhost:hunter2/ledger",
        "mysql://syncer:hunter2@db.example/ledger",
        "postgresql://localhost/ledger?hunter2",
        "hunter2",
    ],
)
async def test_an_ambiguous_url_is_refused_and_never_told(dsn: str) -> None:
    database = Database(dsn)
    assert database.where == "the configured URL"
    with pytest.raises(DatabaseUnreachable, match=r"^the database URL cannot be read: ") as caught:
        await database.connect()
    assert "hunter2" not in told(caught.value)


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("sslmode=sometimes", "`sslmode` parameter must be one of: "),
        ("sslmode=verify-full&sslrootcert=/no/such/ca.pem", "No such file or directory"),
        ("host=localhost&port=five", "an option of its URL is invalid"),
    ],
)
async def test_an_invalid_option_is_told(option: str, complaint: str) -> None:
    database = Database(f"postgresql:///ledger?{option}&password=hunter2")
    with pytest.raises(DatabaseUnreachable) as caught:
        await database.connect()
    assert complaint in str(caught.value)
    assert "hunter2" not in told(caught.value)
