import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from syncer.cloudflare.wire import Page, decode_page
from syncer.errors import (
    AccessDenied,
    AccountNotFound,
    CloudflareError,
    MalformedResponse,
    ParameterRefused,
    RateLimited,
    RequestRejected,
    Unavailable,
)
from syncer.invoice import Invoice, Rejection
from tests.patience import patience

SAMPLES = Path(__file__).parents[1] / "samples"
PAGINATION = {"has_more": True, "page": 2, "per_page": 50, "total_count": 120}
INVOICE = '{"id":"in_1","currency":"usd","amount_due":1.50,"amount_paid":0,"amount_remaining":1.50}'
RAY = {"CF-Ray": "8f1-AMS"}


def answer(invoices: str = "[]", **changes: Any) -> bytes:
    document = {
        "success": True,
        "errors": [],
        "messages": [],
        "result": {"invoices": "HERE", "pagination": PAGINATION},
        "result_info": PAGINATION,
    } | changes
    return json.dumps(document).replace('"HERE"', invoices).encode()


def failure(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> CloudflareError:
    with pytest.raises(CloudflareError) as caught:
        decode_page(status, headers or {}, body)
    return caught.value


def test_the_documented_example_is_a_page() -> None:
    page = decode_page(200, {}, (SAMPLES / "documented.json").read_bytes())
    assert (page.has_more, page.number, page.per_page, page.total) == (True, 0, 0, 0)
    assert [type(record) for record in page.records] == [Invoice]


def test_a_typical_answer_is_a_page() -> None:
    page = decode_page(200, {}, (SAMPLES / "typical.json").read_bytes())
    assert (page.has_more, page.number, page.per_page, page.total) == (False, 1, 50, 2)
    first, second = page.records
    assert isinstance(first, Invoice)
    assert isinstance(second, Invoice)
    assert (first.status, first.invoice_pdf, str(first.amount_due)) == ("open", None, "2500")
    assert (second.status, second.created_by) == ("paid", "user")
    assert second.created_at is not None
    assert second.created_at.isoformat() == "2025-11-15T00:00:00+00:00"


@pytest.mark.parametrize(
    ("sample", "status", "kind", "codes"),
    [
        ("error-400.json", 400, AccessDenied, (6003, 6111)),
        ("error-403.json", 403, AccessDenied, (10000,)),
        ("error-429.json", 429, RateLimited, (971,)),
    ],
)
def test_the_reported_errors(
    sample: str, status: int, kind: type[CloudflareError], codes: tuple[int, ...]
) -> None:
    error = failure((SAMPLES / sample).read_bytes(), status, RAY | {"Retry-After": "300"})
    assert (type(error), error.status, error.codes) == (kind, status, codes)
    assert (error.ray_id, error.retry_after_s) == ("8f1-AMS", 300.0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, 10000, AccessDenied),
        (403, 9109, AccessDenied),
        (403, 9106, AccessDenied),
        (400, 9103, AccessDenied),
        (200, 10000, AccessDenied),
        (401, None, AccessDenied),
        (403, None, AccessDenied),
        (404, 7003, AccountNotFound),
        (400, 7003, AccountNotFound),
        (404, None, AccountNotFound),
        (400, 7001, ParameterRefused),
        (200, 7001, ParameterRefused),
        (405, 7001, RequestRejected),
        (400, 1234, RequestRejected),
        (422, None, RequestRejected),
        (200, 1234, RequestRejected),
        (429, None, RateLimited),
        (403, 971, RateLimited),
        (200, 10100, RateLimited),
        (408, None, Unavailable),
        (500, 10000, Unavailable),
        (502, None, Unavailable),
        (520, None, Unavailable),
        (530, None, Unavailable),
        (302, None, MalformedResponse),
        (204, None, MalformedResponse),
        (200, None, MalformedResponse),
    ],
)
def test_status_and_code_together_tell_the_cause(
    status: int, code: int | None, kind: type[CloudflareError]
) -> None:
    errors = [] if code is None else [{"code": code, "message": "no"}]
    error = failure(answer(success=False, errors=errors, result=None), status)
    assert type(error) is kind
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b'{"errors":7}', b"[" * 99999])
def test_an_error_needs_no_envelope(body: bytes) -> None:
    assert type(failure(body, 503)) is Unavailable


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "it is not JSON"),
        (b"<!doctype html>", "it is not JSON"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}", "missing required field `success`"),
        (answer(success="yes"), "Expected `bool`, got `str`"),
        (answer(result=None), "Expected `object`, got `null`"),
        (b'{"success":true}', "Expected `object`, got `null`"),
        (answer(result={"pagination": PAGINATION}), "missing required field `invoices`"),
        (answer("null"), "Expected `array`, got `null`"),
        (answer("{}"), "Expected `array`, got `object`"),
        (answer(result={"invoices": []}, result_info=None), "nothing says whether"),
        (answer(result={"invoices": [], "pagination": {}}, result_info={}), "nothing says whether"),
        (answer(result_info=PAGINATION | {"has_more": 1}), "Expected `bool | null`, got `int`"),
        (answer(result_info=PAGINATION | {"page": "2"}), "Expected `int | null`, got `str`"),
        (answer(result_info=PAGINATION | {"total_count": -1}), "Expected `int` >= 0"),
        (answer(result_info=PAGINATION | {"total_count": 2**63}), "Expected `int` <= "),
        (answer(f"[{INVOICE}")[:-40], "its list of invoices does not end"),
        (answer(f"[{INVOICE}, {{"), "its list of invoices does not end"),
        (b'{"success":true,"result":{"invoices":[' + b"[" * 100_000, "does not end"),
        (answer()[:-1] + b",}", "JSON is malformed"),
    ],
)
def test_what_is_not_as_documented_is_never_an_empty_page(body: bytes, text: str) -> None:
    error = failure(body, headers=RAY)
    assert type(error) is MalformedResponse
    assert text in str(error)
    assert (error.status, error.ray_id) == (200, "8f1-AMS")


@pytest.mark.parametrize(
    ("pagination", "info", "page"),
    [
        (PAGINATION, None, Page((), has_more=True, number=2, per_page=50, total=120)),
        (None, PAGINATION, Page((), has_more=True, number=2, per_page=50, total=120)),
        ({"has_more": False}, None, Page((), has_more=False)),
        (
            {"has_more": False, "total_count": 7},
            {"has_more": True, "page": 3, "total_count": 9},
            Page((), has_more=True, number=3, total=9),
        ),
    ],
)
def test_both_places_of_pagination_count_and_the_more_demanding_wins(
    pagination: object, info: object, page: Page
) -> None:
    body = answer(result={"invoices": [], "pagination": pagination}, result_info=info)
    assert decode_page(200, {}, body) == page


@pytest.mark.parametrize(
    "bad",
    [
        '{"amount_due":NaN}',
        '{"amount_due":-Infinity}',
        '{"id":"\\ud800"}',
        '{"id":"a\x01b"}',
        '{"id":1} ',
        '{"id":}',
        '{"id" "in_1"}',
        '{"a":"x" "b":"]"}',
        '{"deep":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_one_bad_record_does_not_cost_its_page(bad: str) -> None:
    page = decode_page(200, {}, answer(f"[{INVOICE}, {bad},\n{INVOICE}]"))
    kinds = [type(record) for record in page.records]
    assert sorted(kinds, key=str) == [Invoice, Invoice, Rejection]
    (rejection,) = (record for record in page.records if isinstance(record, Rejection))
    assert rejection.payload == bad.strip()
    assert (page.has_more, page.number, page.total) == (True, 2, 120)


@pytest.mark.parametrize("first", [INVOICE, "NaN", '{"a":[[{}],"]"]}'])
def test_a_page_has_ten_thousand_records_at_most(first: str) -> None:
    invoices = first + ",0" * 9_999
    assert len(decode_page(200, {}, answer(f"[{invoices}]")).records) == 10_000
    error = failure(answer(f"[{invoices},0]"), headers=RAY)
    assert type(error) is MalformedResponse
    assert str(error) == "the answer cannot be read: it holds more than 10,000 records"
    assert (error.status, error.ray_id) == (200, "8f1-AMS")


def test_a_record_of_many_parts_is_one() -> None:
    large = "[" + ",".join(["0", '{"a":[1,2]}', '"],["'] * 10_000) + "]"
    record = INVOICE[:-1] + f',"note":{large}}}'
    page = decode_page(200, {}, answer(f"[{record},{record}]"))
    assert [type(one) for one in page.records] == [Invoice, Invoice]


@pytest.mark.parametrize("bad", ["0", "NaN"])
def test_millions_of_records_are_refused_before_they_take_memory(bad: str) -> None:
    body = answer(f"[{'0,' * 2**21}{bad}]")
    tracemalloc.start()
    try:
        error = failure(body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "more than 10,000 records" in str(error)
    assert peak_bytes < 64 * 2**20


@pytest.mark.parametrize(
    "piece", ['"', '"\\', '\\"', "[", '{"', '{"a\\"', '{"a":"",', '[""', "[]{", '[{"a":"]"}']
)
def test_however_many_parts_seem_to_begin_each_is_looked_through_once(piece: str) -> None:
    body = answer("[NaN,HERE]").partition(b"HERE")[0] + piece.encode() * (2**20 // len(piece))
    with patience():
        assert "does not end" in str(failure(body))


def test_a_list_of_other_invoices_is_not_taken_for_the_documented_one() -> None:
    body = answer(f"[{INVOICE}]", messages=[{"invoices": "OTHERS"}]).replace(b'"OTHERS"', b"[NaN]")
    assert type(failure(body)) is MalformedResponse


def test_bytes_that_are_no_text_cost_one_record() -> None:
    body = answer(f"[{INVOICE},BAD]").replace(b"BAD", b'{"id":"\xff"}')
    kinds = [type(record) for record in decode_page(200, {}, body).records]
    assert kinds == [Invoice, Rejection]


def test_an_unsuccessful_answer_with_a_bad_record_is_an_error() -> None:
    body = answer("[NaN]", success=False, errors=[{"code": 10000}])
    assert type(failure(body)) is MalformedResponse  # its errors cannot be read either


def test_a_byte_order_mark_is_no_reason_to_fail() -> None:
    assert decode_page(200, {}, b"\xef\xbb\xbf" + answer()).total == 120


@pytest.mark.parametrize("ray", ["", "8f1 AMS", "8f1\udcff", "8f1\x00", "é", "x" * 101])
@pytest.mark.parametrize(("status", "body"), [(503, b""), (200, b"")])
def test_a_ray_that_is_none_is_left_out(ray: str, status: int, body: bytes) -> None:
    assert failure(body, status, {"CF-Ray": ray}).ray_id is None


def test_a_rejected_request_says_why_but_no_secret() -> None:
    token = "v1.0-e24fd090c02efcfecb4de8f4ff246fd5c75b48946fdf0ce26c59f91d0d90797b"
    message = f"per_page is too large for {token}, see https://x.test/?k=1\n" + "so " * 34
    message += token
    error = failure(answer(success=False, errors=[{"code": 1004, "message": message}]), 400)
    assert "per_page is too large" in str(error)
    assert "e24fd090c02" not in str(error)
    assert "x.test" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 300


def test_an_error_of_many_codes_stays_short() -> None:
    errors = [{"code": code, "message": "no"} for code in range(100_000)]
    error = failure(answer(success=False, errors=errors), 400)
    assert len(str(error)) < 300


def test_an_integer_beyond_all_codes_is_none() -> None:
    codes = (10**4000, -1, 10**9 + 1, 10**9, 0)
    errors = [{"code": code, "message": "no"} for code in codes]
    error = failure(answer(success=False, errors=errors), 400)
    assert error.codes == (10**9, 0)
    assert len(str(error)) < 300
    assert failure(answer(success=False, errors=errors[:3]), 400).codes == ()


def test_codes_of_a_chain_are_found_and_odd_entries_passed_over() -> None:
    errors = ["odd", {"code": "7003"}, {"code": True}, {"code": 1, "error_chain": [{"code": 7003}]}]
    error = failure(answer(success=False, errors=errors), 400)
    assert type(error) is AccountNotFound
    assert error.codes == (1, 7003)


TOKEN = "v4jRq0kQbPzX8mW2nT6yL1sD9fGhJ3aUcEoI5xZB"


def test_the_ray_id_is_one_or_none() -> None:
    for text in (TOKEN, "c2547eb745079dac9320b638f5e225cf483cc", "", "x y", "\x00", "\udcff"):
        assert failure(b"", 502, {"CF-Ray": text}).ray_id is None
    for text in ("8f1a2b3c4d5e6f70-AMS", "8f1a2b3c4d5e6f70"):
        assert failure(b"", 502, {"CF-Ray": text}).ray_id == text


@pytest.mark.parametrize("secret", ["s3cr.t!", "jo@ex.test", "a/b+c~d", TOKEN])
def test_a_credential_that_is_echoed_is_not_quoted(secret: str) -> None:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    forms = (secret, quote(secret, safe=""), encoded)
    errors = [{"code": 1234, "message": f"not {', '.join(forms)} here"}]
    with pytest.raises(RequestRejected) as caught:
        decode_page(400, {}, answer(success=False, errors=errors, result=None), secrets=[secret])
    assert str(caught.value).endswith(": not …, …, … here")
