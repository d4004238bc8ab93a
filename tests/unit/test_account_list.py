import json

import pytest

from syncer.cloudflare.account_list import ListedPage, decode_listed
from syncer.errors import (
    AccessDenied,
    CloudflareError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
)

ID = "a" * 32


def body(**changes: object) -> bytes:
    info = {"page": 1, "per_page": 50, "count": 1, "total_count": 3, "total_pages": 1}
    document = {"success": True, "result": [{"id": ID, "name": "one"}], "result_info": info}
    return json.dumps(document | changes).encode()


def test_a_documented_page() -> None:
    assert decode_listed(200, {}, body()) == ListedPage({ID: "one"}, number=1, total=3, pages=1)


def test_what_may_be_absent() -> None:
    page = decode_listed(200, {}, body(result_info=None, result=[{"id": ID}]))
    assert page == ListedPage({ID: ""})


@pytest.mark.parametrize(
    "changes",
    [
        {"result": [{"name": "without an id"}]},
        {"result": [{"id": ID}, {"id": "../zones"}]},
        {"result": [{"id": "a" * 33}]},
        {"result": [{"id": f"{ID[1:]}\n"}]},
        {"result": [{"id": ID, "name": 7}]},
        {"result": {"accounts": []}},
        {"result": None},
        {"result_info": {"total_count": -1}},
        {"success": "yes"},
        {"success": False},
    ],
)
def test_nothing_odd_passes_for_a_list(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedResponse):
        decode_listed(200, {}, body(**changes))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, 9109, AccessDenied), (429, 971, RateLimited), (400, 1001, RequestRejected)],
)
def test_refusals(status: int, code: int, kind: type[CloudflareError]) -> None:
    document = {"success": False, "errors": [{"code": code, "message": "no"}], "result": None}
    with pytest.raises(kind) as caught:
        decode_listed(status, {}, json.dumps(document).encode())
    assert "AI Gateway" not in str(caught.value)
    assert ("Account Settings Read" in str(caught.value)) == (kind is AccessDenied)
