"""Connections and transactions."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from syncer import __version__
from syncer.errors import DatabaseUnreachable
from syncer.store.address import address_of
from syncer.store.encryption import why_not_encrypted
from syncer.store.failures import DRIVER_ERRORS, translated_errors, unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

# One message, and local to the transaction: so it also holds behind a pooler that hands out a
# different server connection for each one. Whatever the role's default is, a statement sees what
# others committed while it waited for a lock. A host that vanished holds its row locks for no
# longer than the idle timeout. The history holds times as text, hence the zone.
_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL search_path TO {schema};
    SET LOCAL lock_timeout TO '{lock_timeout_ms:.0f}ms';
    SET LOCAL statement_timeout TO '{statement_timeout_ms:.0f}ms';
    SET LOCAL idle_in_transaction_session_timeout TO '60s';
    SET LOCAL TimeZone TO 'UTC'
"""

# The key of what the pool notes about a connection.
_HAS_BEGUN = "syncer has begun a transaction on it"

# The server's own timeout comes first, unless the server or the network is gone.
_ANSWER_GRACE_S = 15.0

_FAREWELL_S = 1.0


class Database:
    """A pool of connections to one schema of one database.

    `dsn` is a libpq-style URL, which the driver parses (sslmode, sslrootcert, a Unix socket as
    ?host=, PG* in the environment); `password` comes before the one in the URL, and is called for
    each connection where it is a function. `where` names the database in messages, without user
    and password. Connecting happens on first use.
    """

    def __init__(
        self,
        dsn: str,
        *,
        password: str | Callable[[], str | None] | None = None,
        schema: str = "public",
        pool_size: int = 4,
        connect_timeout_s: float = 10.0,
        lock_timeout_s: float = 10.0,
        statement_timeout_s: float = 60.0,
    ) -> None:
        self.schema = schema
        self._dsn = dsn
        self._password = password
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = statement_timeout_s + _ANSWER_GRACE_S
        self._pooled: weakref.WeakSet[asyncpg.Connection] = weakref.WeakSet()
        self._asides: list[Database] = []
        self._malformed: str | None = None
        try:
            self.where = address_of(dsn)
        except ValueError as error:
            self.where = "the configured URL"
            self._malformed = str(error)
        self._begin_text = _BEGIN.format(
            schema='"{}"'.format(schema.replace('"', '""')),
            lock_timeout_ms=lock_timeout_s * 1000,
            statement_timeout_ms=statement_timeout_s * 1000,
        )
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect_for_pool,
            # Beginning and ending is done here, each with one message.
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            # Long enough for each of the others to finish a statement.
            pool_timeout=2 * statement_timeout_s,
            # Error texts would carry invoices.
            hide_parameters=True,
        )

    def aside(self, *, timeout_s: float) -> Database:
        """Give one more connection to the schema, which the users of this pool cannot take.

        It is made when it is first used and closed with this pool; connecting, a lock and a
        statement take `timeout_s` at the most.
        """
        aside = Database(
            self._dsn,
            password=self._password,
            schema=self.schema,
            pool_size=1,
            connect_timeout_s=timeout_s,
            lock_timeout_s=timeout_s,
            statement_timeout_s=timeout_s,
        )
        self._asides.append(aside)
        return aside

    async def connect(self, *, answer_timeout_s: float | None = None) -> asyncpg.Connection:
        """Open a connection outside the pool, in autocommit; the caller closes it.

        A statement that takes longer than `answer_timeout_s` raises TimeoutError; None: waits.
        Raises DatabaseUnreachable.
        """
        if self._malformed is not None:
            raise DatabaseUnreachable(self._malformed)
        try:
            return await asyncpg.connect(
                self._dsn,
                password=self._password,
                timeout=self._connect_timeout_s,
                command_timeout=answer_timeout_s,
                # No named prepared statements, which a pooler in transaction mode would lose:
                # the driver sends each statement's text again with its values.
                statement_cache_size=0,
                server_settings={"application_name": f"syncer/{__version__}"},
            )
        except DRIVER_ERRORS as error:
            reason = why_not_encrypted(error, self._dsn)
            raise unreachable(error, self.where, reason=reason) from error
        except ValueError:
            # The text of such an error, about an option of the URL, quotes the URL.
            message = f"cannot reach PostgreSQL at {self.where}: an option of its URL is invalid"
            raise DatabaseUnreachable(message) from None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction in the schema; commit at the end, roll back on any exception.

        The body awaits nothing but the database. Raises DatabaseUnreachable when there is no
        connection or it is lost (whether a commit under way took effect is unknown then),
        DatabaseBusy when another session stood in the way, SchemaMismatch when a table or a column
        is not there, and DatabaseError for anything else that the database refuses; our own errors
        and cancellation pass through.
        """
        with translated_errors(self.where):
            async with self._engine.connect() as conn:
                driver = await self._begin(conn)
                try:
                    yield conn
                    await driver.execute("COMMIT")
                except Exception:
                    await _roll_back(driver)
                    raise
                except BaseException as error:
                    # Cancelled, and with it the statement that the server is at; to wait for its
                    # answer any longer there may be no time.
                    await conn.invalidate(error)
                    raise

    async def close(self) -> None:
        """Close the pool's connections, within about a second also where nobody answers."""
        async with asyncio.TaskGroup() as group:
            for aside in self._asides:
                group.create_task(aside.close())
            for connection in self._pooled:
                group.create_task(_say_farewell(connection))
        await self._engine.dispose()

    async def _connect_for_pool(self) -> asyncpg.Connection:
        connection = await self.connect(answer_timeout_s=self._answer_timeout_s)
        self._pooled.add(connection)
        return connection

    async def _begin(self, conn: AsyncConnection) -> asyncpg.Connection:
        """Begin, which also shows whether the server is still there.

        What the pool kept may have been lost since, as with a server that was restarted. Nothing
        is lost with it yet, so another connection takes its place, at last one that is new.
        """
        while True:
            pooled = await conn.get_raw_connection()
            driver: asyncpg.Connection = pooled.driver_connection
            is_new = _HAS_BEGUN not in pooled.info
            pooled.info[_HAS_BEGUN] = True
            try:
                await driver.execute(self._begin_text)
            except BaseException as error:
                driver.terminate()
                if is_new or not isinstance(error, DRIVER_ERRORS):
                    raise
                await conn.invalidate(error)
            else:
                return driver


async def _roll_back(driver: asyncpg.Connection) -> None:
    """End the transaction, where that cannot be done by ending the connection."""
    if driver.is_closed() or not driver.is_in_transaction():
        return
    try:
        await driver.execute("ROLLBACK", timeout=_ANSWER_GRACE_S)
    except BaseException as error:
        driver.terminate()
        if not isinstance(error, DRIVER_ERRORS):
            raise


async def _say_farewell(connection: asyncpg.Connection) -> None:
    # Closing aborts the connection where the server does not take part.
    with suppress(*DRIVER_ERRORS):
        await connection.close(timeout=_FAREWELL_S)
