"""Who walks which account, agreed on among all processes that share the database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from syncer.errors import DatabaseUnreachable
from syncer.store.failures import DRIVER_ERRORS, translated_errors

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID

    import asyncpg

    from syncer.store.engine import Database

# What is locked, as text for format(): advisory locks count for the whole database, so it holds the
# schema as well as the name.
RUN_KEY = "syncer:run:%I:%s"
_ACCOUNT_KEY = "syncer:account:%I:%s"

_LOCK = "hashtextextended(format($1::text, $2::text, $3::text), 0)"

# Shared, so that a new connection need not wait until the server has noticed the loss of the old
# one; whoever takes the run for a dead one asks for an exclusive lock.
#
# The connection is idle while accounts are walked. Probes keep it open across firewalls, and let go
# of the locks about a minute after its host has vanished without a word.
_HOLD_RUN = f"""
    SELECT
        pg_advisory_lock_shared({_LOCK}),
        set_config('idle_session_timeout', '0', false),
        set_config('tcp_keepalives_idle', '30', false),
        set_config('tcp_keepalives_interval', '10', false),
        set_config('tcp_keepalives_count', '3', false)
"""

_TRY_ACCOUNT = f"""
    SELECT CASE WHEN pg_try_advisory_lock({_LOCK}) THEN clock_timestamp() END AS taken_at
"""

_RELEASE_ACCOUNT = f"SELECT pg_advisory_unlock({_LOCK})"

_ANSWER_TIMEOUT_S = 15.0
# Short, because leaving is part of a drain, which has ten seconds in all.
_CLOSE_TIMEOUT_S = 1.0


class Locks:
    """Advisory locks of one run, on one connection of their own: `async with Locks(database)`.

    The server lets go of them when the connection ends, however the process ends. A pooler in
    transaction mode between the two would break that. A lost connection is made anew once per
    call, and the run's lock is held on it again. The locks of accounts are gone then, and another
    session may walk the same account: `fence_account` keeps the older walk from being stored.
    Entering and every method raise DatabaseUnreachable when no connection can be made, or the new
    one is lost as well.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
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
        # Closing aborts the connection where a farewell is not possible: that frees the locks too.
        with suppress(*DRIVER_ERRORS):
            await self._connection.close(timeout=_CLOSE_TIMEOUT_S)

    async def hold_run(self, run_id: UUID) -> None:
        """Show the others, until exit, that this run's process is alive; before `begin_run`."""
        await self._ask(_HOLD_RUN, RUN_KEY, str(run_id))
        self._run_id = run_id

    async def try_account(self, account_id: str) -> datetime | None:
        """Take the account, and tell when by the database's clock; None: another session has it.

        The same session would get it twice, so a run asks once per account.
        """
        row = await self._ask(_TRY_ACCOUNT, _ACCOUNT_KEY, account_id)
        taken_at: datetime | None = row["taken_at"]
        return taken_at

    async def release_account(self, account_id: str) -> None:
        """Let another session have the account."""
        await self._ask(_RELEASE_ACCOUNT, _ACCOUNT_KEY, account_id)

    async def _connect(self) -> asyncpg.Connection:
        return await self._database.connect(answer_timeout_s=_ANSWER_TIMEOUT_S)

    async def _ask(self, query: str, key: str, name: str) -> asyncpg.Record:
        async with self._mutex:
            try:
                return await self._ask_once(query, key, name)
            except DatabaseUnreachable:
                await self._reconnect()
                return await self._ask_once(query, key, name)

    async def _ask_once(self, query: str, key: str, name: str) -> asyncpg.Record:
        with translated_errors(self._database.where):
            return await self._connection.fetchrow(query, key, self._database.schema, name)

    async def _reconnect(self) -> None:
        # One that is merely too slow to answer would keep its locks.
        self._connection.terminate()
        self._connection = await self._connect()
        if self._run_id is None:
            return
        try:
            await self._ask_once(_HOLD_RUN, RUN_KEY, str(self._run_id))
        except BaseException:
            # The next call tries again, rather than go on without the run's lock.
            self._connection.terminate()
            raise
