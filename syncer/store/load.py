"""The first load of an account, by COPY: nothing is there yet that could be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from syncer.store.rows import INVOICE_TEXTS, in_slices
from syncer.store.statements import driver_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.invoice import Invoice

_COLUMNS: Final = (
    "account_id",
    "id",
    "currency",
    "amount_due",
    "amount_paid",
    "amount_remaining",
    "status",
    "attempt_count",
    "attempted",
    "auto_advance",
    "created_at",
    "created_by",
    "description",
    "invoice_origin",
    "invoice_pdf",
    "extra",
    "first_seen_at",
    "changed_at",
    "invoice_pdf_at",
)
_NULL: Final = r"\N"
# As a time, PostgreSQL reads this word as the beginning of the transaction, like now() in SQL.
_NOW: Final = "now"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})

# PostgreSQL refuses COPY to a role that policies for rows apply to.
_CAN_LOAD = text("""
SELECT
    NOT EXISTS (SELECT FROM invoices WHERE account_id = cast(:account_id AS text))
    AND NOT row_security_active('invoices')
""")


async def can_load(conn: AsyncConnection, account_id: str) -> bool:
    """Whether not one invoice of the account is stored, missing ones counted, and COPY allowed."""
    can: bool = (await conn.execute(_CAN_LOAD, {"account_id": account_id})).scalar_one()
    return can


async def load_invoices(
    conn: AsyncConnection, account_id: str, invoices: Sequence[Invoice]
) -> None:
    """Insert the invoices of an account that has none.

    The caller owns the transaction and holds the account's state row (`fence_account`).
    """
    driver = await driver_of(conn)
    account = _text(account_id)
    for rows in in_slices(invoices, INVOICE_TEXTS):
        # In one piece: while the driver waits for the next of several, it notices neither that the
        # connection is lost nor that time is up. And it takes bytes for the name of a file.
        piece = memoryview("".join([_row(account, invoice) for invoice in rows]).encode())
        await driver.copy_to_table("invoices", columns=_COLUMNS, source=piece, format="text")


def _row(account: str, invoice: Invoice) -> str:
    values = (
        account,
        _text(invoice.id),
        _text(invoice.currency),
        str(invoice.amount_due),
        str(invoice.amount_paid),
        str(invoice.amount_remaining),
        _text(invoice.status),
        _other(invoice.attempt_count),
        _other(invoice.attempted),
        _other(invoice.auto_advance),
        _other(invoice.created_at),
        _text(invoice.created_by),
        _text(invoice.description),
        _text(invoice.invoice_origin),
        _text(invoice.invoice_pdf),
        _text(invoice.extra),
        _NOW,
        _NOW,
        _NULL if invoice.invoice_pdf is None else _NOW,
    )
    return "\t".join(values) + "\n"


def _text(value: str | None) -> str:
    if value is None:
        return _NULL
    # Nearly no text needs it, and to look is cheaper than to translate.
    return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)


def _other(value: object) -> str:
    return _NULL if value is None else str(value)
