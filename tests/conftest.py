"""Databases for the tests: one server, and for each test its own copy of a migrated template."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import hypothesis
import pytest

from syncer.demo.fill import fill
from syncer.demo.postgres import EmbeddedPostgres
from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from tests.integration.roles import documented_role, owned_database
from tests.places import quickest
from tests.servers import OwnServer, administer, dsn_of, migrated_cluster, own_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


SERVER_DIRECTORY = "SYNCER_TEST_SERVER_DIRECTORY"

# The same examples in every quick run; new ones, and many more, in the long run (make test-long).
hypothesis.settings.register_profile(
    "quick", derandomize=True, max_examples=100, deadline=None, database=None
)
hypothesis.settings.register_profile(
    "long", max_examples=5000, deadline=None, print_blob=True, database=None
)
hypothesis.settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Choose one place for the server, before pytest-xdist starts workers that inherit it.

    Not below pytest's own directory, from which every start of pytest bars other accounts, such as
    the one that the server runs as where the tests run as root.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        directory = tempfile.mkdtemp(prefix="syncer-tests-", dir=quickest())
        os.environ[SERVER_DIRECTORY] = directory
        config.add_cleanup(lambda: shutil.rmtree(directory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first: whatever came last, all workers but one would wait for."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A superuser's way to a server: SYNCER_TEST_DATABASE_URL, or one that is embedded.

    SYNCER_TEST_POSTGRES_MAJOR chooses the embedded version. All workers share the server.
    """
    given = os.environ.get("SYNCER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    major = int(os.environ.get("SYNCER_TEST_POSTGRES_MAJOR", "18"))
    with EmbeddedPostgres(Path(os.environ[SERVER_DIRECTORY]), major=major) as dsn:
        # Its directory is gone when the tests are done; what a power cut would do is of no concern.
        administer(dsn, "ALTER SYSTEM SET fsync = off")
        administer(dsn, "SELECT pg_reload_conf()")
        yield dsn


@pytest.fixture(scope="session")
def template(server_dsn: str) -> Iterator[str]:
    """The name of a migrated database without rows, to which nobody is connected."""
    name = f"syncer_template_{uuid4().hex}"
    administer(server_dsn, f"CREATE DATABASE {name}")

    async def migrate() -> None:
        database = Database(dsn_of(server_dsn, name))
        await upgrade(database)
        await database.close()

    try:
        asyncio.run(migrate())
        yield name
    finally:
        administer(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def own_database(server_dsn: str, *, template: str = "template1") -> Iterator[str]:
    name = f"syncer_test_{uuid4().hex}"
    administer(server_dsn, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield dsn_of(server_dsn, name)
    administer(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with own_database(server_dsn, template=template) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def filled_template(server_dsn: str) -> Iterator[str]:
    """The name of a database that tells the demo's story, to which nobody is connected."""
    name = f"syncer_filled_{uuid4().hex}"
    administer(server_dsn, f"CREATE DATABASE {name}")
    try:
        asyncio.run(fill(dsn_of(server_dsn, name)))
        yield name
    finally:
        administer(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def filled_dsn(server_dsn: str, filled_template: str) -> Iterator[str]:
    """A database of the test's own that tells the demo's story; times are those of STORY_NOW."""
    with own_database(server_dsn, template=filled_template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def shared_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A migrated database for all tests of a module, each of which empties it."""
    with own_database(server_dsn, template=template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """A database of the test's own that was never migrated."""
    with own_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture
def owned(server_dsn: str) -> Iterator[tuple[str, str]]:
    """A database of a plain role's own that was never migrated: the owner's DSN and an admin's."""
    with owned_database(server_dsn) as dsns:
        yield dsns


@pytest.fixture
def daemon_dsn(database_dsn: str) -> Iterator[str]:
    """The daemon's way to a migrated database, with the documented rights and no more."""
    with documented_role("syncer_daemon", database_dsn) as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """The test's own database, as the program uses it."""
    database = Database(database_dsn)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A stopped cluster with a migrated database, for servers of a test's own."""
    with migrated_cluster() as home:
        yield home


@pytest.fixture
def server(cluster: Path) -> Iterator[OwnServer]:
    """A server of the test's own, which it may restart."""
    with own_server(cluster) as running:
        yield running
