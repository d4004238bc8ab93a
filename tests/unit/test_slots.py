import asyncio
import gc
import tracemalloc

from syncer.cloudflare.slots import Slots


async def test_an_account_takes_its_share_and_leaves_the_rest() -> None:
    slots = Slots(4)
    with slots.sharing("a"), slots.sharing("b"):
        await slots.acquire("a")
        await slots.acquire("a")
        third = asyncio.ensure_future(slots.acquire("a"))
        await slots.acquire("b")
        await asyncio.sleep(0)
        assert not third.done()
        slots.release("a")
        await third


async def test_the_share_grows_when_others_are_done() -> None:
    slots = Slots(2)
    with slots.sharing("a"):
        with slots.sharing("b"):
            await slots.acquire("a")
            second = asyncio.ensure_future(slots.acquire("a"))
            await asyncio.sleep(0)
            assert not second.done()
        await second


async def test_more_accounts_than_places_take_turns() -> None:
    slots = Slots(1)
    with slots.sharing("a"), slots.sharing("b"):
        await slots.acquire("a")
        waiting = asyncio.ensure_future(slots.acquire("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        slots.release("a")
        await waiting


def test_accounts_that_are_done_leave_nothing_behind() -> None:
    async def walk(slots: Slots, account_id: str) -> None:
        with slots.sharing(account_id):
            await slots.acquire(account_id)
            slots.release(account_id)

    async def walk_many(accounts: int) -> int:
        slots = Slots(4)
        tracemalloc.start()
        try:
            for number in range(accounts):
                await walk(slots, f"{number:032x}")
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert asyncio.run(walk_many(5000)) - asyncio.run(walk_many(50)) < 50_000
