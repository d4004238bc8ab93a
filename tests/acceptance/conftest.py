from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.program import Program, program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


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
    """A directory for an embedded server, which runs as another account where the tests are root's.

    Not below pytest's own directory, from which every start of pytest bars other accounts.
    """
    with tempfile.TemporaryDirectory(prefix="syncer-embedded-") as path:
        yield Path(path)
