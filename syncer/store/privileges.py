"""What the daemon's role finds and may do in the schema, and what it would have to be allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from syncer.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

# As docs/operations.md grants them.
_READ: Final = ("SELECT",)
_APPEND: Final = ("SELECT", "INSERT")
_WRITE: Final = ("SELECT", "INSERT", "UPDATE")
NEEDED: Final = {
    "alembic_version": _READ,
    "sync_freshness": _READ,
    "invoices": _WRITE,
    "invoice_history": _APPEND,
    "rejected_invoices": _APPEND,
    "sync_state": _WRITE,
    "account_digests": _WRITE,
    "sync_runs": _WRITE,
    "account_syncs": _WRITE,
}

# As docs/retention.md grants them besides, by what `[retention]` is to be kept for a time.
PRUNING: Final = {
    "sync_runs": (("sync_runs", "DELETE"),),
    "invoice_history": (
        ("invoice_history", "DELETE"),
        ("history_horizon", "SELECT"),
        ("history_horizon", "INSERT"),
        ("history_horizon", "UPDATE"),
    ),
}

_GONE = text("""
SELECT string_agg(name, ', ' ORDER BY place)
FROM unnest(cast(:names AS text[])) WITH ORDINALITY AS needed (name, place)
WHERE to_regclass(name) IS NULL
""")

# Of a table that is gone nothing is known: null.
_MISSING = text("""
SELECT privilege, string_agg(name, ', ' ORDER BY place) AS names
FROM unnest(cast(:names AS text[]), cast(:privileges AS text[]))
    WITH ORDINALITY AS needed (name, privilege, place)
WHERE has_table_privilege(to_regclass(name), privilege) IS NOT TRUE
GROUP BY privilege
ORDER BY min(place)
""")

# The search path is the schema alone, quoted. Where it may not be used, nothing in it is found.
_USABLE = text("""
SELECT
    current_user AS role,
    coalesce(has_schema_privilege(to_regnamespace(current_setting('search_path')), 'USAGE'), true)
        AS usable
""")


async def missing_tables(conn: AsyncConnection) -> str | None:
    """Name the tables and views that a sync needs and that are not there; None: all are."""
    missing: str | None = (await conn.execute(_GONE, {"names": list(NEEDED)})).scalar_one()
    return missing


async def missing_privileges(conn: AsyncConnection, *, pruned: Iterable[str] = ()) -> str | None:
    """Say what the role lacks to sync into the tables; None: nothing. All of one that is gone.

    It is also to delete what is old of `pruned`, tables of `PRUNING`.
    """
    pairs = [(name, privilege) for name, needed in NEEDED.items() for privilege in needed]
    pairs += [pair for name in pruned for pair in PRUNING[name]]
    names, privileges = map(list, zip(*pairs, strict=True))
    missing = (await conn.execute(_MISSING, {"names": names, "privileges": privileges})).all()
    return "; ".join(f"{row.privilege} on {row.names}" for row in missing) or None


async def require_usable_schema(conn: AsyncConnection) -> None:
    """Raise DatabaseError where the schema is there and the role may not look into it."""
    found = (await conn.execute(_USABLE)).one()
    if not found.usable:
        raise DatabaseError(
            f"the role {found.role} may not use [database].schema: grant it USAGE on the schema"
        )
