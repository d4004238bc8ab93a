"""Attempts at what may fail for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from syncer.errors import SyncerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import AsyncRetrying

Result = TypeVar("Result")


async def attempt(
    work: Callable[[], Awaitable[Result]], retrying: Callable[[], AsyncRetrying]
) -> Result:
    """Do `work`, and only where that fails ask `retrying` whether, when and how often to try again.

    Nearly always the first attempt is the last one, and tenacity's machinery costs half as much as
    a whole request. It counts that attempt all the same, and raises what it raises.
    """
    try:
        return await work()
    except SyncerError as error:
        failed = [error]

    async def go_on() -> Result:
        if failed:
            raise failed.pop()
        return await work()

    return await retrying()(go_on)
