"""What can go wrong with a request to the simulated API, over real HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from syncer.demo.account import SeenRequest, SimulatedAccount
from syncer.demo.api import SimulatedApi
from syncer.demo.faults import (
    Answer,
    Cut,
    Delay,
    EdgeError,
    Fault,
    Flood,
    Hang,
    Reset,
    ResetWithin,
    Rewrite,
    RewriteBytes,
    Trickle,
    WrongLength,
)
from tests.integration.simulated import (
    ACCOUNT,
    BEARER,
    OTHER,
    Clock,
    World,
    once,
    simulated_world,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with simulated_world() as made:
        yield made


async def test_a_script_sees_each_request_and_may_change_the_account(world: World) -> None:
    pages: list[tuple[int, str]] = []

    async def remove_the_newest(nth: int, seen: SeenRequest) -> None:
        pages.append((nth, seen.query["page"]))
        if nth == 2:
            del world.account.invoices[0]

    world.account.script = remove_the_newest
    ids = [one for page in (1, 2, 3) for one in (await world.get(page=page)).ids]
    assert pages == [(1, "1"), (2, "2"), (3, "3")]
    assert len(ids) == 119, "the invoice that moved from page 2 to page 1 was never seen"


async def test_a_whole_answer_replaces_the_normal_one(world: World) -> None:
    world.account.script = once(
        Answer(302, b"moved", {"Location": "/elsewhere", "CF-Ray": None, "Server": "nginx"})
    )
    async with world.session.get(world.url, headers=BEARER, allow_redirects=False) as response:
        assert (response.status, await response.read()) == (302, b"moved")
        assert response.headers["Location"] == "/elsewhere"
        assert response.headers["Server"] == "nginx"
        assert "Ratelimit" in response.headers
        assert "CF-Ray" not in response.headers


@pytest.mark.parametrize(("status", "title"), [(522, "Connection timed out"), (502, "Bad Gateway")])
async def test_the_edge_answers_html_unless_json_is_asked_for(
    world: World, status: int, title: str
) -> None:
    world.api.outage = EdgeError(status)
    got = await world.get()
    assert (got.status, got.headers["Content-Type"]) == (status, "text/html; charset=UTF-8")
    assert title.encode() in got.body
    got = await world.get(headers=BEARER | {"Accept": "application/json"})
    assert (got.status, got.payload["error_code"]) == (status, status)
    assert "errors" not in got.payload


async def test_an_outage_covers_every_account_until_it_ends(world: World) -> None:
    world.api.outage = EdgeError(503)
    statuses = [(await world.get(url)).status for url in (world.url, world.url_of(OTHER))]
    world.api.outage = None
    assert [*statuses, (await world.get()).status] == [503, 503, 200]


async def test_the_payload_can_be_rewritten_without_touching_the_account(world: World) -> None:
    def spoil(payload: dict[str, Any]) -> object:
        payload["result"]["invoices"][0]["id"] = "twisted"
        payload["success"] = False
        return payload

    world.account.script = once(Rewrite(spoil))
    got = await world.get()
    assert (got.ids[0], got.payload["success"]) == ("twisted", False)
    assert (await world.get()).ids[0] == world.account.invoices[0]["id"] != "twisted"


async def test_the_body_can_be_rewritten(world: World) -> None:
    world.account.script = once(RewriteBytes(lambda body: body[:10]))
    got = await world.get()
    assert (got.status, got.body) == (200, b'{"success"')


async def test_a_reset_connection_gives_no_answer(world: World) -> None:
    world.account.script = lambda _nth, _seen: Reset()  # aiohttp asks a second time by itself
    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await world.get()
    world.account.script = None
    assert (await world.get()).status == 200


async def test_a_cut_body_is_shorter_than_promised(world: World) -> None:
    world.account.script = once(Cut())
    async with world.session.get(world.url, headers=BEARER) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await world.get()).status == 200


async def test_a_reset_within_the_body_ends_the_answer_and_the_connection(world: World) -> None:
    world.account.script = once(ResetWithin())
    with pytest.raises(aiohttp.ClientError):
        await world.get()
    assert len(world.api.requests) == 1
    assert (await world.get()).status == 200


async def test_a_length_that_is_too_long_is_never_reached(world: World) -> None:
    world.account.script = once(WrongLength(10))
    async with world.session.get(world.url, headers=BEARER) as response:
        assert response.content_length == len(world.sent[0].body) + 10
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await world.get()).status == 200


async def test_a_length_that_is_too_short_leaves_a_rest_on_the_connection(world: World) -> None:
    world.account.script = once(WrongLength(-10))
    host, port = world.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = world.url.partition(f":{port}")[2]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n".encode())
    headers = await reader.readuntil(b"\r\n\r\n")
    body = world.sent[0].body
    assert f"Content-Length: {len(body) - 10}\r\n".encode() in headers
    assert await reader.readexactly(len(body)) == body
    writer.close()
    await writer.wait_closed()


async def test_a_flood_is_valid_and_counted(world: World) -> None:
    world.account.script = once(Flood(100_000))
    got = await world.get()
    assert (len(got.ids), got.body[:100_000].strip()) == (50, b"")
    assert world.api.flooded_bytes == [100_000]


async def test_a_flood_ends_when_nobody_reads_on(world: World) -> None:
    world.account.script = once(Flood(10**9))
    async with world.session.get(world.url, headers=BEARER) as response:
        assert await response.content.readexactly(1000) == b" " * 1000
    assert (await world.get()).status == 200
    (taken,) = world.api.flooded_bytes
    assert taken < 10**8


async def test_connections_can_be_refused_and_accepted_again(world: World) -> None:
    assert (await world.get()).status == 200  # over a connection that is kept
    await world.api.refuse_connections()
    await world.api.refuse_connections()
    for _ in range(2):
        with pytest.raises(aiohttp.ClientConnectorError):
            await world.get()
    await world.api.accept_connections()
    await world.api.accept_connections()
    assert (await world.get()).status == 200
    assert len(world.api.requests) == 2


async def test_who_is_being_answered_hears_of_the_end_of_the_connection(world: World) -> None:
    world.account.script = lambda _nth, _seen: world.api.refuse_connections()
    async with world.session.get(world.url, headers=BEARER) as response:
        assert (response.status, response.headers["Connection"]) == (200, "close")
        await response.read()
    with pytest.raises(aiohttp.ClientConnectorError):
        await world.get()


async def test_the_simulation_can_be_closed_while_it_refuses_connections() -> None:
    async with SimulatedApi() as api:
        await api.refuse_connections()


async def test_a_trickle_arrives_whole(world: World) -> None:
    world.account.script = once(Trickle(chunk_bytes=1000))
    assert len((await world.get()).ids) == 50


async def test_a_delay_ends_in_the_normal_answer(world: World) -> None:
    world.account.script = once(Delay(0.001))
    assert (await world.get()).status == 200


async def test_a_hanging_answer_comes_once_it_is_released(world: World) -> None:
    gate = asyncio.Event()
    world.account.script = once(Hang(gate))
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(world.get())
        await world.api.wait_for_requests(1, account_id=ACCOUNT)
        assert not hanging.done()
        gate.set()
    assert hanging.result().status == 200


async def test_a_client_that_gives_up_leaves_nothing_in_flight(world: World) -> None:
    world.account.script = once(Hang())
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(world.get())
        await world.api.wait_for_requests(1)
        hanging.cancel()
    assert (await world.get()).status == 200
    assert world.api.requests[-1].in_flight == 1


async def test_a_hanging_answer_does_not_keep_the_server_from_closing() -> None:
    account = SimulatedAccount(ACCOUNT, {"good"}, script=lambda _nth, _seen: Hang())
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        async with asyncio.timeout(5), SimulatedApi([account]) as api:
            world = World(api, account, Clock(), session)
            asking = group.create_task(no_answer(world))
            await api.wait_for_requests(1)
        await asking


async def no_answer(world: World) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await world.get()


async def test_requests_at_the_same_time_are_counted(world: World) -> None:
    gate = asyncio.Event()
    world.account.script = lambda _nth, _seen: Hang(gate)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(world.get())
        await world.api.wait_for_requests(3)
        gate.set()
    assert world.api.max_in_flight == 3
    assert [seen.in_flight for seen in world.api.requests] == [1, 2, 3]


async def test_a_broken_script_is_not_taken_for_a_broken_api() -> None:
    def broken(_nth: int, _seen: SeenRequest) -> Fault | None:
        raise AssertionError("page 3 was never expected")

    account = SimulatedAccount(ACCOUNT, {"good"}, script=broken)
    api = await SimulatedApi([account]).__aenter__()
    async with aiohttp.ClientSession() as session:
        assert (await World(api, account, Clock(), session).get()).status == 500
    with pytest.raises(ExceptionGroup) as caught:
        await api.__aexit__(None, None, None)
    assert caught.group_contains(AssertionError, match="page 3 was never expected")
