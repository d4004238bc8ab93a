"""Invoices in wire shape, the same ones at each start.

Every number is derived from a hash of what it is for, so that an invoice depends neither on the
order in which others were made nor on the Python version.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from syncer.demo.faults import JsonObject

Status: TypeAlias = Literal["draft", "open", "paid", "void", "uncollectible"]

DEMO_DAY: Final = datetime(2025, 11, 22, tzinfo=UTC)
BETWEEN_INVOICES: Final = timedelta(hours=36)
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Usual top-ups in the currency's minor unit (inferred, as at Stripe): cents, yen, fils.
_TOP_UPS: Final = {
    "usd": (1000, 2500, 5000, 10000),
    "eur": (1000, 2500, 5000, 10000),
    "jpy": (1500, 4000, 8000, 15000),
    "kwd": (3000, 7500, 15000, 30000),
}
# Each n-th invoice, counted from an offset, is something other than paid.
_RARE: Final[dict[Status, tuple[int, int]]] = {
    "open": (37, 30),
    "void": (29, 12),
    "uncollectible": (41, 20),
}


def make_history(
    seed: str,
    count: int,
    *,
    currency: str = "usd",
    newest_at: datetime = DEMO_DAY,
    every: timedelta = BETWEEN_INVOICES,
) -> list[JsonObject]:
    """Make an account's invoices, newest first by `created`, as observed of the API.

    The newest is a draft, the next is open, most are paid; far down the list there are void and
    uncollectible ones, and open ones that may yet be paid.
    """
    return [
        make_invoice(
            seed,
            index,
            status=_status_at(index),
            currency=currency,
            created_at=newest_at - index * every,
        )
        for index in range(count)
    ]


def make_invoice(
    seed: str,
    index: int = 0,
    *,
    status: Status = "paid",
    currency: str = "usd",
    created_at: datetime = DEMO_DAY,
) -> JsonObject:
    """Make one invoice with every documented field, its amounts consistent with its status.

    `created` is in unix seconds, amounts are in the currency's minor unit. The PDF link is null
    until the invoice is finalised (documented by Stripe).
    """
    digest = hashlib.sha512(f"{seed}/{index}".encode()).digest()
    automatic = digest[0] % 3 > 0
    top_ups = _TOP_UPS.get(currency, _TOP_UPS["usd"])
    amount = top_ups[digest[1] % len(top_ups)]
    paid = amount if status == "paid" else 0
    link = f"https://pay.example.test/invoice/acct_{seed}/live_{_base62(digest[8:32], 30)}/pdf?s=ap"
    return {
        "amount_due": amount,
        "amount_paid": paid,
        "amount_remaining": amount - paid,
        "currency": currency,
        "id": f"in_1S{_base62(digest[32:], 22)}",
        "attempt_count": _attempts(status, digest[2]),
        "attempted": status != "draft",
        "auto_advance": status in ("draft", "open"),
        "created": int(created_at.timestamp()),
        "created_by": "auto_topup" if automatic else "user",
        "description": "AI Gateway credits",
        "invoice_origin": "auto" if automatic else "manual",
        "invoice_pdf": None if status == "draft" else link,
        "status": status,
    }


def settled(invoice: JsonObject) -> JsonObject:
    """Pay an open invoice: the same one, with status and amounts as after the payment."""
    return {
        **invoice,
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempt_count": invoice["attempt_count"] + 1,
        "auto_advance": False,
        "status": "paid",
    }


def _status_at(index: int) -> Status:
    if index == 0:
        return "draft"
    if index == 1:
        return "open"
    for status, (every, offset) in _RARE.items():
        if index % every == offset:
            return status
    return "paid"


def _attempts(status: Status, draw: int) -> int:
    match status:
        case "draft":
            return 0
        case "uncollectible":
            return 4
        case _:
            return 1 + draw % 3 // 2


def _base62(source: bytes, length: int) -> str:
    number = int.from_bytes(source)
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(digits)
