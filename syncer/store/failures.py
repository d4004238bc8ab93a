"""What the driver reports, told as our errors, without the values of any row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from syncer.errors import DatabaseBusy, DatabaseError, DatabaseUnreachable, SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # a refused or reset connection, and TimeoutError
)

# Connection exceptions, wrong login, no such database, too many connections, shut down or starting,
# idle for too long.
_UNREACHABLE = ("08", "28", "3D", "53300", "57P01", "57P02", "57P03", "57P05", "25P03")

# Serialization failure, deadlock, lock not available in time.
_BUSY = ("40001", "40P01", "55P03")

_OTHER_SCHEMA = ("42P01", "42703")  # undefined table, undefined column

# PgBouncer's words for a transaction in the one mode in which it cannot keep any.
_NO_TRANSACTIONS = "transaction blocks not allowed in statement pooling mode"

# What to do about a refusal that no other try will change.
_ADVICE: Final[Mapping[str, str]] = {
    "25006": "this is a standby, or its user may only read: name the primary in [database].url",
    "42501": "its user lacks a right, see docs/operations.md (for [retention], docs/retention.md)",
}

# Classes whose primary message names tables, columns, constraints and roles. Those of data
# exceptions (22) quote the value, and so does what a trigger may raise (P0).
_NAMES_ONLY = ("08", "21", "23", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Raise what the driver or SQLAlchemy raises inside as a DatabaseError or a child of it.

    `where` names the database in the message. The body holds nothing but calls to the database: an
    OSError of any other origin would be taken for a lost connection.
    """
    # From None, because a printed traceback would show the cause, with the row in its DETAIL. The
    # cause's own traceback still says which statement it was.
    try:
        yield
    except DBAPIError as error:
        failure = _translated(_driver_error(error), where)
        raise failure.with_traceback(error.__traceback__) from None
    except PoolTimeoutError:
        message = f"PostgreSQL at {where}: every connection of the pool stayed in use"
        raise DatabaseError(message) from None
    except DRIVER_ERRORS as error:
        failure = _translated(error, where)
        raise failure.with_traceback(error.__traceback__) from None


def unreachable(
    error: BaseException, where: str, *, reason: str | None = None
) -> DatabaseUnreachable:
    """Say why no connection to `where` could be made, or why it was lost."""
    return DatabaseUnreachable(f"cannot reach PostgreSQL at {where}: {reason or _reason(error)}")


def _driver_error(error: DBAPIError) -> BaseException:
    # SQLAlchemy's wrapper holds its emulation of a DBAPI error, which was raised from the driver's.
    original = error.orig or error
    return original.__cause__ or original


def _translated(error: BaseException, where: str) -> DatabaseError:
    sqlstate = getattr(error, "sqlstate", None)
    if _is_lost_connection(error, sqlstate):
        return unreachable(error, where)
    kind = type(error).__name__
    if sqlstate is None:
        # Errors of the driver about an argument quote the argument.
        return DatabaseError(f"PostgreSQL at {where}: {kind}")
    message = f"PostgreSQL at {where}: {sqlstate} {kind}"
    if sqlstate.startswith(_NAMES_ONLY):
        message = f"{message}: {_first_line(error)}"
    if sqlstate in _OTHER_SCHEMA:
        return SchemaMismatch(f"{message}; run `syncer migrate`")
    if sqlstate in _ADVICE:
        message = f"{message}; {_ADVICE[sqlstate]}"
    return DatabaseBusy(message) if sqlstate in _BUSY else DatabaseError(message)


def _is_lost_connection(error: BaseException, sqlstate: str | None) -> bool:
    if sqlstate is not None:
        return sqlstate.startswith(_UNREACHABLE)
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has no class for this one.
        return "closed" in str(error)
    return isinstance(error, OSError)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        # Python's own text repeats the address.
        return "the connection is refused; does PostgreSQL run there, and listen on that address?"
    if isinstance(error, OSError):
        text = error.strerror or _first_line(error) or type(error).__name__
        return f"{text}: {error.filename}" if error.filename else text
    # The driver quotes the value of an option of the URL that it does not know.
    text = _first_line(error).partition(", got ")[0]
    if _NO_TRANSACTIONS in text:
        return f"{text}; set pool_mode = transaction (or session) in PgBouncer"
    return text


def _first_line(error: BaseException) -> str:
    # Not str(error), which for the driver's errors appends DETAIL: the values of the row.
    text = str(error.args[0]) if error.args else ""
    return text.partition("\n")[0]
