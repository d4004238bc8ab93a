"""What the simulated API answers over real HTTP: pages, parameters and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest

from syncer.demo.account import SeenRequest
from syncer.demo.answers import Settings
from syncer.demo.budget import Limit
from syncer.demo.faults import Throttled
from syncer.demo.invoices import make_invoice
from syncer.demo.logins import login_label
from tests.integration.simulated import ACCOUNT, BEARER, OTHER, World, once, simulated_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with simulated_world() as made:
        yield made


async def test_the_first_page_is_the_documented_envelope(world: World) -> None:
    got = await world.get()
    pagination = {"has_more": True, "page": 1, "per_page": 50, "total_count": 120}
    assert got.status == 200
    assert got.headers["Content-Type"] == "application/json"
    assert got.payload == {
        "success": True,
        "errors": [],
        "messages": [],
        "result": {"invoices": world.account.invoices[:50], "pagination": pagination},
        "result_info": pagination,
    }


async def test_pages_cover_every_invoice_once(world: World) -> None:
    pages = [await world.get(page=page, per_page=50) for page in (1, 2, 3)]
    assert [one for page in pages for one in page.ids] == [
        invoice["id"] for invoice in world.account.invoices
    ]
    assert [page.pagination["has_more"] for page in pages] == [True, True, False]


async def test_numbers_go_over_the_wire_digit_by_digit(world: World) -> None:
    amount = Decimal("12345678901234567890.10")
    world.account.invoices = [make_invoice("tests") | {"amount_due": amount}]
    assert b'"amount_due":12345678901234567890.10,' in (await world.get()).body


async def test_an_account_without_invoices_has_one_empty_page(world: World) -> None:
    world.account.invoices = []
    got = await world.get()
    assert got.ids == []
    assert got.pagination == {"has_more": False, "page": 1, "per_page": 50, "total_count": 0}


async def test_every_request_is_remembered_without_its_secret(world: World) -> None:
    headers = BEARER | {"User-Agent": "tests/1", "Accept": "application/json"}
    got = await world.get(headers=headers, page=2)
    assert world.api.requests == [
        SeenRequest(
            nth=1,
            method="GET",
            path=f"/client/v4/accounts/{ACCOUNT}/ai-gateway/billing/invoice-history",
            account_id=ACCOUNT,
            query={"page": "2"},
            credential=login_label("good"),
            user_agent="tests/1",
            accept="application/json",
            at=1000.0,
            in_flight=1,
            ray_id=got.headers["CF-Ray"],
        )
    ]
    assert "good" not in repr(world.api.requests)
    assert "good" not in repr(world.account)


# The query


async def test_the_type_filters_by_origin(world: World) -> None:
    auto = (await world.get(type="auto", per_page=50)).pagination["total_count"]
    manual = (await world.get(type="manual", per_page=50)).pagination["total_count"]
    both = (await world.get(type="all", per_page=50)).pagination["total_count"]
    assert min(auto, manual) > 0
    assert auto + manual == both == 120


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"type": "paid"}, ["query", "type"]),
        ({"page": 0}, ["query", "page"]),
        ({"page": "first"}, ["query", "page"]),
        ({"per_page": 0}, ["query", "per_page"]),
        ({"per_page": -1}, ["query", "per_page"]),
        ({"cursor": "abc"}, ["query"]),
    ],
)
async def test_a_parameter_that_makes_no_sense_is_refused(
    world: World, query: dict[str, Any], path: list[str]
) -> None:
    got = await world.get(**query)
    assert (got.status, got.code) == (400, 7001)
    assert got.payload["errors"][0]["path"] == path


@pytest.mark.parametrize(
    ("refused", "named"),
    [({"per_page"}, "'per_page'"), ({"page", "per_page"}, "'page', 'per_page'")],
)
async def test_undocumented_parameters_may_be_refused_by_name(
    world: World, refused: set[str], named: str
) -> None:
    world.api.settings = Settings(refused_parameters=frozenset(refused))
    got = await world.get(type="all", page=1, per_page=50)
    assert (got.status, got.code) == (400, 7001)
    assert got.payload["errors"][0]["message"].endswith(f": {named}")
    assert (await world.get(type="all")).status == 200


async def test_a_page_size_that_is_too_large_is_clamped_and_the_granted_one_echoed(
    world: World,
) -> None:
    got = await world.get(per_page=1000)
    assert (len(got.ids), got.pagination["per_page"]) == (50, 50)


async def test_a_page_size_that_is_too_large_may_be_refused(world: World) -> None:
    world.api.settings = Settings(oversized="refuse")
    got = await world.get(per_page=51)
    assert (got.status, got.code) == (400, 7001)
    assert (await world.get(per_page=50)).status == 200


async def test_a_page_that_is_cut_may_begin_where_it_would_without_the_cut(world: World) -> None:
    world.api.settings = Settings(oversized="misplace")
    first, second = [await world.get(page=page, per_page=100) for page in (1, 2)]
    listed = [invoice["id"] for invoice in world.account.invoices]
    assert (first.ids, second.ids) == (listed[:50], listed[100:120])
    assert [got.pagination["has_more"] for got in (first, second)] == [True, False]


async def test_the_default_page_size_is_a_setting(world: World) -> None:
    world.api.settings = Settings(default_per_page=20, max_per_page=100)
    assert len((await world.get()).ids) == 20
    assert len((await world.get(per_page=100)).ids) == 100


async def test_page_may_be_ignored_for_ever(world: World) -> None:
    world.api.settings = Settings(page_parameter="ignored")
    first, third = await world.get(page=1), await world.get(page=3)
    assert first.body == third.body
    assert third.pagination == {"has_more": True, "page": 1, "per_page": 50, "total_count": 120}


async def test_a_page_past_the_end_is_empty(world: World) -> None:
    got = await world.get(page=4)
    assert got.ids == []
    assert got.pagination == {"has_more": False, "page": 4, "per_page": 50, "total_count": 120}


@pytest.mark.parametrize(("answer", "status", "code"), [("400", 400, 7001), ("404", 404, 7002)])
async def test_a_page_past_the_end_may_be_refused(
    world: World, answer: Literal["400", "404"], status: int, code: int
) -> None:
    world.api.settings = Settings(past_the_end=answer)
    got = await world.get(page=4)
    assert (got.status, got.code) == (status, code)
    assert (await world.get(page=3)).status == 200


async def test_a_page_past_the_end_may_be_the_last_page_again(world: World) -> None:
    world.api.settings = Settings(past_the_end="last")
    assert (await world.get(page=9)).body == (await world.get(page=3)).body


@pytest.mark.parametrize(("total", "shown"), [(7, 7), (None, None)])
async def test_the_total_may_lie_or_be_null(
    world: World, total: int | None, shown: int | None
) -> None:
    world.api.settings = Settings(total_count=total)
    pagination = (await world.get()).pagination
    assert (pagination["total_count"], pagination["has_more"]) == (shown, True)


async def test_the_total_may_be_absent(world: World) -> None:
    world.api.settings = Settings(total_count="absent")
    assert "total_count" not in (await world.get()).pagination


@pytest.mark.parametrize(
    ("place", "in_result", "in_info"),
    [("both", True, True), ("result", True, False), ("result_info", False, True)],
)
async def test_pagination_may_be_in_either_place(
    world: World, place: Literal["both", "result", "result_info"], *, in_result: bool, in_info: bool
) -> None:
    world.api.settings = Settings(pagination_in=place)
    payload = (await world.get()).payload
    assert ("pagination" in payload["result"], "result_info" in payload) == (in_result, in_info)


async def test_links_may_be_issued_anew_at_each_fetch(world: World) -> None:
    world.api.settings = Settings(pdf_links="anew")
    links = [
        (await world.get()).payload["result"]["invoices"][position]["invoice_pdf"]
        for position in (0, 1, 1)
    ]
    assert links[0] is None
    assert links[1] != links[2]
    assert "issue" not in world.account.invoices[1]["invoice_pdf"]


# How often


async def test_every_answer_tells_the_limits_and_its_ray(world: World) -> None:
    world.clock.now += 0.5
    for got in (await world.get(), await world.get(world.api.base_url), await world.get(type="?")):
        assert got.headers["Ratelimit-Policy"] == '"default";q=1200;w=300'
        assert got.headers["Ratelimit"].startswith('"default";r=1')
        assert got.headers["CF-Ray"].endswith("-SIM")
        assert "Retry-After" not in got.headers


async def test_past_the_limit_a_credential_is_blocked_for_the_following_window(
    world: World,
) -> None:
    world.api.settings = Settings(limits=(Limit("default", 2, 300),))
    assert [(await world.get()).headers["Ratelimit"] for _ in range(2)] == [
        '"default";r=1;t=300',
        '"default";r=0;t=300',
    ]
    refused = await world.get()
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, 971, "300")
    world.clock.now += 299.5
    refused = await world.get()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert (
        await world.get(world.url_of(OTHER), headers={"Authorization": "Bearer other"})
    ).ids == []
    world.clock.now += 0.5
    assert (await world.get()).status == 200


async def test_the_limit_counts_a_credential_over_all_its_accounts(world: World) -> None:
    world.api.settings = Settings(limits=(Limit("default", 1, 300),), throttle_code=10100)
    world.api.accounts[OTHER].logins.add("good")
    assert (await world.get()).status == 200
    got = await world.get(world.url_of(OTHER))
    assert (got.status, got.code) == (429, 10100)


async def test_a_script_can_throttle_one_request(world: World) -> None:
    world.account.script = once(Throttled(7))
    got = await world.get()
    assert (got.status, got.headers["Retry-After"]) == (429, "7")
    assert (await world.get()).status == 200
