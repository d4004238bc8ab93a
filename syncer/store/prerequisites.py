"""What a database has to offer before tables can be made in it, and how to mend what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from syncer.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_ENCODING = text("""
SELECT current_database() AS name, pg_encoding_to_char(encoding) AS encoding
FROM pg_database
WHERE datname = current_database()
""")

_READ_ONLY = text("SELECT cast(current_setting('transaction_read_only') AS boolean)")

_SCHEMA_CREATION = text("""
SELECT
    has_database_privilege(current_database(), 'CREATE') AS allowed,
    format('database %I', current_database()) AS place,
    quote_ident(current_user) AS role
""")

_TABLE_CREATION = text("""
SELECT
    has_schema_privilege(cast(:schema AS text), 'CREATE') AS allowed,
    format('schema %I', cast(:schema AS text)) AS place,
    quote_ident(current_user) AS role
""")


async def require_utf8(conn: AsyncConnection) -> None:
    """Raise DatabaseError where the database could not hold any text that the API sends."""
    found = (await conn.execute(_ENCODING)).one()
    if found.encoding != "UTF8":
        raise DatabaseError(
            f"the database {found.name} has the encoding {found.encoding}, which cannot hold every"
            " text of an invoice; make one with"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


async def require_writable(conn: AsyncConnection) -> None:
    """Raise DatabaseError where every transaction is read-only, before one finds out."""
    if (await conn.execute(_READ_ONLY)).scalar_one():
        raise DatabaseError(
            "nothing can be written: it is a standby, or default_transaction_read_only is on"
            " for its user; name the primary in [database].url"
        )


async def require_schema_creation(conn: AsyncConnection) -> None:
    """Raise DatabaseError where the role may not make a schema in the database."""
    found = (await conn.execute(_SCHEMA_CREATION)).one()
    if not found.allowed:
        raise DatabaseError(_refusal("a schema", found.place, found.role))


async def require_table_creation(conn: AsyncConnection, schema: str) -> None:
    """Raise DatabaseError where the role may not make tables in the schema, which is there."""
    found = (await conn.execute(_TABLE_CREATION, {"schema": schema})).one()
    if not found.allowed:
        raise DatabaseError(_refusal("tables", found.place, found.role))


def _refusal(what: str, place: str, role: str) -> str:
    kind, _, name = place.partition(" ")
    return (
        f"permission denied for {place}: the role {role} may not make {what} in it;"
        f" GRANT CREATE ON {kind.upper()} {name} TO {role}, or migrate as its owner"
    )
