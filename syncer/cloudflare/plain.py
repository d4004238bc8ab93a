"""A record as nearly all are: JSON text → an `Invoice`, at a third of what looking closely costs.

Pure. Whatever is not just so is none of this module's business: `record` decides about that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, TypeVar

import msgspec

from syncer.invoice import Invoice

# A primary key has to fit into an index entry; the API's own ids have 27 characters.
MAX_ID_LENGTH: Final = 255
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_LAST_SECOND)]


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """Every documented field and no other, numbers without a fraction."""

    id: _Id
    currency: _Text
    amount_due: int
    amount_paid: int
    amount_remaining: int
    status: str | None
    attempt_count: _Int64 | None
    attempted: bool | None
    auto_advance: bool | None
    created: _Seconds | None
    created_by: str | None
    description: str | None
    invoice_origin: str | None
    invoice_pdf: str | None


_Given = TypeVar("_Given", str, str | None)

_decoder = msgspec.json.Decoder(_Plain)
_FIELDS: Final = len(_Plain.__struct_fields__)
# Most texts and amounts are those of many invoices, and a walk holds thousands of them.
_amount = lru_cache(maxsize=1024)(Decimal)


@lru_cache(maxsize=128)
def _text(text: _Given) -> _Given:
    """Return the text that was the same before."""
    return text


def decode_plain(raw: bytes) -> Invoice | None:
    """Decode the record if it is plain, otherwise return None; never raises."""
    # Without a backslash no text holds a NUL or half a surrogate pair, and no name is disguised.
    # With each field there and as many colons, no name comes twice. In JSON "//" stands only within
    # texts, and so does the colon of "://".
    if b"\\" in raw or raw.count(b":") - raw.count(b"://") != _FIELDS:
        return None
    try:
        plain = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Invoice(
        id=plain.id,
        currency=_text(plain.currency),
        amount_due=_amount(plain.amount_due),
        amount_paid=_amount(plain.amount_paid),
        amount_remaining=_amount(plain.amount_remaining),
        status=_text(plain.status),
        attempt_count=plain.attempt_count,
        attempted=plain.attempted,
        auto_advance=plain.auto_advance,
        created_at=None if plain.created is None else datetime.fromtimestamp(plain.created, UTC),
        created_by=_text(plain.created_by),
        description=_text(plain.description),
        invoice_origin=_text(plain.invoice_origin),
        invoice_pdf=plain.invoice_pdf,
    )
