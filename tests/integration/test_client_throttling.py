"""How the client keeps within a budget, and waits as it is told."""

from __future__ import annotations

import asyncio

import pytest

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.watch import Unwatched
from syncer.demo.account import SimulatedAccount
from syncer.demo.answers import Settings
from syncer.demo.budget import Limit
from syncer.demo.faults import Answer, Throttled
from syncer.demo.invoices import make_history
from syncer.errors import RateLimited
from tests.integration.asking import failing, fetch, play
from tests.integration.walking import walking


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"Retry-After": "300"}, [300.0]),
        ({"Retry-After": "3"}, [3.0]),
        ({"Retry-After": "soon"}, [0.25, 0.25]),
        ({"Retry-After": None}, [0.25, 0.25]),
        (
            {
                "Retry-After": "Sun, 22 Nov 2026 10:00:30 GMT",
                "Date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            [30.0],
        ),
    ],
)
async def test_a_throttled_request_waits_as_long_as_it_is_told(
    headers: dict[str, str | None], slept: list[float]
) -> None:
    async with walking(3) as world:
        play(world, [Answer(429, b"", headers | {"Ratelimit": None})])
        assert await fetch(world) == 3
        assert sum(world.clock.slept) == pytest.approx(sum(slept), abs=0.3)
        assert world.clock.slept[0] == slept[0]


async def test_a_block_holds_the_whole_credential_and_nobody_else() -> None:
    client = ClientSettings(base_url="", user_agent="t", max_attempts=1)
    async with walking(3, client=client) as world:
        sharing = SimulatedAccount("b" * 32, {"good"}, invoices=make_history("b", 1))
        other = SimulatedAccount("c" * 32, {"own"}, invoices=make_history("c", 1))
        world.api.accounts |= {sharing.id: sharing, other.id: other}
        play(world, [Throttled(300)])
        error, _ = await failing(world)
        assert type(error) is RateLimited
        began = world.clock.now
        assert await fetch(world, Account(other.id, "c", Credential(token="own"))) == 1
        assert world.clock.now == began
        assert await fetch(world, Account(sharing.id, "b", Credential(token="good"))) == 1
        assert world.clock.now == pytest.approx(began + 300)


async def test_the_budget_is_kept_in_every_window_and_no_429_is_ever_seen() -> None:
    # One at a time, because the clock stands still while a request travels.
    client = ClientSettings(
        base_url="", user_agent="t", rate_requests=100, rate_per_s=60, concurrent_requests=1
    )
    settings = Settings(limits=(Limit("default", 120, 60),), default_per_page=1, max_per_page=1)
    async with walking(450, client=client, settings=settings) as world:
        walk = await world.walk()
        assert (walk.reason, walk.tally.retries) == (None, 0)
        times = [seen.at for seen in world.api.requests]
        assert len(times) == 450
        assert max(sum(start <= t <= start + 60 for t in times) for start in times) == 100
        # Nor is it slower than it has to be: four full windows, and the rest of the requests.
        assert world.clock.now == pytest.approx(1000 + 4 * 60, abs=1)


async def test_it_slows_down_when_the_api_says_that_little_is_left() -> None:
    client = ClientSettings(base_url="", user_agent="t", rate_requests=1000, rate_per_s=300)
    # The API grants less than we are configured for: others have spent the rest of the budget.
    settings = Settings(limits=(Limit("default", 20, 60),))
    async with walking(50 * 40, client=client, settings=settings) as world:
        walk = await world.walk()
        assert (walk.reason, walk.tally.retries) == (None, 0)
        assert len(world.api.requests) == 40


class Stopwatch(Unwatched):
    """Keeps the waits for the budget."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def throttled(self, wait_s: float, /) -> None:
        self.waits.append(wait_s)


async def test_a_wait_that_is_cut_short_counts_as_long_as_it_was() -> None:
    watch = Stopwatch()
    async with walking(3) as world:
        settings = ClientSettings(base_url=world.api.base_url, user_agent="t", rate_requests=1)
        world.client, before = CloudflareClient(settings, watch=watch), world.client
        try:
            await fetch(world)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await fetch(world)
        finally:
            await world.client.close()
            world.client = before
    (waited_s,) = watch.waits
    assert 0.01 < waited_s < 60
