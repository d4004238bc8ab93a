"""`syncer migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.app import migrate, open_database, require_existing
from syncer.cli.screen import say
from syncer.errors import SchemaMismatch
from syncer.store.migrate import schema_state

if TYPE_CHECKING:
    from syncer.config import Settings


async def migrate_schema(settings: Settings) -> None:
    """Bring the schema to head and say from where it came."""
    async with open_database(settings) as database:
        before, after = await migrate(database)
        how = "already" if before == after else f"migrated from {before.current or 'nothing'}, now"
        say(f"schema {database.schema}: {how} at revision {after.current}")


async def check_schema(settings: Settings) -> None:
    """Say that the schema is at head; raise `SchemaMismatch` where it is not."""
    require_existing(settings)
    async with open_database(settings) as database:
        state = await schema_state(database)
        if not state.at_head:
            raise SchemaMismatch(str(state))
        say(f"schema {database.schema}: at revision {state.current}")
