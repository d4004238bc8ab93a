"""Who walks which account, agreed on among all processes that share the database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

from syncer.store.failures import DRIVER_ERRORS, translated_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID

    import asyncpg

    from syncer.store.engine import Database

# Advisory locks count for the whole database, so the key holds the schema. journal.py asks for the
# key of a run in the same words.
#
# The connection is idle while accounts are walked. Probes keep it open across firewalls, and let go
# of the locks about a minute after its host has vanished without a word.
_HOLD_RUN = """
    SELECT
        pg_advisory_lock(hashtextextended(format('syncer:run:%I:%s', $1::text, $2::text), 0)),
        set_config('idle_session_timeout', '0', false),
        set_config('tcp_keepalives_idle', '30', false),
        set_config('tcp_keepalives_interval', '10', false),
        set_config('tcp_keepalives_count', '3', false)
"""

_TRY_ACCOUNT = """
    SELECT CASE
        WHEN pg_try_advisory_lock(
            hashtextextended(format('syncer:account:%I:%s', $1::text, $2::text), 0)
        )
        THEN clock_timestamp()
    END
"""

_RELEASE_ACCOUNT = """
    SELECT pg_advisory_unlock(
        hashtextextended(format('syncer:account:%I:%s', $1::text, $2::text), 0)
    )
"""

_ANSWER_TIMEOUT_S = 15.0
_CLOSE_TIMEOUT_S = 5.0


class Locks:
    """Advisory locks of one run, on one connection of their own: `async with Locks(database)`.

    The server lets go of them when the connection ends, however the process ends. A pooler in
    transaction mode between the two would break that. Entering and every method raise
    DatabaseUnreachable when the connection cannot be made or was lost; the locks are gone then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # A connection carries one statement at a time, and accounts are walked concurrently.
        self._mutex = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._connection: asyncpg.Connection = await self._database.connect(
            answer_timeout_s=_ANSWER_TIMEOUT_S
        )
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
        async with self._turn() as connection:
            await connection.execute(_HOLD_RUN, self._database.schema, str(run_id))

    async def try_account(self, account_id: str) -> datetime | None:
        """Take the account, and tell when by the database's clock; None: another session has it.

        The same session would get it twice, so a run asks once per account.
        """
        async with self._turn() as connection:
            taken_at: datetime | None = await connection.fetchval(
                _TRY_ACCOUNT, self._database.schema, account_id
            )
        return taken_at

    async def release_account(self, account_id: str) -> None:
        """Let another session have the account."""
        async with self._turn() as connection:
            await connection.execute(_RELEASE_ACCOUNT, self._database.schema, account_id)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[asyncpg.Connection]:
        with translated_errors(self._database.where):
            async with self._mutex:
                yield self._connection
