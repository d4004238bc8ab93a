"""What must hold for any answer whatsoever: asserted for fuzzed inputs and for the kept ones.

An input is an answer as people write one down: the status on the first line, a header on each
further one, an empty line, then the body. What is no such head is all body.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncer.cloudflare.headers import LONGEST_WAIT_S, rate_limits, retry_after_s
from syncer.cloudflare.record import decode_record
from syncer.cloudflare.wire import Page, decode_page
from syncer.errors import CloudflareError
from syncer.invoice import Invoice, Rejection
from tests import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS = ("CF-Ray", "Retry-After", "Date", "Ratelimit", "Ratelimit-Policy")
_ONE_SAFE_LINE = re.compile(r"[\x20-\x7e…]{1,1500}")


def take_apart(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Split an input into status, headers (by the names that are asked for) and body."""
    head, end, body = data.partition(b"\n\n")
    status, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    if not end or not re.fullmatch(r"[1-5][0-9][0-9]", status):
        return 200, {}, data
    named = [line.partition(":") for line in lines]
    return int(status), {name: text.strip() for name, _, text in named if name in HEADERS}, body


def check_answer(data: bytes) -> None:
    """Decode an input in every way, and assert what must hold."""
    status, headers, body = take_apart(data)
    check_headers(headers)
    check_record(body)
    first, again = _outcome(status, headers, body), _outcome(status, headers, body)
    assert first == again
    if isinstance(first, Page):
        assert status == 200
        check_page(first, body)


def check_headers(headers: Mapping[str, str]) -> None:
    wait_s = retry_after_s(headers)
    assert wait_s is None or 0 <= wait_s <= LONGEST_WAIT_S
    for limit in rate_limits(headers):
        assert limit.remaining >= 0
        assert 0 <= limit.reset_s <= LONGEST_WAIT_S


def _outcome(status: int, headers: Mapping[str, str], body: bytes) -> object:
    """The page, or the error's type, text and particulars, which go to the tables."""
    try:
        return decode_page(status, headers, body)
    except CloudflareError as caught:
        error = caught
    assert _ONE_SAFE_LINE.fullmatch(str(error)), str(error)
    assert error.ray_id is None or _is_storable(error.ray_id)
    return type(error), str(error), error.codes, error.ray_id, error.retry_after_s


def check_page(page: Page, body: bytes) -> None:
    for record in page.records:
        assert isinstance(record, Invoice | Rejection)
        check_shape(record)
    assert isinstance(page.has_more, bool)
    try:
        document = reading.read(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return  # one bad record; what became of it was checked above
    records = document.get("result").get("invoices")
    assert document.get("success") is True
    assert len(records) == len(page.records)
    for record, told in zip(page.records, records, strict=True):
        check_against(record, told)


def check_record(raw: bytes) -> None:
    record = decode_record(raw)
    assert record == decode_record(raw)
    check_shape(record)
    try:
        told = reading.read(raw)
    except (ValueError, RecursionError):
        assert isinstance(record, Rejection)
    else:
        check_against(record, told)


def check_against(record: Invoice | Rejection, told: object) -> None:
    """An invoice says what the independent reader read; a rejection has a cause."""
    faults = reading.faults(told)
    if isinstance(record, Invoice):
        assert not faults, faults
        assert isinstance(told, reading.Pairs)
        assert reading.agrees(record, told)
    else:
        assert faults or reading.is_extravagant(told), record.reason


def check_shape(record: Invoice | Rejection) -> None:
    """Everything in it is something that PostgreSQL stores."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        assert not isinstance(value, str) or _is_storable(value), name
    if isinstance(record, Rejection):
        assert record.reason
        assert len(record.digest) == 32


def _is_storable(text: str) -> bool:
    """PostgreSQL takes no NUL, and half a surrogate pair is no UTF-8."""
    return not re.search("[\0\ud800-\udfff]", text)
