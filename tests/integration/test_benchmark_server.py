"""The server that the benchmark measures against."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from benchmarks.api import DIRECT, Api, own_api
from benchmarks.clients import receiving
from benchmarks.processes import Failed, run_measured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[Api]:
    with own_api(2, 120) as running:
        yield running


def ask(api: Api, query: str, *, account: int = 0, credential: int = 0) -> tuple[int, Any]:
    status, _, body = answer_to(api, query, account=account, credential=credential)
    return status, body


def answer_to(api: Api, query: str, *, account: int, credential: int) -> tuple[int, Message, Any]:
    path = f"/accounts/{account:032x}/ai-gateway/billing/invoice-history?type=all&{query}"
    headers = {"Authorization": f"Bearer token-{credential}"}
    request = Request(api.base_url + path, headers=headers)  # noqa: S310
    try:
        with DIRECT.open(request) as answer:
            return answer.status, answer.headers, json.load(answer)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, json.load(refusal)


@pytest.mark.parametrize(
    ("query", "shown", "more"),
    [
        ("page=1&per_page=50", 50, True),
        ("page=3&per_page=50", 20, False),
        ("page=4&per_page=50", 0, False),
        ("page=1&per_page=200", 120, False),
        ("page=1&per_page=5000", 120, False),
    ],
)
def test_it_serves_pages_of_the_size_asked_for(
    api: Api, query: str, shown: int, more: bool
) -> None:
    status, body = ask(api, query)
    assert status == 200
    assert len(body["result"]["invoices"]) == shown
    pagination = body["result"]["pagination"]
    assert (pagination["has_more"], pagination["total_count"]) == (more, 120)
    assert body["result_info"] == pagination


def test_it_counts_pages_and_no_commands(api: Api) -> None:
    assert api.tell("state")["first_request_at"] is None
    ask(api, "page=1&per_page=50")
    assert ask(api, "page=1&per_page=50", account=2)[0] == 404
    state = api.tell("state")
    assert state["requests"] == 2
    assert state["first_request_at"] < state["last_request_at"]
    assert api.tell("reset")["requests"] == 0
    with pytest.raises(Failed, match="no command nonsense"):
        api.tell("nonsense")


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_asked_for_it(
    api: Api, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert api.tell("state")["requests"] == 0
    client = receiving(api)
    assert name not in client.full_environ()
    run_measured(client.command, environ=client.full_environ(), directory=tmp_path)
    assert api.tell("state")["requests"] == 6


def test_past_its_limit_it_refuses_the_credential_and_counts_it(api: Api) -> None:
    api.tell("limit?requests=2&seconds=60")
    told = [answer_to(api, "page=1&per_page=50", account=0, credential=0) for _ in range(4)]
    assert [status for status, _, _ in told] == [200, 200, 429, 429]
    assert told[0][1]["Ratelimit"] == '"default";r=1;t=60'
    assert told[0][1]["Ratelimit-Policy"] == '"default";q=2;w=60'
    assert 0 < int(told[3][1]["Retry-After"]) <= 60
    assert ask(api, "page=1&per_page=50", credential=1)[0] == 200
    assert api.tell("state")["throttled"] == 2
    api.tell("limit?requests=0&seconds=60")
    assert ask(api, "page=1&per_page=50")[0] == 200


def test_what_it_serves_moves_on_when_it_is_told_to(api: Api) -> None:
    before = ask(api, "page=1&per_page=200")[1]["result"]["invoices"]
    assert api.tell("change")["changed"] == 3
    api.tell("renew")
    after = ask(api, "page=1&per_page=200")[1]["result"]["invoices"]
    pairs = list(zip(before, after, strict=True))
    # The draft has no link.
    assert sum(old["invoice_pdf"] == new["invoice_pdf"] for old, new in pairs) == 1
    assert sum(old["description"] != new["description"] for old, new in pairs) == 2
