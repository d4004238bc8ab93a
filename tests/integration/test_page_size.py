"""`per_page = "auto"`: whatever the API makes of 1,000, the sync is whole and costs little more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings
from syncer.cloudflare.page_size import ASK_AGAIN_S
from syncer.cloudflare.page_source import PageSource
from syncer.cloudflare.tally import Tally
from syncer.cloudflare.walk import WalkSettings
from syncer.demo.account import SimulatedAccount
from syncer.demo.answers import Settings
from syncer.demo.faults import Answer, EdgeError, Fault, Flood, Hang
from syncer.demo.invoices import make_history
from syncer.errors import Reason
from tests.integration.page_sizes import AUTO, asked, whole
from tests.integration.running import Site, of, with_account
from tests.integration.walking import ACCOUNT, walking

if TYPE_CHECKING:
    from syncer.demo.account import SeenRequest

# Two tries of a request: what a size that fails for the moment may cost.
TWO_TRIES = ClientSettings(base_url="", user_agent="syncer/test", max_attempts=2)
# Long enough for a thousand invoices on a busy machine.
ONE_SHORT_TRY = ClientSettings(
    base_url="", user_agent="syncer/test", max_attempts=1, request_timeout_s=2.0
)


async def test_an_api_that_grants_all_is_asked_a_page_for_a_thousand() -> None:
    async with walking(2500, settings=Settings(max_per_page=1000)) as world:
        for _ in range(2):
            walk = await whole(world)
            assert asked(world) == [(1, 1000), (2, 1000), (3, 1000)]
            assert (walk.pages, walk.tally.requests, walk.tally.retries) == (3, 3, 0)


async def test_the_size_in_the_configuration_is_asked_where_it_is_a_number() -> None:
    async with walking(250, settings=Settings(max_per_page=1000)) as world:
        await whole(world, WalkSettings(per_page=200))
        assert asked(world) == [(1, 200), (2, 200)]


async def test_a_smaller_size_that_is_granted_costs_no_request_and_is_kept() -> None:
    async with walking(250, settings=Settings(max_per_page=100)) as world:
        with structlog.testing.capture_logs() as logs:
            await whole(world)
        # The rest is asked in the size that came: page 2 of 1,000 would be another page.
        assert asked(world) == [(1, 1000), (2, 100), (3, 100)]
        assert logs == [{"event": "page_size.learned", "log_level": "info", "per_page": 100}]
        with structlog.testing.capture_logs() as logs:
            await whole(world)
        assert asked(world) == [(1, 100), (2, 100), (3, 100)]
        assert logs == []


async def test_what_one_account_was_granted_holds_for_the_others() -> None:
    async with walking(250, settings=Settings(max_per_page=100)) as world:
        await whole(world)
        asked(world)
        other = SimulatedAccount("b" * 32, {"other"}, invoices=make_history("other", 150))
        world.api.accounts[other.id] = other
        walk = await world.walk(AUTO, Account(other.id, "other", Credential(token="other")))
        assert (len(walk.invoices), walk.reason) == (150, None)
        assert asked(world) == [(1, 100), (2, 100)]


async def test_an_api_that_knows_one_size_alone_costs_no_request() -> None:
    async with walking(120) as world:
        await whole(world)
        assert asked(world) == [(1, 1000), (2, 50), (3, 50)]
        await whole(world)
        assert asked(world) == [(1, 50), (2, 50), (3, 50)]


@pytest.mark.parametrize("size", [1, 20])
async def test_a_size_below_the_known_one_is_never_asked(size: int) -> None:
    settings = Settings(default_per_page=size, max_per_page=size)
    async with walking(3 * size, settings=settings) as world:
        await whole(world)
        assert asked(world) == [(1, 1000), (1, 50), (2, 50), (3, 50)]
        await whole(world)
        assert asked(world) == [(1, 50), (2, 50), (3, 50)]


def refuse(status: int, code: int) -> Answer:
    errors = f'[{{"code":{code},"message":"per_page"}}]'
    return Answer(status, f'{{"success":false,"errors":{errors},"result":null}}'.encode())


@pytest.mark.parametrize("refusal", [(400, 7001), (200, 7001), (400, 1), (404, 1), (422, 1)])
async def test_a_refusal_costs_one_request_once(refusal: tuple[int, int]) -> None:
    async with walking(120) as world:

        def script(_nth: int, seen: SeenRequest) -> Fault | None:
            return refuse(*refusal) if seen.query["per_page"] != "50" else None

        world.account.script = script
        walk = await whole(world)
        assert asked(world) == [(1, 1000), (1, 50), (2, 50), (3, 50)]
        assert (walk.tally.requests, walk.tally.retries) == (4, 0)
        await whole(world)
        assert asked(world) == [(1, 50), (2, 50), (3, 50)]


async def test_an_api_that_refuses_any_size_is_asked_without_one() -> None:
    settings = Settings(refused_parameters=frozenset({"per_page"}))
    async with walking(120, settings=settings) as world:
        await whole(world)
        assert asked(world) == [(1, 1000), (1, 50), (1, 0), (2, 0), (3, 0)]
        await whole(world)
        assert asked(world) == [(1, 50), (1, 0), (2, 0), (3, 0)]


async def test_what_has_nothing_to_do_with_the_size_is_not_asked_again() -> None:
    async with walking(120) as world:
        world.account.logins = set()
        walk = await world.walk(AUTO)
        assert walk.reason is Reason.ACCESS_DENIED
        assert asked(world) == [(1, 1000)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "client"),
    [(EdgeError(524), TWO_TRIES), (Flood(17 * 2**20), TWO_TRIES), (Hang(), ONE_SHORT_TRY)],
    ids=["error", "too large", "too slow"],
)
@pytest.mark.parametrize("page", ["1", "2"])
async def test_pages_that_are_too_large_for_the_way_are_asked_smaller(
    fault: Fault, client: ClientSettings, page: str
) -> None:
    async with walking(1020, settings=Settings(max_per_page=1000), client=client) as world:

        def script(_nth: int, seen: SeenRequest) -> Fault | None:
            return fault if (seen.query["page"], seen.query["per_page"]) == (page, "1000") else None

        world.account.script = script
        await whole(world)
        in_fifties = [(number, 50) for number in range(1, 22)]
        large = [(int(page), 1000)] * client.max_attempts + [(1, 1000)] * (page == "2")
        assert sorted(asked(world)) == sorted([*large, *in_fifties])
        await whole(world)
        assert asked(world) == in_fifties


async def test_an_outage_teaches_nothing() -> None:
    async with walking(120, settings=Settings(max_per_page=1000), client=TWO_TRIES) as world:
        world.api.outage = EdgeError(502)
        walk = await world.walk(AUTO)
        assert walk.reason is Reason.UNAVAILABLE
        assert asked(world) == [(1, 1000), (1, 1000), (1, 50), (1, 50)]
        world.api.outage = None
        await whole(world)
        assert asked(world) == [(1, 1000)]


async def test_a_total_that_is_wrong_at_any_size_teaches_nothing() -> None:
    settings = Settings(max_per_page=1000, total_count=200)
    async with walking(120, settings=settings) as world:
        for _ in range(2):
            walk = await world.walk(AUTO)
            assert (walk.reason, walk.listed) == (Reason.FEWER_THAN_REPORTED, None)
            assert walk.invoices.keys() == world.ids
            assert {size for page, size in asked(world) if page == 1} == {1000, 50}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (Settings(max_per_page=100), [(1, 1000), (2, 100), (3, 100)]),
        (
            Settings(max_per_page=100, oversized="refuse"),
            [(1, 1000), *((page, 50) for page in range(1, 6))],
        ),
    ],
    ids=["cut", "refused"],
)
async def test_an_answer_that_changes_is_noticed(
    later: Settings, expected: list[tuple[int, int]]
) -> None:
    async with walking(250, settings=Settings(max_per_page=1000)) as world:
        await whole(world)
        assert asked(world) == [(1, 1000)]
        world.api.settings = later
        await whole(world)
        assert asked(world) == expected


async def test_what_is_stored_already_is_on_a_page_all_the_same(here: Site) -> None:
    here.add("production", 250)
    for sizes in (["1000", "100", "100"], ["100", "100", "100"], ["100", "100", "100"]):
        here.api.settings = Settings(max_per_page=100)
        here.api.requests.clear()
        result = await here.run(with_account(walk=AUTO))
        assert (result.status, of(result, "production").fetched) == ("succeeded", 250)
        assert [seen.query["per_page"] for seen in here.api.requests] == sizes


async def test_a_day_later_the_most_is_asked_again() -> None:
    async with walking(250, settings=Settings(max_per_page=100)) as world:
        await whole(world)
        world.api.settings = Settings(max_per_page=1000)
        asked(world)
        world.clock.now += ASK_AGAIN_S - 1
        await whole(world)
        assert asked(world) == [(1, 100), (2, 100), (3, 100)]
        world.clock.now += 1
        await whole(world)
        assert asked(world) == [(1, 1000)]


async def test_the_page_limit_bounds_pages_of_any_size() -> None:
    async with walking(2500, settings=Settings(max_per_page=1000)) as world:
        walk = await world.walk(WalkSettings(per_page="auto", max_pages=2))
        assert (walk.reason, len(walk.invoices)) == (Reason.PAGE_LIMIT, 2000)
        assert asked(world) == [(1, 1000), (2, 1000)]


async def test_one_page_for_a_look_is_had_in_spite_of_a_refusal() -> None:
    async with walking(120, settings=Settings(oversized="refuse")) as world:
        page = await PageSource(world.client, ACCOUNT, AUTO, Tally()).first_page()
        assert (len(page.records), page.total) == (50, 120)
        assert asked(world) == [(1, 1000), (1, 50)]
