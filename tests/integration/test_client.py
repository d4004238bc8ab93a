import asyncio
import gzip
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from aiohttp import web

from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.tally import Tally
from syncer.demo.account import SimulatedAccount
from syncer.demo.faults import (
    Answer,
    Cut,
    EdgeError,
    Fault,
    Hang,
    Reset,
    Rewrite,
    Throttled,
    Trickle,
)
from syncer.demo.invoices import make_history
from syncer.errors import (
    AccessDenied,
    AccountNotFound,
    CertificateRejected,
    CloudflareError,
    MalformedResponse,
    Unavailable,
)
from tests.integration.asking import QUERY, failing, fetch, play
from tests.integration.walking import ACCOUNT, ACCOUNT_ID, walking

TLS = Path(__file__).parents[1] / "tls"
QUICK = ClientSettings(base_url="", user_agent="syncer/test", request_timeout_s=2.0, max_attempts=3)


async def test_a_request_says_who_asks_and_what_it_takes() -> None:
    async with walking(3) as world:
        assert await fetch(world) == 3
        (seen,) = world.api.requests
        assert (seen.method, seen.user_agent, seen.accept) == (
            "GET",
            "syncer/test",
            "application/json",
        )
        assert dict(seen.query) == QUERY


async def test_both_ways_of_authentication_are_accepted() -> None:
    async with walking(3) as world:
        world.account.logins = {("ops@example.test", "k" * 37)}
        account = Account(ACCOUNT_ID, "a", Credential(email="ops@example.test", key="k" * 37))
        assert await fetch(world, account) == 3


@pytest.mark.parametrize(
    ("account", "kind", "status"),
    [
        (Account(ACCOUNT_ID, "a", Credential(token="wrong")), AccessDenied, 401),
        (Account(ACCOUNT_ID, "a", Credential(token="not a token")), AccessDenied, 400),
        (Account(ACCOUNT_ID, "a", Credential(email="x@y.test", key="wrong")), AccessDenied, 403),
        (Account("b" * 32, "b", Credential(token="good")), AccountNotFound, 404),
    ],
)
async def test_what_no_retry_can_mend_is_asked_once(
    account: Account, kind: type[CloudflareError], status: int
) -> None:
    async with walking(3) as world:
        error, tally = await failing(world, account)
        assert (type(error), error.status, tally.requests) == (kind, status, 1)
        assert error.ray_id == world.api.requests[0].ray_id
        assert world.clock.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        EdgeError(502),
        EdgeError(520),
        Answer(408),
        Answer(500, b'{"success":false,"errors":[],"result":null}'),
        Reset(),
        Cut(),
        Answer(200, b"<html>hello</html>"),
        Answer(200, b'{"success":true,"result":null}'),
        Rewrite(lambda payload: payload | {"result": {"invoices": []}, "result_info": None}),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_what_may_pass_is_asked_again_after_a_pause(fault: Fault) -> None:
    async with walking(3) as world:
        play(world, [fault, fault])
        tally = Tally()
        assert await fetch(world, tally=tally) == 3
        assert (tally.requests, tally.retries) == (3, 2)
        # Every send is one that we decided on: the library below adds none of its own.
        assert len(world.api.requests) == 3
        assert world.clock.slept == [0.25, 0.5]


async def test_attempts_are_bounded_and_the_last_error_stands() -> None:
    async with walking(3) as world:
        play(world, [EdgeError(500), EdgeError(500), EdgeError(500), Reset(), EdgeError(522)])
        error, tally = await failing(world)
        assert (type(error), error.status) == (Unavailable, 522)
        assert (tally.requests, tally.retries, tally.last_error) == (5, 4, error)
        assert world.clock.slept == [0.25, 0.5, 1.0, 2.0]


@pytest.mark.parametrize("fault", [Hang(None), Trickle(1, 0.05)], ids=["hang", "trickle"])
async def test_an_answer_that_does_not_end_is_given_up(fault: Fault) -> None:
    async with walking(3, client=QUICK) as world:
        play(world, [fault])
        assert await fetch(world) == 3
        assert len(world.api.requests) == 2


async def test_a_reused_connection_that_was_closed_is_not_a_hidden_second_request() -> None:
    async with walking(3) as world:
        await fetch(world)
        play(world, [None, Reset()])
        tally = Tally()
        assert await fetch(world, tally=tally) == 3
        assert (tally.requests, tally.retries, len(world.api.requests)) == (2, 1, 3)


async def test_a_connection_that_ends_before_an_answer_is_not_a_hidden_second_request() -> None:
    requests: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = CloudflareClient(
        ClientSettings(base_url=f"http://127.0.0.1:{port}", user_agent="t", max_attempts=1)
    )
    tally = Tally()
    with pytest.raises(Unavailable, match=r"the connection failed \(ServerDisconnectedError\)"):
        await client.fetch_page(ACCOUNT, QUERY, tally)
    assert (tally.requests, len(requests)) == (1, 1)
    await client.close()
    server.close()
    await server.wait_closed()


async def test_an_unreachable_host_is_unavailable_and_names_no_secret() -> None:
    client = ClientSettings(base_url="", user_agent="syncer/test", max_attempts=1)
    async with walking(3, client=client) as world:
        url = urlsplit(world.api.base_url)
        await world.api.__aexit__(None, None, None)
        error, _ = await failing(world)
        assert str(error) == (
            f"cannot connect to {url.netloc}: the connection is refused;"
            " see [cloudflare].base_url and the firewall of this host"
        )
        # The simulation is closed a second time when the test ends.


async def serve_elsewhere(
    requests: list[web.BaseRequest], ssl_context: ssl.SSLContext | None = None
) -> web.ServerRunner:
    async def answer(request: web.BaseRequest) -> web.Response:
        requests.append(request)
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
    return runner


async def test_a_redirect_takes_no_key_to_another_host() -> None:
    stolen: list[web.BaseRequest] = []
    thief = await serve_elsewhere(stolen)
    host, port = thief.addresses[0][:2]
    async with walking(3, client=QUICK) as world:
        world.account.logins = {("ops@example.test", "k" * 37)}
        account = Account(ACCOUNT_ID, "a", Credential(email="ops@example.test", key="k" * 37))
        play(world, [Answer(302, headers={"Location": f"http://{host}:{port}/"})] * 9)
        error, _ = await failing(world, account)
        assert (type(error), error.status, stolen) == (MalformedResponse, 302, [])
    await thief.cleanup()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b" " * (17 * 2**20)),
        Answer(200, gzip.compress(b" " * (200 * 2**20)), {"Content-Encoding": "gzip"}),
    ],
    ids=["large", "bomb"],
)
async def test_a_body_that_no_answer_has_is_not_read_to_its_end(answer: Answer) -> None:
    client = ClientSettings(base_url="", user_agent="syncer/test", max_attempts=1)
    async with walking(3, client=client) as world:
        play(world, [answer])
        error, _ = await failing(world)
        assert type(error) is MalformedResponse
        assert str(error) == "the answer is larger than 16 MiB"


@pytest.mark.parametrize(
    "body",
    [b"<html>hello</html>", gzip.compress(b" ") * 1025],
    ids=["not compressed", "too many members"],
)
async def test_a_body_that_cannot_be_decompressed_is_no_trouble_of_the_network(body: bytes) -> None:
    async with walking(3, client=QUICK) as world:
        play(world, [Answer(200, body, {"Content-Encoding": "gzip"})] * 3)
        error, tally = await failing(world)
        assert (type(error), str(error)) == (
            MalformedResponse,
            "the answer cannot be decompressed",
        )
        assert (error.status, error.ray_id) == (200, world.api.requests[2].ray_id)
        assert (tally.requests, tally.retries) == (3, 2)


async def test_retries_and_waits_are_told_in_the_log() -> None:
    async with walking(3) as world:
        play(world, [EdgeError(502), Throttled(60)])
        with structlog.testing.capture_logs() as events:
            await fetch(world)
    rays = [seen.ray_id for seen in world.api.requests]
    expected: list[dict[str, Any]] = [
        {
            "event": "request.retry_scheduled",
            "log_level": "warning",
            "attempt": 1,
            "delay_s": 0.25,
            "reason": "unavailable",
            "error": "the API is unavailable (HTTP 502)",
            "http_status": 502,
            "cf_ray": rays[0],
        },
        {
            "event": "request.retry_scheduled",
            "log_level": "warning",
            "attempt": 2,
            "delay_s": 60.0,
            "reason": "rate_limited",
            "error": "the API throttles this credential (HTTP 429, code 971)",
            "http_status": 429,
            "cf_ray": rays[1],
        },
    ]
    assert events == expected


async def test_an_account_that_hangs_leaves_the_others_their_share() -> None:
    client = ClientSettings(base_url="", user_agent="t", concurrent_requests=4)
    async with walking(400, client=client) as world:
        hanging = SimulatedAccount("b" * 32, {"own"}, invoices=make_history("b", 400))
        hanging.script = lambda nth, _seen: Hang(None) if nth > 1 else None
        world.api.accounts[hanging.id] = hanging
        stuck = Account(hanging.id, "b", Credential(token="own"))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.walk(account=stuck))
            with world.client.slots.sharing(ACCOUNT_ID):
                await world.api.wait_for_requests(3, account_id=hanging.id)
                walk = await world.walk()
            task.cancel()
        assert walk.listed == world.ids


async def test_a_certificate_that_is_not_trusted_is_not_asked_again() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    reached: list[web.BaseRequest] = []
    runner = await serve_elsewhere(reached, context)
    port = runner.addresses[0][1]
    client = CloudflareClient(
        ClientSettings(base_url=f"https://127.0.0.1:{port}", user_agent="syncer/test")
    )
    tally = Tally()
    with pytest.raises(CertificateRejected, match="certificate is not trusted"):
        await client.fetch_page(ACCOUNT, QUERY, tally)
    assert (tally.requests, reached) == (1, [])
    await client.close()
    await runner.cleanup()


async def test_odd_headers_of_one_answer_are_passed_over() -> None:
    async with walking(3) as world:
        play(
            world,
            [
                Answer(
                    429,
                    headers={
                        "Retry-After": "Mon, 01 Jan 2024 00:00:00 +9999999999999",
                        "Ratelimit": '"default";r=;t=',
                    },
                )
            ],
        )
        assert await fetch(world) == 3


async def test_accounts_of_one_token_do_not_queue_behind_one_that_hangs() -> None:
    client = ClientSettings(base_url="", user_agent="t", concurrent_requests=4)
    async with walking(120, client=client) as world:
        hanging = SimulatedAccount("b" * 32, {"good"}, invoices=make_history("b", 400))
        hanging.script = lambda nth, _seen: Hang(None) if nth > 1 else None
        world.api.accounts[hanging.id] = hanging
        stuck = Account(hanging.id, "b", ACCOUNT.credential)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.walk(account=stuck))
            # It has taken all that it may before the other begins.
            await world.api.wait_for_requests(4, account_id=hanging.id)
            walk = await world.walk()
            task.cancel()
        assert walk.listed == world.ids
