"""What the driver's errors become; those that need a server are among the integration tests."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from syncer.errors import DatabaseBusy, DatabaseError, DatabaseUnreachable
from syncer.store.failures import translated_errors, unreachable

WHERE = "db.example:5432/ledger"
NO_TRANSACTIONS = "transaction blocks not allowed in statement pooling mode"


def translated(error: BaseException) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught, translated_errors(WHERE):
        raise error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("database does not exist"),
        asyncpg.TooManyConnectionsError("too many clients already"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CrashShutdownError("terminating connection"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),
        asyncpg.IdleSessionTimeoutError("terminating connection"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
)
def test_a_lost_connection_is_unreachable(error: Exception) -> None:
    failure = translated(error)
    assert isinstance(failure, DatabaseUnreachable)
    assert str(failure).startswith(f"cannot reach PostgreSQL at {WHERE}: ")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (asyncpg.InterfaceError("another operation is in progress: SECRET"), "InterfaceError"),
        (asyncpg.InternalClientError("SECRET"), "InternalClientError"),
        (asyncpg.RaiseError("SECRET"), "P0001 RaiseError"),
        (asyncpg.InvalidTextRepresentationError("SECRET"), "22P02 InvalidTextRepresentationError"),
        (asyncpg.DiskFullError("no space left"), "53100 DiskFullError: no space left"),
    ],
)
def test_other_errors_tell_no_values(error: Exception, message: str) -> None:
    failure = translated(error)
    assert type(failure) is DatabaseError
    assert str(failure) == f"PostgreSQL at {WHERE}: {message}"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            asyncpg.DeadlockDetectedError("deadlock detected\nDETAIL: SECRET"),
            "40P01 DeadlockDetectedError: deadlock detected",
        ),
        (asyncpg.SerializationError("try again"), "40001 SerializationError: try again"),
        (asyncpg.LockNotAvailableError("in use"), "55P03 LockNotAvailableError: in use"),
    ],
)
def test_what_another_session_causes_may_pass(error: Exception, message: str) -> None:
    failure = translated(error)
    assert type(failure) is DatabaseBusy
    assert str(failure) == f"PostgreSQL at {WHERE}: {message}"


def test_an_error_that_only_sqlalchemy_knows_is_translated_too() -> None:
    failure = translated(DBAPIError("SELECT 1", None, orig=ConnectionResetError("gone")))
    assert isinstance(failure, DatabaseUnreachable)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer in time"),
        (OSError(), "OSError"),
        (OSError("Multiple exceptions: refused, refused"), "Multiple exceptions: refused, refused"),
        (FileNotFoundError(2, "No such file", "/ca.pem"), "No such file: /ca.pem"),
        (
            ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 5432)"),
            "the connection is refused; does PostgreSQL run there, and listen on that address?",
        ),
        (asyncpg.ClientConfigurationError("bad sslmode\nmore"), "bad sslmode"),
        (
            asyncpg.ProtocolViolationError(NO_TRANSACTIONS),
            f"{NO_TRANSACTIONS}; set pool_mode = transaction (or session) in PgBouncer",
        ),
    ],
)
def test_a_reason_is_one_line(error: Exception, reason: str) -> None:
    assert str(unreachable(error, WHERE)) == f"cannot reach PostgreSQL at {WHERE}: {reason}"


def test_what_is_not_the_drivers_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), translated_errors(WHERE):
        raise ZeroDivisionError
