"""Who may ask the simulated API, and what exists there, over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncer.demo.answers import Settings
from tests.integration.simulated import ACCOUNT, BEARER, World, simulated_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with simulated_world() as made:
        yield made


# Who may ask


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param({}, 400, 9106, id="nothing"),
        pytest.param({"X-Auth-Email": "jo@example.test"}, 400, 9106, id="no key"),
        pytest.param({"X-Auth-Key": "k3y"}, 400, 9106, id="no e-mail"),
        pytest.param({"Authorization": "Bearer bad"}, 401, 10000, id="unknown token"),
        pytest.param({"Authorization": "Bearer weak"}, 403, 10000, id="no permission"),
        pytest.param({"Authorization": "Bearer other"}, 403, 9109, id="another account's"),
        pytest.param(
            {"X-Auth-Email": "jo@example.test", "X-Auth-Key": "bad"}, 403, 9103, id="unknown key"
        ),
    ],
)
async def test_a_login_without_access_is_refused(
    world: World, headers: dict[str, str], status: int, code: int
) -> None:
    got = await world.get(headers=headers)
    assert (got.status, got.code) == (status, code)
    assert got.payload["success"] is False
    assert got.payload["result"] is None


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"Authorization": "good"}, 6111),
        ({"Authorization": "Bearer "}, 6111),
        ({"Authorization": "Bearer go od"}, 6111),
        ({"Authorization": "Basic good"}, 6111),
        ({"X-Auth-Email": "jo", "X-Auth-Key": "k3y"}, 6102),
        ({"X-Auth-Email": "jo@example.test", "X-Auth-Key": "k 3 y"}, 6103),
    ],
)
async def test_a_malformed_credential_is_refused_with_its_cause(
    world: World, headers: dict[str, str], cause: int
) -> None:
    got = await world.get(headers=headers)
    (error,) = got.payload["errors"]
    assert (got.status, error["code"], error["error_chain"][0]["code"]) == (400, 6003, cause)


async def test_the_recorded_sample_of_a_malformed_credential_is_what_is_sent(world: World) -> None:
    got = await world.get(headers={"Authorization": "good"})
    message = "Invalid format for Authorization header"
    assert got.payload["errors"][0]["error_chain"] == [{"code": 6111, "message": message}]


async def test_an_unknown_token_may_also_be_answered_with_403(world: World) -> None:
    world.api.settings = Settings(unknown_token_status=403)
    got = await world.get(headers={"Authorization": "Bearer bad"})
    assert (got.status, got.code) == (403, 10000)


async def test_an_email_and_key_may_read(world: World) -> None:
    headers = {"X-Auth-Email": "jo@example.test", "X-Auth-Key": "k3y"}
    assert (await world.get(headers=headers)).status == 200
    assert world.api.requests[0].credential.startswith("key-")


async def test_some_errors_come_without_messages(world: World) -> None:
    assert "messages" not in (await world.get(headers={})).payload
    assert "messages" in (await world.get(headers={"Authorization": "Bearer bad"})).payload


# What exists


@pytest.mark.parametrize(
    ("account_id", "status", "codes"),
    [("c" * 32, 404, [7003]), ("production", 400, [7003, 7000])],
)
async def test_an_unknown_account_is_refused(
    world: World, account_id: str, status: int, codes: list[int]
) -> None:
    got = await world.get(world.url_of(account_id))
    assert (got.status, [error["code"] for error in got.payload["errors"]]) == (status, codes)


@pytest.mark.parametrize(
    "path", ["/client/v4/user", f"/accounts/{ACCOUNT}/ai-gateway/billing/invoice-history", "/"]
)
async def test_an_unknown_path_is_refused(world: World, path: str) -> None:
    got = await world.get(world.api.base_url.removesuffix("/client/v4") + path)
    assert (got.status, got.code) == (404, 7003)
    assert world.api.requests[0].account_id == ""


async def test_another_method_is_refused(world: World) -> None:
    got = await world.ask("POST", headers=BEARER)
    assert (got.status, got.code) == (405, 7001)
