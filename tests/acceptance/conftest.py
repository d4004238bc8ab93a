from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.program import Program, program
from tests.places import server_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def syncer(tmp_path: Path, database_dsn: str) -> AsyncIterator[Program]:
    """The program with a migrated database."""
    async with program(tmp_path, database_dsn) as made:
        yield made


@pytest.fixture
async def fresh_syncer(tmp_path: Path, empty_dsn: str) -> AsyncIterator[Program]:
    """The program with a database that was never migrated."""
    async with program(tmp_path, empty_dsn) as made:
        yield made


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for an embedded server."""
    with server_place("syncer-embedded-") as path:
        yield path


@pytest.fixture
async def embedding_syncer(place: Path) -> AsyncIterator[Program]:
    """The program in a directory in which it may make its own server."""
    async with program(place, "") as made:
        yield made
