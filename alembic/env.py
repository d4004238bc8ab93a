"""Where Alembic meets the database: on the program's connection, or on one for a developer.

`syncer migrate` passes its connection. Commands of `alembic` itself, such as `revision`, `check`,
`upgrade` and `downgrade`, take SYNCER_DATABASE__URL, SYNCER_DATABASE__PASSWORD and
SYNCER_DATABASE__SCHEMA from the environment; with `--sql` they print statements and need no
database.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from alembic import context
from alembic.util import CommandError

from syncer.store.engine import Database
from syncer.store.migrate import migration_connection
from syncer.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection


def migrate_on(connection: Connection) -> None:
    """Run in the connection's transaction, whose search_path names just the configured schema.

    So neither the migrations nor alembic_version name it. Logging stays as the program set it up.
    """
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_for_a_developer() -> None:
    """Run on a connection of our own, after any other process that migrates."""
    url = os.environ.get("SYNCER_DATABASE__URL")
    if not url:
        raise CommandError("set SYNCER_DATABASE__URL to the database to work with")
    database = Database(
        url,
        password=os.environ.get("SYNCER_DATABASE__PASSWORD"),
        schema=os.environ.get("SYNCER_DATABASE__SCHEMA", "public"),
    )
    async with migration_connection(database) as conn:
        await conn.run_sync(migrate_on)


if context.is_offline_mode():
    context.configure(dialect_name="postgresql")
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate_on(given)
else:
    asyncio.run(migrate_for_a_developer())
