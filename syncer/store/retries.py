"""Work with the database that is begun again where its trouble may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from syncer.attempts import attempt
from syncer.errors import DatabaseBusy, DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import Future

Result = TypeVar("Result")

log = structlog.get_logger()

# With the pauses in between, some eight seconds: a server restarts in less.
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.5


async def repeat(
    work: Callable[[], Awaitable[Result]],
    *,
    sleep: Callable[[float], Awaitable[None]],
    attempts: int = ATTEMPTS,
) -> Result:
    """Do `work`, again after a lost connection or where another session stood in the way.

    A connection that is lost in a commit leaves open whether that took effect, so `work` has to be
    something that may be done twice. Raises the last error; `sleep` may cut its seconds short.
    """
    return await attempt(work, lambda: _retrying(sleep, attempts))


def _retrying(sleep: Callable[[float], Awaitable[None]], attempts: int) -> AsyncRetrying:
    return AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S),
        retry=retry_if_exception_type((DatabaseUnreachable, DatabaseBusy)),
        before_sleep=_announce,
        sleep=sleep,
        reraise=True,
    )


def _announce(state: RetryCallState) -> None:
    log.warning(
        "transaction.retry_scheduled",
        attempt=state.attempt_number,
        delay_s=state.upcoming_sleep,
        error=str(cast("Future", state.outcome).exception()),
    )
