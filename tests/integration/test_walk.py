from collections.abc import Callable
from typing import Literal

import pytest

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.account import SeenRequest
from syncer.demo.answers import Settings
from syncer.demo.faults import Answer, Delay, EdgeError, Fault, JsonObject, Rewrite
from syncer.demo.invoices import make_invoice
from syncer.errors import MalformedResponse, Reason, Unavailable
from tests.integration.walking import ACCOUNT_ID, World, walking

REFUSED = frozenset({"page", "per_page"})


async def test_every_page_is_asked_once_and_all_of_it_is_proven() -> None:
    async with walking(260) as world:
        walk = await world.walk()
        assert sorted(world.asked) == ["1", "2", "3", "4", "5", "6"]
        assert {seen.query["per_page"] for seen in world.api.requests} == {"50"}
        assert {seen.query["type"] for seen in world.api.requests} == {"all"}
        assert walk.listed == walk.invoices.keys() == world.ids
        assert (walk.reason, walk.error, walk.pages, walk.total) == (None, None, 6, 260)
        assert (walk.tally.requests, walk.tally.retries) == (6, 0)


async def test_pages_behind_the_first_are_fetched_at_the_same_time() -> None:
    async with walking(400) as world:
        world.account.script = lambda _nth, _seen: Delay(0.02)
        await world.walk(WalkSettings(concurrency=4))
        assert world.api.max_in_flight == 4


async def test_an_empty_account_is_complete() -> None:
    async with walking(0) as world:
        walk = await world.walk()
        assert (walk.listed, walk.reason, walk.total) == (frozenset(), None, 0)
        assert world.asked == ["1"]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(total_count=2),
        Settings(total_count=0),
        Settings(total_count=None),
        Settings(total_count="absent"),
        Settings(pagination_in="result"),
        Settings(pagination_in="result_info"),
        Settings(default_per_page=20, max_per_page=20),
        Settings(refused_parameters=frozenset({"per_page"}), default_per_page=20),
        Settings(refused_parameters=REFUSED, default_per_page=200, max_per_page=200),
    ],
)
async def test_whatever_the_api_leaves_open_all_invoices_are_found(settings: Settings) -> None:
    async with walking(120, settings=settings) as world:
        walk = await world.walk()
        assert walk.invoices.keys() == world.ids
        assert walk.reason is None


@pytest.mark.parametrize(("invoices", "proven"), [(120, False), (50, True)])
async def test_without_a_total_several_pages_prove_no_absence(invoices: int, proven: bool) -> None:
    async with walking(invoices, settings=Settings(total_count="absent")) as world:
        walk = await world.walk()
        assert walk.reason is None
        assert walk.listed == (world.ids if proven else None)


async def test_pages_that_only_repeat_another_prove_nothing() -> None:
    async with walking(150, settings=Settings(total_count="absent")) as world:
        first_page = [dict(invoice) for invoice in world.account.invoices[:50]]

        def repeat(payload: JsonObject) -> JsonObject:
            payload["result"]["invoices"] = first_page
            return payload

        world.account.script = lambda _nth, _seen: Rewrite(repeat)
        walk = await world.walk()
        assert (walk.reason, len(walk.invoices)) == (Reason.PAGINATION_NOT_HONOURED, 50)


async def test_a_refused_parameter_costs_one_request_and_no_more() -> None:
    settings = Settings(refused_parameters=frozenset({"per_page"}))
    async with walking(120, settings=settings) as world:
        walk = await world.walk()
        assert sorted(world.asked) == ["1", "1", "2", "3"]
        assert [("per_page" in seen.query) for seen in world.api.requests].count(True) == 1
        assert walk.tally.retries == 0


async def test_without_the_page_parameter_only_one_page_can_be_had() -> None:
    async with walking(120, settings=Settings(refused_parameters=REFUSED)) as world:
        walk = await world.walk()
        assert (walk.reason, walk.listed) == (Reason.PAGINATION_NOT_HONOURED, None)
        assert len(walk.invoices) == 50
        assert len(world.asked) == 3


async def test_an_api_that_ignores_the_page_is_found_out_at_once() -> None:
    async with walking(120, settings=Settings(page_parameter="ignored")) as world:
        walk = await world.walk()
        assert (walk.reason, walk.listed) == (Reason.PAGINATION_NOT_HONOURED, None)
        assert len(walk.invoices) == 50
        assert len(world.asked) <= 3


async def test_the_same_page_for_ever_under_another_number_is_found_out_in_a_few_requests() -> None:
    async with walking(5000) as world:
        first_page = [dict(invoice) for invoice in world.account.invoices[:50]]

        def repeat(payload: JsonObject) -> JsonObject:
            payload["result"]["invoices"] = first_page
            return payload

        world.account.script = lambda _nth, _seen: Rewrite(repeat)
        walk = await world.walk()
        assert (walk.reason, walk.listed) == (Reason.PAGINATION_NOT_HONOURED, None)
        assert len(walk.invoices) == 50
        assert len(world.asked) <= 3 * (1 + 3 + 8)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(total_count=170, past_the_end="empty"),
        Settings(total_count=170, past_the_end="400"),
        Settings(total_count=170, past_the_end="404"),
        Settings(total_count=170, past_the_end="last"),
    ],
)
async def test_a_total_that_is_too_large_is_not_believed_either(settings: Settings) -> None:
    async with walking(120, settings=settings) as world:
        walk = await world.walk()
        assert (walk.reason, walk.listed) == (Reason.FEWER_THAN_REPORTED, None)
        assert walk.invoices.keys() == world.ids
        assert len(world.asked) <= 3 * 4


async def test_a_total_beyond_all_measure_costs_a_handful_of_requests() -> None:
    async with walking(120, settings=Settings(total_count=10**9)) as world:
        walk = await world.walk(WalkSettings(concurrency=2))
        assert walk.reason is Reason.FEWER_THAN_REPORTED
        assert len(world.asked) <= 3 * (3 + 2)


async def test_a_false_end_is_doubted_when_the_total_speaks_against_it() -> None:
    async with walking(120) as world:

        def end(payload: JsonObject) -> JsonObject:
            payload["result"]["pagination"]["has_more"] = False
            payload["result_info"]["has_more"] = False
            return payload

        world.account.script = lambda _nth, _seen: Rewrite(end)
        walk = await world.walk()
        assert walk.listed == world.ids


async def test_the_page_limit_keeps_what_was_fetched() -> None:
    async with walking(120) as world:
        walk = await world.walk(WalkSettings(max_pages=2))
        assert (walk.reason, walk.listed, len(walk.invoices)) == (Reason.PAGE_LIMIT, None, 100)
        assert sorted(world.asked) == ["1", "2"]


def appear(world: World) -> None:
    world.account.invoices.insert(0, make_invoice("test", -1))


def delete_a_draft(world: World) -> None:
    del world.account.invoices[10]


def reorder(world: World) -> None:
    world.account.invoices.insert(0, world.account.invoices.pop(110))


def swap_one_for_another(world: World) -> None:
    delete_a_draft(world)
    appear(world)


@pytest.mark.parametrize("change", [appear, delete_a_draft, reorder, swap_one_for_another])
@pytest.mark.parametrize("before", [2, 3])
async def test_what_moves_during_a_walk_is_seen_whole_at_the_end(
    change: Callable[[World], None], before: int
) -> None:
    async with walking(130) as world:
        first_state = world.ids

        def script(nth: int, _seen: SeenRequest) -> None:
            if nth == before:
                change(world)

        world.account.script = script
        walk = await world.walk(WalkSettings(concurrency=1))
        # Either the walk saw nothing of it, or it was repeated and shows the state after it.
        assert walk.listed in (first_state, world.ids)
        assert walk.reason is None
        assert (walk.listed == world.ids) is (len(world.asked) > 3) or change is reorder


@pytest.mark.parametrize("past_the_end", ["empty", "400", "404", "last"])
@pytest.mark.parametrize("total_count", ["right", "absent"])
async def test_a_list_that_becomes_shorter_is_walked_again_whatever_stands_behind_its_end(
    past_the_end: Literal["empty", "400", "404", "last"], total_count: Literal["right", "absent"]
) -> None:
    settings = Settings(past_the_end=past_the_end, total_count=total_count)
    async with walking(101, settings=settings) as world:

        def script(nth: int, _seen: SeenRequest) -> None:
            if nth == 3:
                delete_a_draft(world)

        world.account.script = script
        walk = await world.walk(WalkSettings(concurrency=1))
        assert (walk.reason, walk.error, len(walk.attempts[-1].invoices)) == (None, None, 100)


@pytest.mark.parametrize("total_count", [60, None])
async def test_what_a_deletion_hides_from_a_walk_is_not_called_absent(
    total_count: int | None,
) -> None:
    async with walking(130, settings=Settings(total_count=total_count)) as world:
        first_of_page_2 = world.account.invoices[50]["id"]

        def script(nth: int, _seen: SeenRequest) -> None:
            if nth == 2:
                delete_a_draft(world)

        world.account.script = script
        walk = await world.walk(WalkSettings(concurrency=1))
        assert first_of_page_2 not in walk.invoices
        assert (walk.reason, walk.listed) == (None, None)


async def test_what_never_stands_still_is_bounded_and_proves_no_absence() -> None:
    async with walking(130) as world:
        drafts = iter(range(100))

        def script(_nth: int, _seen: SeenRequest) -> None:
            world.account.invoices.append(make_invoice("restless", next(drafts)))

        world.account.script = script
        walk = await world.walk()
        assert len(world.asked) <= 3 * 4
        assert (len(walk.attempts), walk.listed) == (3, None)


async def test_an_error_on_a_middle_page_keeps_the_others_and_proves_nothing() -> None:
    async with walking(260) as world:

        def script(_nth: int, seen: SeenRequest) -> Fault | None:
            return EdgeError(522) if seen.query["page"] == "3" else None

        world.account.script = script
        walk = await world.walk(WalkSettings(concurrency=2))
        assert isinstance(walk.error, Unavailable)
        assert (walk.reason, walk.listed, walk.error.status) == (Reason.UNAVAILABLE, None, 522)
        assert 50 <= len(walk.invoices) < 260
        assert walk.tally.retries == 4


async def test_an_error_in_the_second_walk_takes_back_what_the_first_had_seen() -> None:
    async with walking(120, settings=Settings(total_count="absent")) as world:

        def script(nth: int, _seen: SeenRequest) -> Fault | None:
            if nth == 2:
                appear(world)
            return EdgeError(500) if nth > 3 else None

        world.account.script = script
        walk = await world.walk()
        assert (walk.reason, walk.listed) == (Reason.UNAVAILABLE, None)
        assert len(walk.invoices) == 120


async def test_a_refusal_of_a_page_that_must_exist_is_an_error() -> None:
    async with walking(120) as world:

        def script(_nth: int, seen: SeenRequest) -> Fault | None:
            body = b'{"success":false,"errors":[{"code":1,"message":"no"}],"result":null}'
            return Answer(400, body) if seen.query["page"] == "2" else None

        world.account.script = script
        walk = await world.walk()
        assert walk.reason is Reason.REQUEST_REJECTED
        assert walk.tally.retries == 0
        assert sorted(set(world.asked)) == ["1", "2", "3"]
        assert len(world.asked) <= 3 * 3


async def test_the_absence_of_a_list_is_not_an_empty_list() -> None:
    async with walking(120) as world:

        def forget(payload: JsonObject) -> JsonObject:
            del payload["result"]["invoices"]
            return payload

        world.account.script = lambda _nth, _seen: Rewrite(forget)
        walk = await world.walk()
        assert isinstance(walk.error, MalformedResponse)
        assert (walk.listed, walk.invoices) == (None, {})


async def test_a_record_that_cannot_be_an_invoice_is_set_aside_and_counted() -> None:
    async with walking(60) as world:
        world.account.invoices[3].pop("id")
        world.account.invoices[55]["amount_due"] = None
        # Rewritten answers are not held against the schema, which these records violate.
        world.account.script = lambda _nth, _seen: Rewrite(lambda payload: payload)
        walk = await world.walk()
        assert (len(walk.invoices), len(walk.rejections)) == (58, 2)
        assert (walk.reason, walk.total) == (None, 60)
        assert {rejection.reason for rejection in walk.rejections.values()} == {
            "id is missing",
            "amount_due is missing",
        }
        # The one without an id may be any of those that are stored.
        assert walk.listed is None


async def test_a_rejected_record_is_listed_all_the_same() -> None:
    async with walking(60) as world:
        world.account.invoices[55]["amount_due"] = None
        world.account.script = lambda _nth, _seen: Rewrite(lambda payload: payload)
        walk = await world.walk()
        assert (len(walk.invoices), len(walk.rejections)) == (59, 1)
        assert walk.listed == world.ids


@pytest.mark.parametrize("invoice_type", ["auto", "manual"])
async def test_a_type_narrows_the_walk(invoice_type: str) -> None:
    async with walking(120) as world:
        walk = await world.walk(WalkSettings(invoice_type=invoice_type))
        origins = {invoice.invoice_origin for invoice in walk.invoices.values() if invoice}
        assert origins == {invoice_type}
        assert 0 < len(walk.invoices) < 120
        assert {seen.account_id for seen in world.api.requests} == {ACCOUNT_ID}


async def test_a_refusal_of_the_documented_parameter_is_an_error() -> None:
    async with walking(3) as world:
        body = b'{"success":false,"errors":[{"code":7001,"message":"type"}],"result":null}'
        world.account.script = lambda _nth, _seen: Answer(400, body)
        walk = await world.walk()
        assert walk.reason is Reason.REQUEST_REJECTED
        assert world.asked == ["1", "1", "-"]
