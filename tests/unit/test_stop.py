import asyncio

import pytest

from syncer.stop import Stop


async def wait_for_ever(stop: Stop, seconds: float | None = None) -> None:
    async with asyncio.timeout(seconds) as deadline:
        with stop.cutting(deadline):
            await asyncio.Event().wait()


async def test_a_stop_cuts_what_is_under_way() -> None:
    stop = Stop()
    asyncio.get_running_loop().call_soon(stop.request)
    with pytest.raises(TimeoutError):
        await wait_for_ever(stop)
    assert stop.requested


async def test_a_stop_cuts_what_comes_after_it() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(TimeoutError):
        await wait_for_ever(stop, 60)


async def test_what_is_done_is_not_cut() -> None:
    stop = Stop()
    async with asyncio.timeout(60) as deadline:
        with stop.cutting(deadline):
            await asyncio.sleep(0)
    stop.request()
    assert not deadline.expired()


async def test_what_has_timed_out_already_is_left_alone() -> None:
    stop = Stop()

    async def request_while_unwinding() -> None:
        async with asyncio.timeout(0) as deadline:
            with stop.cutting(deadline):
                try:
                    await asyncio.Event().wait()
                finally:
                    stop.request()

    with pytest.raises(TimeoutError):
        await request_while_unwinding()


async def test_a_pause_ends_by_itself_or_with_the_stop() -> None:
    stop = Stop()
    await stop.pause(0)
    assert not stop.requested
    asyncio.get_running_loop().call_soon(stop.request)
    await stop.pause(None)
    assert stop.requested
