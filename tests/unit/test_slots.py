import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.cloudflare.slots import Slots

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


async def test_an_account_takes_its_share_and_leaves_the_rest() -> None:
    slots = Slots(4, 8)
    with slots.sharing("a"), slots.sharing("b"):
        await slots.acquire("a")
        await slots.acquire("a")
        third = asyncio.ensure_future(slots.acquire("a"))
        await slots.acquire("b")
        await asyncio.sleep(0)
        assert not third.done()
        slots.release("a")
        await third


async def test_no_place_is_kept_for_accounts_when_all_are_there() -> None:
    slots = Slots(4, 2)
    with slots.sharing("a"), slots.sharing("b"):
        for account_id in "abab":
            await slots.acquire(account_id)
        fifth = asyncio.ensure_future(slots.acquire("a"))
        await asyncio.sleep(0)
        assert not fifth.done()
        slots.release("a")
        await fifth


async def test_the_share_grows_when_others_are_done() -> None:
    slots = Slots(2, 8)
    with slots.sharing("a"):
        with slots.sharing("b"):
            await slots.acquire("a")
            second = asyncio.ensure_future(slots.acquire("a"))
            await asyncio.sleep(0)
            assert not second.done()
        await second


async def test_more_accounts_than_places_take_turns() -> None:
    slots = Slots(1, 8)
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
        slots = Slots(4, 8)
        tracemalloc.start()
        try:
            for number in range(accounts):
                await walk(slots, f"{number:032x}")
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert asyncio.run(walk_many(5000)) - asyncio.run(walk_many(50)) < 50_000


async def test_a_place_goes_to_the_account_that_has_waited_longest() -> None:
    slots = Slots(1, 8)
    order: list[str] = []

    async def ask(account_id: str) -> None:
        await slots.acquire(account_id)
        order.append(account_id)
        slots.release(account_id)

    await slots.acquire("a")
    async with asyncio.TaskGroup() as group:
        for account_id in ("b", "b", "c", "a"):
            group.create_task(ask(account_id))
        await asyncio.sleep(0)
        slots.release("a")
    assert order == ["b", "c", "a", "b"]


@dataclass
class Watched:
    """Awaits its work, and counts how often it is resumed."""

    work: Coroutine[object, object, None]
    resumed: int = 0

    def __await__(self) -> Generator[object, None, None]:
        for waited_for in self.work.__await__():
            yield waited_for
            self.resumed += 1


async def test_a_place_wakes_one_of_those_that_wait_and_not_all() -> None:
    slots = Slots(2, 8)

    async def ask(account_id: str) -> None:
        await slots.acquire(account_id)
        await asyncio.sleep(0)
        slots.release(account_id)

    async def watch(watched: Watched) -> None:
        await watched

    await slots.acquire("a")
    await slots.acquire("b")
    asking = [Watched(ask(account_id)) for account_id in "aabbccdd" * 5]
    async with asyncio.TaskGroup() as group:
        for watched in asking:
            group.create_task(watch(watched))
        await asyncio.sleep(0)
        slots.release("a")
    assert [watched.resumed for watched in asking] == [2] * 40


@pytest.mark.parametrize("cancelled", ["with it in hand", "meanwhile"])
async def test_a_place_goes_past_whoever_is_cancelled(cancelled: str) -> None:
    slots = Slots(1, 8)
    await slots.acquire("a")
    gone = asyncio.ensure_future(slots.acquire("b"))
    waiting = asyncio.ensure_future(slots.acquire("c"))
    await asyncio.sleep(0)
    steps: list[Callable[[], object]] = [lambda: slots.release("a"), gone.cancel]
    for step in steps if cancelled == "with it in hand" else reversed(steps):
        step()
    await settled()
    assert gone.cancelled()
    assert waiting.done()


class Model:
    """What the rules say, told from who holds a place and who waits, against what `Slots` does."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.slots = Slots(total, 8)
        self.sharing: dict[str, AbstractContextManager[None]] = {}
        self.asked: list[tuple[str, asyncio.Task[None]]] = []

    async def act(self, what: str, account_id: str, nth: int) -> None:
        if what == "share" and account_id not in self.sharing:
            self.sharing[account_id] = self.slots.sharing(account_id)
            self.sharing[account_id].__enter__()
        elif what == "leave" and account_id in self.sharing:
            self.sharing.pop(account_id).__exit__(None, None, None)
        elif what == "acquire":
            task = asyncio.ensure_future(self.slots.acquire(account_id))
            self.asked.append((account_id, task))
        elif what == "release" and self.held():
            self.release(self.held()[nth % len(self.held())])
        elif what == "cancel" and self.waiting():
            self.waiting()[nth % len(self.waiting())][1].cancel()

    def held(self) -> list[tuple[str, asyncio.Task[None]]]:
        return [one for one in self.asked if one[1].done() and not one[1].cancelled()]

    def waiting(self) -> list[tuple[str, asyncio.Task[None]]]:
        return [one for one in self.asked if not one[1].done()]

    def release(self, one: tuple[str, asyncio.Task[None]]) -> None:
        self.asked.remove(one)
        self.slots.release(one[0])

    def check(self) -> None:
        held = Counter(account_id for account_id, _ in self.held())
        all_, share = held.total(), self.total // max(1, len(self.sharing))
        assert all_ <= self.total
        for account_id, _ in self.waiting():
            if not held[account_id]:
                assert all_ == self.total
            else:
                assert held[account_id] >= share or all_ >= self.total - self.total // 4


steps = st.tuples(
    st.sampled_from(["share", "leave", "acquire", "acquire", "release", "cancel"]),
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.booleans(),
)


@pytest.mark.thorough
@given(total=st.integers(1, 6), script=st.lists(steps, min_size=30, max_size=60))
def test_no_place_is_lost_and_none_stays_free_for_which_somebody_waits(
    total: int, script: list[tuple[str, str, int, bool]]
) -> None:
    async def play() -> None:
        model = Model(total)
        for what, account_id, nth, settle in script:
            await model.act(what, account_id, nth)
            # Else the next step meets what this one has set off, such as a place on its way.
            if settle:
                await settled()
                model.check()
        await settled()
        model.check()
        for _, task in model.asked:
            task.cancel()
        await settled()
        for one in model.held():
            model.release(one)
        for number in range(total):
            await model.act("acquire", f"newcomer {number}", 0)
        await settled()
        assert len(model.held()) == total

    asyncio.run(play())


async def settled() -> None:
    """Let everything happen that needs no more than turns of the event loop."""
    for _ in range(10):
        await asyncio.sleep(0)
