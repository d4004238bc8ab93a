"""`per_page = "auto"`: the size that the API says, or shows, that it grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.answers import Settings
from syncer.demo.faults import JsonObject, Rewrite
from tests.integration.page_sizes import AUTO, asked, whole
from tests.integration.walking import World, walking

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncer.demo.account import SeenRequest


def echo(size: object) -> Callable[[JsonObject], JsonObject]:
    def edit(payload: JsonObject) -> JsonObject:
        for block in (payload["result"]["pagination"], payload["result_info"]):
            block["per_page"] = size
        return payload

    return edit


@pytest.mark.parametrize("granted", [50, 100, 1000])
@pytest.mark.parametrize("said", [None, 0, 1, 50, 100, 1000, 10**9])
async def test_an_echo_that_lies_costs_two_requests_at_the_most_and_no_invoice(
    said: int | None, granted: int
) -> None:
    async with walking(1200, settings=Settings(max_per_page=granted)) as world:
        world.account.script = lambda _nth, _seen: Rewrite(echo(said))
        one_by_one = WalkSettings(per_page="auto", concurrency=1)
        for allowed in (2, 1):
            await whole(world, one_by_one)
            sizes = {size for page, size in asked_pages(world) if page > 1}
            assert len(sizes) == 1
            # One for asking the first page again, one behind the end that a wrong total of pages
            # leads to.
            assert len(asked(world)) <= 1200 // min(sizes) + 1 + allowed


def asked_pages(world: World) -> list[tuple[int, int]]:
    return [(int(seen.query["page"]), int(seen.query["per_page"])) for seen in world.api.requests]


async def test_without_an_echo_what_a_full_page_holds_tells_the_size() -> None:
    async with walking(250, settings=Settings(max_per_page=100)) as world:
        world.account.script = lambda _nth, _seen: Rewrite(echo(None))
        await whole(world)
        assert asked(world) == [(1, 1000), (2, 100), (3, 100)]
        await whole(world)
        assert asked(world) == [(1, 100), (2, 100), (3, 100)]


@pytest.mark.parametrize("total_count", ["right", "absent"])
async def test_an_api_that_cuts_pages_but_not_what_they_skip_loses_no_invoice(
    total_count: Literal["right", "absent"],
) -> None:
    settings = Settings(max_per_page=100, oversized="misplace", total_count=total_count)
    async with walking(1050, settings=settings) as world:
        for _ in range(2):
            walk = await world.walk(AUTO)
            assert walk.reason is None
            assert walk.invoices.keys() == world.ids


@pytest.mark.parametrize("total_count", ["right", "absent"])
async def test_a_size_that_changes_within_a_walk_leaves_no_invoice_out(
    total_count: Literal["right", "absent"],
) -> None:
    before = Settings(max_per_page=100, total_count=total_count)
    after = Settings(max_per_page=50, total_count=total_count)
    async with walking(420, settings=before) as world:

        def script(nth: int, _seen: SeenRequest) -> None:
            if nth == 3:
                world.api.settings = after

        world.account.script = script
        walk = await world.walk(WalkSettings(per_page="auto", concurrency=1))
        assert walk.reason is None
        assert walk.attempts[-1].invoices.keys() == world.ids
        asked(world)
        await world.walk(AUTO)
        assert asked(world) == [(number, 50) for number in range(1, 10)]
