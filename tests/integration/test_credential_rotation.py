import asyncio
import gc

import pytest

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings
from syncer.cloudflare.tally import Tally
from syncer.cloudflare.throttle import Throttle
from syncer.demo.faults import Fault, Throttled
from syncer.errors import RateLimited
from tests.integration.walking import ACCOUNT_ID, World, walking

QUERY = {"type": "all", "page": "1", "per_page": "50"}
BUDGET = ClientSettings(
    base_url="", user_agent="t", rate_requests=5, rate_per_s=60, concurrent_requests=1
)
ONCE = ClientSettings(base_url="", user_agent="t", rate_per_s=60, max_attempts=1)


async def fetch(world: World, token: str) -> None:
    world.account.logins.add(token)
    account = Account(ACCOUNT_ID, "production", Credential(token=token))
    await world.client.fetch_page(account, QUERY, Tally())


def budgets_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Throttle) for thing in gc.get_objects())


async def test_a_token_that_was_rotated_away_is_forgotten() -> None:
    async with walking(3, client=BUDGET) as world:
        before = budgets_in_memory()
        for generation in range(20):
            await fetch(world, f"generation-{generation}")
            world.clock.now += 61
        assert budgets_in_memory() - before <= 2


async def test_no_budget_begins_anew_because_other_tokens_came() -> None:
    async with walking(3, client=BUDGET) as world:
        for _ in range(5):
            await fetch(world, "spent")
        began = world.clock.now
        world.clock.now += 59
        for other in range(20):
            await fetch(world, f"other-{other}")
        await fetch(world, "spent")
        assert world.clock.now >= began + 60


async def test_no_block_ends_because_other_tokens_came() -> None:
    async with walking(3, client=ONCE) as world:
        world.account.script = lambda nth, _seen: Throttled(300) if nth == 1 else None
        began = world.clock.now
        with pytest.raises(RateLimited):
            await fetch(world, "blocked")
        # By now nothing counts any more of what the token has spent.
        world.clock.now += 120
        await fetch(world, "other")
        await fetch(world, "blocked")
        assert world.clock.now >= began + 300


async def test_a_block_counts_however_long_its_answer_took() -> None:
    async with walking(3, client=ONCE) as world:
        released = asyncio.Event()

        async def refuse_late() -> Fault:
            await released.wait()
            return Throttled(300)

        world.account.script = lambda nth, _seen: refuse_late() if nth == 1 else None
        slow = asyncio.ensure_future(fetch(world, "slow"))
        await world.api.wait_for_requests(1)
        world.clock.now += 120
        await fetch(world, "other")
        released.set()
        with pytest.raises(RateLimited):
            await slow
        began = world.clock.now
        await fetch(world, "slow")
        assert world.clock.now >= began + 300
