"""What a response means: (status, headers, body) → a `Page`, or a typed error for anything else.

Pure. The shapes are those of the API's documentation; statuses and codes of errors are as seen in
public reports, where both vary for one cause.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from syncer.cloudflare.headers import retry_after_s
from syncer.cloudflare.record import decode_record
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from syncer.invoice import Invoice, Rejection


BAD_CREDENTIAL_CODES: Final = frozenset({6003, 6111, 9103, 9106, 9109, 10000})
UNKNOWN_ACCOUNT_CODE: Final = 7003
REFUSED_PARAMETER_CODE: Final = 7001
THROTTLED_CODES: Final = frozenset({971, 10100})

_MEANINGS: Final[dict[type[CloudflareError], str]] = {
    AccessDenied: "access denied: the credential is wrong, or lacks the permission AI Gateway Read"
    " for this account",
    AccountNotFound: "the API knows no such account: check its id",
    ParameterRefused: "the API refuses a query parameter",
    RequestRejected: "the API rejects the request",
    RateLimited: "the API throttles this credential",
    Unavailable: "the API is unavailable",
    MalformedResponse: "the answer is not one that the API documents",
}

# Enough of the API's own words to act on, without what could be a secret or a link.
_MAX_WORDS: Final = 200
_MAX_CODES: Final = 5
_SECRET_LIKE = re.compile(r"https?://\S+|[A-Za-z0-9_\-]{20,}|[^\x20-\x7e]")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an account's invoice history, newest first.

    `number`, `per_page` and `total` are what the API says of itself, None where it is silent;
    `total` is the number of records over all pages, a hint only.
    """

    records: tuple[Invoice | Rejection, ...]
    has_more: bool
    number: int | None = None
    per_page: int | None = None
    total: int | None = None


class _Pagination(msgspec.Struct, frozen=True):
    has_more: bool | None = None
    page: _Count | None = None
    per_page: _Count | None = None
    total_count: _Count | None = None


class _Envelope(msgspec.Struct, frozen=True):
    success: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_info: _Pagination | None = None


class _Result(msgspec.Struct, frozen=True):
    invoices: list[msgspec.Raw]
    pagination: _Pagination | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_result = msgspec.json.Decoder(_Result)
# Only finds where a record ends, over NaN, lone surrogates and control characters too.
_lenient = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
_INVOICES = re.compile(r'"invoices"\s*:\s*\[')
_SEPARATOR = re.compile(r"[\s,]*")


def decode_page(status: int, headers: Mapping[str, str], body: bytes) -> Page:
    """Decode the answer to one page request.

    `headers` must look names up without regard to case. Raises a `CloudflareError` for everything
    that is not a documented success: the absence of a list is never zero invoices.
    """
    if status != HTTPStatus.OK:
        raise _error(status, headers, body)
    try:
        page = _page(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        # Texts of msgspec and json name places and types, never values.
        raise MalformedResponse(
            f"the answer cannot be read: {error}", status=status, ray_id=headers.get("CF-Ray")
        ) from None
    if page is None:
        raise _error(status, headers, body)
    return page


def _page(body: bytes) -> Page | None:
    """None where the envelope says `success: false`; ValueError for what is not as documented."""
    try:
        return _documented_page(body, aside=())
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # One bad record makes the whole document unreadable to a strict reader.
        rest, records = _set_records_aside(body)
        return _documented_page(rest, aside=records)


def _documented_page(body: bytes, *, aside: Sequence[bytes]) -> Page | None:
    envelope = _envelope.decode(body)
    if not envelope.success:
        return None
    result = _result.decode(envelope.result)
    # The same block stands in two places, of which one may be absent.
    blocks = [block for block in (result.pagination, envelope.result_info) if block is not None]
    more = {block.has_more for block in blocks} - {None}
    if not more:
        raise ValueError("nothing says whether there are more pages (has_more)")
    totals = [block.total_count for block in blocks if block.total_count is not None]
    return Page(
        records=tuple(decode_record(bytes(raw)) for raw in (*result.invoices, *aside)),
        has_more=True in more,
        number=next((block.page for block in blocks if block.page is not None), None),
        per_page=next((block.per_page for block in blocks if block.per_page is not None), None),
        total=max(totals, default=None),
    )


def _set_records_aside(body: bytes) -> tuple[bytes, list[bytes]]:
    """Split into the document with an empty list of invoices, and each record's own bytes."""
    text = body.decode(errors="surrogateescape")
    opening = _INVOICES.search(text)
    if opening is None:
        raise ValueError("it is not JSON, or holds no list of invoices")
    records = []
    position = _skip_separator(text, opening.end())
    while not text.startswith("]", position):
        start = position
        _, position = _lenient.raw_decode(text, start)
        records.append(text[start:position].encode(errors="surrogateescape"))
        position = _skip_separator(text, position)
    rest = text[: opening.end()] + text[position:]
    return rest.encode(errors="surrogateescape"), records


def _skip_separator(text: str, position: int) -> int:
    match = _SEPARATOR.match(text, position)
    return match.end() if match else position


def _error(status: int, headers: Mapping[str, str], body: bytes) -> CloudflareError:
    found = list(_api_errors(body))
    codes = tuple(code for code, _ in found)
    kind = _kind_of_error(status, frozenset(codes))
    code_text = "".join(f", code {code}" for code in codes[:_MAX_CODES])
    message = f"{_MEANINGS[kind]} (HTTP {status}{code_text})"
    if issubclass(kind, RequestRejected) and found:
        # Hidden first, then cut: half a token is no longer recognised as one.
        message += f": {_SECRET_LIKE.sub('…', found[0][1])[:_MAX_WORDS]}"
    return kind(
        message,
        status=status,
        codes=codes,
        ray_id=headers.get("CF-Ray"),
        retry_after_s=retry_after_s(headers),
    )


def _kind_of_error(status: int, codes: frozenset[int]) -> type[CloudflareError]:
    if status == HTTPStatus.TOO_MANY_REQUESTS or codes & THROTTLED_CODES:
        return RateLimited
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or codes & BAD_CREDENTIAL_CODES:
        return AccessDenied
    if status == HTTPStatus.NOT_FOUND or UNKNOWN_ACCOUNT_CODE in codes:
        return AccountNotFound
    if REFUSED_PARAMETER_CODE in codes and status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        return ParameterRefused
    if status >= HTTPStatus.BAD_REQUEST or codes:
        return RequestRejected
    return MalformedResponse


def _api_errors(body: bytes) -> Iterator[tuple[int, str]]:
    """Code and message of every error in the envelope, chained ones behind their parent."""
    try:
        document = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return
    pending = [document.get("errors")] if isinstance(document, dict) else []
    while pending:
        errors = pending.pop()
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict) and type(error.get("code")) is int:
                yield error["code"], str(error.get("message", ""))
                pending.append(error.get("error_chain"))
