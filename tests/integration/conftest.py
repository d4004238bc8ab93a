from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.running import Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncer.store.engine import Database


@pytest.fixture
async def here(database: Database) -> AsyncIterator[Site]:
    """A simulated API without accounts yet, and a migrated database."""
    async with site(database) as opened:
        yield opened
