from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.program import Program, program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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
