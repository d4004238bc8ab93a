"""The values that travel from the API to the database."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec


class Invoice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One invoice, every digit as the API gave it.

    Amounts are in the currency's minor unit (cents for USD). `extra` is the JSON text of an object
    that holds the fields which the API documents nowhere, None where there are none.
    `invoice_pdf` is a link that works for whoever holds it, so the repr leaves it out.
    """

    id: str
    currency: str
    amount_due: Decimal
    amount_paid: Decimal
    amount_remaining: Decimal
    status: str | None = None
    attempt_count: int | None = None
    attempted: bool | None = None
    auto_advance: bool | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    description: str | None = None
    invoice_origin: str | None = None
    invoice_pdf: str | None = None
    extra: str | None = None

    def __repr__(self) -> str:
        return f"Invoice(id={self.id!r}, status={self.status!r})"


class Rejection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record that cannot be an invoice, with a reason that a person understands.

    `payload` is the record's JSON text as it came (it may hold a PDF link, so the repr leaves it
    out). `digest` is the SHA-256 of the record without its PDF link, which may differ at each
    fetch: the same record is kept once. `id` is the invoice's where it can be read: what is listed
    is not missing, however odd it is.
    """

    reason: str
    payload: str
    digest: bytes
    id: str | None = None

    def __repr__(self) -> str:
        return f"Rejection(reason={self.reason!r})"
