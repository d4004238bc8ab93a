"""The schema's revision: which one a database is at, and how it gets to another.

Alembic is loaded where there is something to migrate: most starts only look.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from syncer.errors import SchemaMismatch
from syncer.store.failures import translated_errors
from syncer.store.prerequisites import (
    require_schema_creation,
    require_table_creation,
    require_utf8,
)
from syncer.store.privileges import require_usable_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.store.engine import Database

_PACKAGE = Path(__file__).resolve().parents[1]
_PACKAGED_SCRIPTS = _PACKAGE / "_alembic"
_SCRIPTS = _PACKAGED_SCRIPTS if _PACKAGED_SCRIPTS.is_dir() else _PACKAGE.parent / "alembic"

# The wait for another process that migrates may be long; one for a table, behind which all its
# readers queue, may not. All of it is the transaction's, and so is right behind a pooler as well.
_PREPARE = text("""
SELECT
    set_config('search_path', quote_ident(cast(:schema AS text)), true),
    set_config('TimeZone', 'UTC', true),
    set_config('statement_timeout', '0', true),
    set_config('lock_timeout', '5min', true)
""")
_WAIT_FOR_TURN = text("""
SELECT pg_advisory_xact_lock(
    hashtextextended(format('syncer:migrate:%I', cast(:schema AS text)), 0)
)
""")
_LIMIT_WAITS = text("SELECT set_config('lock_timeout', '10s', true)")

_SCHEMA_EXISTS = text("SELECT to_regnamespace(quote_ident(cast(:schema AS text))) IS NOT NULL")
_VERSIONS_EXIST = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_VERSIONS = text("SELECT version_num FROM alembic_version ORDER BY version_num")


class Position(Enum):
    """Where a schema stands, seen from the revision that this version needs."""

    EMPTY = "empty"
    BEHIND = "behind"
    AT_HEAD = "at head"
    UNKNOWN = "unknown"  # most likely ahead: a newer version migrated it


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision that a schema is at (None: nothing is there), and the one that is needed."""

    current: str | None
    head: str
    position: Position

    @property
    def at_head(self) -> bool:
        """Whether this version can work with the schema."""
        return self.position is Position.AT_HEAD

    def __str__(self) -> str:
        """One sentence: what was found, and what to do about it."""
        if self.position is Position.EMPTY:
            return (
                "the database schema holds no tables of syncer yet, and this version needs revision"
                f" {self.head}: run `syncer migrate`"
            )
        found = f"the database schema is at revision {self.current}"
        if self.position is Position.BEHIND:
            return f"{found}, and this version needs {self.head}: run `syncer migrate`"
        if self.position is Position.UNKNOWN:
            return (
                f"{found}, which this version does not know (it needs {self.head}):"
                " use the newer syncer that migrated it"
            )
        return f"{found}, the one that this version needs"


async def upgrade(database: Database, revision: str = "head") -> tuple[SchemaState, SchemaState]:
    """Bring the schema to `revision`, making it where there is none; tell (before, after).

    Waits for any other process that migrates the same schema. Raises SchemaMismatch for a schema or
    a target that this version does not know, DatabaseError when a privilege is missing, a table
    stays locked or the encoding is not UTF8. All migrations are one transaction: the schema is at
    the target then, or where it was.
    """
    if revision in {"head", _revisions()[-1]}:
        async with database.transaction() as conn:
            # Nobody migrates away from there but by hand, and each run looks again.
            state = _state_of(await _read_applied(conn))
        if state.at_head:
            return state, state
    return await _migrate(database, "upgrade", revision)


async def downgrade(database: Database, revision: str) -> tuple[SchemaState, SchemaState]:
    """Take the schema back to `revision` ("base": no tables at all); tell (before, after).

    Drops what later migrations made, with its rows. Raises what `upgrade` raises.
    """
    return await _migrate(database, "downgrade", revision)


async def schema_state(database: Database) -> SchemaState:
    """Tell which revision the schema is at; raises DatabaseError."""
    async with database.transaction() as conn:
        return await _read_state(conn)


async def require_head(database: Database) -> None:
    """Raise SchemaMismatch, with what to do, unless the schema is at the revision needed."""
    async with database.transaction() as conn:
        await refuse_other_revision(conn)


async def refuse_other_revision(conn: AsyncConnection) -> None:
    """Do what `require_head` does, in the caller's transaction."""
    state = await _read_state(conn)
    if not state.at_head:
        raise SchemaMismatch(str(state))


def migration_config(scripts: Path | None = None) -> Config:
    """Alembic's settings without a file; `scripts`: the directory of env.py and versions/."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Options take part in the interpolation of configparser.
    config.set_main_option("script_location", str(scripts or _SCRIPTS).replace("%", "%%"))
    return config


async def _migrate(
    database: Database, direction: Literal["upgrade", "downgrade"], revision: str
) -> tuple[SchemaState, SchemaState]:
    from alembic.util import CommandError  # noqa: PLC0415

    async with migration_connection(database) as conn:
        before = await _read_state(conn)
        if before.position is Position.UNKNOWN:
            raise SchemaMismatch(str(before))
        try:
            await conn.run_sync(_move, direction, revision)
        except CommandError as error:
            raise SchemaMismatch(f"cannot migrate: {error}") from error
        after = await _read_state(conn)
    return before, after


def _move(
    connection: Connection, direction: Literal["upgrade", "downgrade"], revision: str
) -> None:
    from alembic import command  # noqa: PLC0415

    config = migration_config()
    config.attributes["connection"] = connection
    move = command.upgrade if direction == "upgrade" else command.downgrade
    move(config, revision)


@asynccontextmanager
async def migration_connection(database: Database) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction outside the pool, alone in migrating the schema, which exists then."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=database.connect,
        poolclass=NullPool,
        # Whatever the role's default is: waiting for the turn, then seeing what the others did.
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )
    schema = {"schema": database.schema}
    with translated_errors(database.where):
        async with engine.begin() as conn:
            await conn.execute(_PREPARE, schema)
            # The lock is the transaction's: it ends with that, whatever happens here.
            await conn.execute(_WAIT_FOR_TURN, schema)
            await conn.execute(_LIMIT_WAITS)
            await require_utf8(conn)
            # CREATE SCHEMA asks for a privilege even where IF NOT EXISTS finds it there.
            if not (await conn.execute(_SCHEMA_EXISTS, schema)).scalar_one():
                await require_schema_creation(conn)
                await conn.execute(CreateSchema(database.schema))
            await require_usable_schema(conn)
            await require_table_creation(conn, database.schema)
            yield conn


async def _read_state(conn: AsyncConnection) -> SchemaState:
    applied = await _read_applied(conn)
    if applied is None:
        await require_usable_schema(conn)
    return _state_of(applied)


async def _read_applied(conn: AsyncConnection) -> list[str] | None:
    """Read the revisions that the schema is at; None where it knows of none, or is not there."""
    if not (await conn.execute(_VERSIONS_EXIST)).scalar_one():
        return None
    return list((await conn.execute(_VERSIONS)).scalars())


def _state_of(applied: list[str] | None) -> SchemaState:
    *earlier, head = _revisions()
    if not applied:
        return SchemaState(None, head, Position.EMPTY)
    current = ", ".join(applied)
    if current == head:
        return SchemaState(current, head, Position.AT_HEAD)
    return SchemaState(current, head, Position.BEHIND if current in earlier else Position.UNKNOWN)


@cache
def _revisions() -> tuple[str, ...]:
    """Name the revisions of this version, the oldest first, which their files are named by."""
    names = sorted(path.name for path in (_SCRIPTS / "versions").glob("[0-9]*_*.py"))
    return tuple(name.partition("_")[0] for name in names)
