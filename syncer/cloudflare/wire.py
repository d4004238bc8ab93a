"""What a response means: (status, headers, body) → a `Page`, or a typed error for anything else.

Pure. The shapes are those of the API's documentation. What was served before is recognised by its
digest, and not decoded again.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from syncer.cloudflare.headers import ray_id
from syncer.cloudflare.record import decode_record
from syncer.cloudflare.refusal import refusal
from syncer.digests import (
    NO_DIGESTS,
    NOTHING_KNOWN,
    Known,
    PageDigests,
    covers_all_else,
    digest,
    without_link,
    without_links,
)
from syncer.errors import MalformedResponse
from syncer.invoice import Invoice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncer.invoice import Rejection


# Ten times what can be asked for. Millions of tiny records would take all memory, and the event
# loop for many seconds.
MAX_RECORDS: Final = 10_000
MAX_LIST_BYTES: Final = 2**20  # what may be taken apart before its records are counted
_TOO_MANY: Final = f"it holds more than {MAX_RECORDS:,} records"
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an account's invoice history, newest first.

    `unchanged` has the ids of the invoices that are known to be stored as they are, `records` all
    others. `number`, `per_page` and `total` are what the API says of itself, None where it is
    silent; `total` is the number of records over all pages, a hint only.
    """

    records: tuple[Invoice | Rejection, ...]
    has_more: bool
    number: int | None = None
    per_page: int | None = None
    total: int | None = None
    unchanged: tuple[str, ...] = ()
    digests: PageDigests = field(default=NO_DIGESTS, compare=False)

    @property
    def size(self) -> int:
        """The number of its records."""
        return len(self.records) + len(self.unchanged)


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
    invoices: msgspec.Raw
    pagination: _Pagination | None = None


class _Id(msgspec.Struct, frozen=True):
    id: str


class _Ids(msgspec.Struct, frozen=True):
    invoices: list[_Id]
    pagination: _Pagination | None = None


class _Listing(msgspec.Struct, frozen=True):
    """A successful envelope, with nothing of its invoices but who they are."""

    result: _Ids
    result_info: _Pagination | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_result = msgspec.json.Decoder(_Result)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_id = msgspec.json.Decoder(_Id)
_listing = msgspec.json.Decoder(_Listing)
_INVOICES = re.compile(rb'"invoices"\s*:\s*\[')
# What brackets enclose without any others between them; a whole text, within which no bracket
# counts; or else a bracket, a comma, or the beginning of a text without end.
_TEXT: Final = rb'"(?:[^"\\]++|\\.)*+"'
_PART: Final = re.compile(
    rb'[\[{](?:[^"\[\]{}]++|%b)*+[\]}]|%b|[\[\]{},"]' % (_TEXT, _TEXT), re.DOTALL
)
_WHITESPACE: Final = b" \t\r\n"
# No list of invoices looks like this: it shows whether what was cut out was the right one.
_CUT_OUT: Final = b"[0]"


def decode_page(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    known: Known = NOTHING_KNOWN,
    secrets: Sequence[str] = (),
) -> Page:
    """Decode the answer to one page request.

    `headers` must look names up without regard to case. `known` has the digests of what is stored
    as it was served. `secrets` are what the request was authenticated with: no error quotes them,
    should the answer hold them. Raises a `CloudflareError` for everything that is not a documented
    success: the absence of a list is never zero invoices.
    """
    if status != HTTPStatus.OK:
        raise refusal(status, headers, body, secrets)
    try:
        page = _page(body.removeprefix(codecs.BOM_UTF8), known)
    except (ValueError, RecursionError) as error:
        # Texts of msgspec and json name places and types, never values.
        raise MalformedResponse(
            f"the answer cannot be read: {error}", status=status, ray_id=ray_id(headers, secrets)
        ) from None
    if page is None:
        raise refusal(status, headers, body, secrets)
    return page


def _page(body: bytes, known: Known) -> Page | None:
    """None where the envelope says `success: false`; ValueError for what is not as documented."""
    whole = digest(without_links(body))
    recognised = _recognise(body, known.find_page(whole))
    if recognised is not None:
        return recognised
    try:
        rest, raws = _set_records_aside(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        # One bad record makes the whole document unreadable to a strict reader.
        rest, raws = _cut_records_out(body)
    _refuse_repeated_names(rest)
    envelope = _envelope.decode(rest)
    if not envelope.success:
        return None
    blocks = (_result.decode(envelope.result).pagination, envelope.result_info)
    return _with_pagination(blocks, *_decode_records(raws, whole, known))


def _recognise(body: bytes, digests: PageDigests | None) -> Page | None:
    """Build a page that was taken apart when it was new; None where there is none, or it is odd.

    Only its links may differ; what could be odd about them is that they are no JSON.
    """
    if digests is None:
        return None
    try:
        listing = _listing.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    ids = tuple([invoice.id for invoice in listing.result.invoices])
    return _with_pagination((listing.result.pagination, listing.result_info), (), ids, digests)


def _decode_records(
    raws: Sequence[bytes], whole: bytes, known: Known
) -> tuple[tuple[Invoice | Rejection, ...], tuple[str, ...], PageDigests]:
    """Decode what is not known; the ids of what is, and the digests of both."""
    records: list[Invoice | Rejection] = []
    unchanged, digests = [], []
    for raw in raws:
        text = without_link(raw)
        own = digest(text)
        known_id = _id_of(raw) if known.has_record(own) else None
        if known_id is not None:
            unchanged.append(known_id)
            digests.append(own)
            continue
        record = decode_record(raw)
        records.append(record)
        if isinstance(record, Invoice) and covers_all_else(
            raw, text, has_link=record.invoice_pdf is not None
        ):
            digests.append(own)
    page = whole if len(digests) == len(raws) else b""
    return tuple(records), tuple(unchanged), PageDigests(page=page, records=b"".join(digests))


def _id_of(raw: bytes) -> str | None:
    """Return the id in a record that was an invoice; None where its link is no JSON any more."""
    try:
        return _id.decode(raw).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _with_pagination(
    blocks: Sequence[_Pagination | None],
    records: tuple[Invoice | Rejection, ...],
    unchanged: tuple[str, ...],
    digests: PageDigests,
) -> Page:
    """Build the page from what the two blocks say, of which one may be absent."""
    told = [block for block in blocks if block is not None]
    more = {block.has_more for block in told} - {None}
    if not more:
        raise ValueError("nothing says whether there are more pages (has_more)")
    totals = [block.total_count for block in told if block.total_count is not None]
    return Page(
        records=records,
        has_more=True in more,
        number=next((block.page for block in told if block.page is not None), None),
        per_page=next((block.per_page for block in told if block.per_page is not None), None),
        total=max(totals, default=None),
        unchanged=unchanged,
        digests=digests,
    )


def _set_records_aside(body: bytes) -> tuple[bytes, list[bytes]]:
    """Split into the document with an empty list of invoices, and each record's own bytes."""
    envelope = _envelope.decode(body)
    if not envelope.success:
        return body, []
    invoices = bytes(_result.decode(envelope.result).invoices)
    if len(invoices) > MAX_LIST_BYTES and invoices.startswith(b"["):
        _split_by_brackets(invoices, 1)  # which refuses too many, before they take any memory
    records = [bytes(raw) for raw in _list.decode(invoices)]
    if len(records) > MAX_RECORDS:
        raise ValueError(_TOO_MANY)
    opening = _INVOICES.search(body)
    if opening is None or not body.startswith(invoices, opening.end() - 1):
        return body.replace(invoices, b"[]", 1), records
    # It nearly always stands where such a list begins; searching for all of it would take longer.
    return body[: opening.end()] + b"]" + body[opening.end() - 1 + len(invoices) :], records


def _cut_records_out(body: bytes) -> tuple[bytes, list[bytes]]:
    """Do the same by brackets alone, over NaN, lone surrogates, or nesting without end."""
    opening = _INVOICES.search(body)
    if opening is None:
        raise ValueError("it is not JSON, or holds no list of invoices")
    records, end = _split_by_brackets(body, opening.end())
    rest = body[: opening.end() - 1] + _CUT_OUT + body[end:]
    rest, placeholder = _set_records_aside(rest)
    if placeholder != [b"0"]:
        raise ValueError("it holds another list of invoices than the documented one")
    return rest, records


def _split_by_brackets(body: bytes, start: int) -> tuple[list[bytes], int]:
    """Each element of the list whose first one starts at `start`, and where the list ends."""
    elements, depth = [], 0
    for part in _PART.finditer(body, start):
        if part[0] == b'"':
            break
        if depth == 0 and part[0] in {b",", b"]"}:
            elements.append(body[start : part.start()].strip(_WHITESPACE))
            start = part.end()
            if part[0] == b"]":
                return list(filter(None, elements)), start
            if len(elements) == MAX_RECORDS:
                raise ValueError(_TOO_MANY)
        depth += (part[0] in {b"[", b"{"}) - (part[0] in {b"]", b"}"})
    raise ValueError("its list of invoices does not end")


def _refuse_repeated_names(document: bytes) -> None:
    """Refuse an envelope that gives a name twice: JSON leaves open which of the two counts."""

    def check(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name is given twice in the same object")

    json.loads(document, object_pairs_hook=check, parse_int=str, parse_float=str)
