"""Who walks which account, agreed on among all processes that share the database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from syncer.errors import DatabaseError
from syncer.store.failures import DRIVER_ERRORS, translated_errors
from syncer.store.retries import ATTEMPTS, repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from uuid import UUID

    import asyncpg

    from syncer.store.engine import Database

# What is locked, as text for format(): advisory locks count for the whole database, so it holds the
# schema as well as the name.
RUN_KEY = "syncer:run:%I:%s"
_ACCOUNT_KEY = "syncer:account:%I:%s"

_LOCK = "hashtextextended(format({key}, {schema}, {name}), 0)"

# Read committed, whatever the role's default is: any other level keeps a snapshot for the whole
# transaction, which would hold back vacuum.
#
# The transaction is idle while accounts are walked. Probes keep its connection open across
# firewalls, and let go of the locks about a minute after its host has vanished without a word.
# Not every version of PostgreSQL has all of these settings.
_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    SELECT set_config(name, value, true)
    FROM pg_settings
    JOIN (
        VALUES
            ('idle_in_transaction_session_timeout', '0'),
            ('transaction_timeout', '0'),
            ('tcp_keepalives_idle', '30'),
            ('tcp_keepalives_interval', '10'),
            ('tcp_keepalives_count', '3')
    ) AS ours (name, value) USING (name)
"""

# Shared, so that a new connection need not wait until the server has noticed the loss of the old
# one; whoever takes the run for a dead one asks for an exclusive lock.
_HOLD_RUN = f"SELECT pg_advisory_lock_shared({_LOCK})"

_TRY_ACCOUNT = f"SELECT WHERE pg_try_advisory_lock({_LOCK})"
_TAKEN = "SELECT 1"

_RELEASE_ACCOUNT = f"SELECT pg_advisory_unlock({_LOCK})"

_ANSWER_TIMEOUT_S = 15.0
# Short, because leaving is part of a drain, which has ten seconds in all.
_CLOSE_TIMEOUT_S = 1.0


class Locks:
    """Advisory locks of one run, on one connection of their own: `async with Locks(database)`.

    `sleep` waits for seconds, and may cut them short.

    The server lets go of them when the connection ends, however the process ends. The connection
    stays in one transaction from its first statement to its end, which it never commits: so a
    pooler in transaction mode keeps one server connection for it, and closes that with it. The
    transaction is read-only and without a snapshot, so it holds nothing else back.

    A lost connection is made anew, and the run's lock is held on it again. The locks of accounts
    are gone then, and another session may walk the same account: `fence_account` keeps the older
    walk from being stored. The first call that finds the server away waits some seconds for its
    return, the calls after that no more until it is back. Entering and every method raise
    DatabaseUnreachable when no connection can be made, and DatabaseError when the new one fails as
    well.
    """

    def __init__(
        self, database: Database, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._database = database
        self._sleep = sleep
        self._is_away = False
        self._run_id: UUID | None = None
        # A connection carries one statement at a time, and accounts are walked concurrently.
        self._mutex = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing rolls back, and where a farewell is not possible it aborts the connection: either
        # frees the locks.
        with suppress(*DRIVER_ERRORS):
            await self._connection.close(timeout=_CLOSE_TIMEOUT_S)

    async def hold_run(self, run_id: UUID) -> None:
        """Show the others, until exit, that this run's process is alive; before `begin_run`."""
        await self._ask(_HOLD_RUN, RUN_KEY, str(run_id))
        self._run_id = run_id

    async def try_account(self, account_id: str) -> bool:
        """Take the account; False: another session has it.

        The same session would get it twice, so a run asks no more once it has it.
        """
        return await self._ask(_TRY_ACCOUNT, _ACCOUNT_KEY, account_id) == _TAKEN

    async def release_account(self, account_id: str) -> None:
        """Let another session have the account."""
        await self._ask(_RELEASE_ACCOUNT, _ACCOUNT_KEY, account_id)

    async def _connect(self) -> asyncpg.Connection:
        connection = await self._database.connect(answer_timeout_s=_ANSWER_TIMEOUT_S)
        try:
            with translated_errors(self._database.where):
                await connection.execute(_BEGIN)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _ask(self, query: str, key: str, name: str) -> str:
        async with self._mutex:
            with suppress(DatabaseError):
                return await self._execute(query, key, name)
            # Whatever it was, the transaction is over.
            await self._reconnect()
            return await self._execute(query, key, name)

    async def _execute(self, query: str, key: str, name: str) -> str:
        """Return what the server says it did, with the number of rows.

        Rows that were fetched would keep the statement open, and its snapshot with it, until the
        next one. A COPY would not, but where the driver has not seen all of a loss yet, it forgets
        a future over it, which the log then complains about.
        """
        schema = self._database.schema
        query = query.format(key=_literal(key), schema=_literal(schema), name=_literal(name))
        with translated_errors(self._database.where):
            status: str = await self._connection.execute(query)
        return status

    async def _reconnect(self) -> None:
        # One that is merely too slow to answer would keep its locks.
        self._connection.terminate()
        attempts = 1 if self._is_away else ATTEMPTS
        self._is_away = True
        self._connection = await repeat(self._connect, sleep=self._sleep, attempts=attempts)
        self._is_away = False
        if self._run_id is None:
            return
        try:
            await self._execute(_HOLD_RUN, RUN_KEY, str(self._run_id))
        except BaseException:
            # The next call tries again, rather than go on without the run's lock.
            self._connection.terminate()
            raise


def _literal(value: str) -> str:
    r"""Quote a text, also where the role has it that a plain '\' escapes what follows."""
    return "E'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))
