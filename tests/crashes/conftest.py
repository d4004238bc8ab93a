from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crashes.scenario import Scenario, scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def here(tmp_path: Path, database_dsn: str) -> AsyncIterator[Scenario]:
    """A migrated database behind a proxy, and two accounts behind another."""
    async with scenario(tmp_path, database_dsn) as opened:
        yield opened


@pytest.fixture
async def empty_here(tmp_path: Path, empty_dsn: str) -> AsyncIterator[Scenario]:
    """The same with a database that was never migrated."""
    async with scenario(tmp_path, empty_dsn) as opened:
        yield opened
