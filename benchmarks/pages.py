"""What the benchmark's server serves: every page as a whole HTTP answer, rendered beforehand.

Everything follows from the numbers of accounts and invoices, so each start serves the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec

from syncer.demo.invoices import make_history, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USUAL_PER_PAGE: Final = 50
ONE_OF: Final = 100  # invoices, one changes at a time
# Never so little left that whoever reads it would slow down.
PLENTY: Final = b'Ratelimit: "default";r=1199;t=300\r\nRatelimit-Policy: "default";q=1200;w=300\r\n'
OK: Final = b"HTTP/1.1 200 OK\r\n"
# Of a link what differs at each issue; its place is held in the encoded invoice.
_ISSUE: Final = b"@-ISSUE-"
_LINK: Final = (
    "https://pay.example.test/invoice/acct_1032D82eZvKYlo2C/live_{issue}"
    "YWNjdF8xMDMyRDgyZVp2S1lsbzJDLF9T{secret}LDE0NzMyMjIwMDAwNzAw0200xLR8kXRM/pdf?s=ap"
)

_encoder = msgspec.json.Encoder()


class _Amounts(msgspec.Struct):
    amount_due: int
    amount_paid: int
    amount_remaining: int
    status: str


_amounts = msgspec.json.Decoder(_Amounts)


@dataclass
class Catalogue:
    """The invoices of all accounts, the newest first, and their pages by the size asked for."""

    accounts: int
    invoices: int
    issue: int = 1
    changes: int = 0
    _records: list[list[bytes]] = field(init=False)
    _answers: dict[int, dict[bytes, list[bytes]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._records = [
            [_encoder.encode(_with_link(one)) for one in make_history(f"{number}", self.invoices)]
            for number in range(self.accounts)
        ]

    def answers(self, per_page: int) -> dict[bytes, list[bytes]]:
        """Give all pages of each account, rendered when they are asked for the first time."""
        if per_page not in self._answers:
            self._answers[per_page] = {
                b"%032x" % number: list(self._render(number, records, per_page))
                for number, records in enumerate(self._records)
            }
        return self._answers[per_page]

    def renew_links(self) -> None:
        """Issue all links anew, as the API may do at each fetch."""
        self.issue += 1
        self._render_anew()

    def change_some(self) -> int:
        """Change one invoice of a hundred, other ones each time; how many those are.

        They are spread evenly over accounts and pages: one on every second page of 50.
        """
        self.changes += 1
        changed = 0
        for number, records in enumerate(self._records):
            first = (number * 37 + self.changes * 11) % ONE_OF
            for index in range(first, len(records), ONE_OF):
                records[index] = _encoder.encode(_changed(records[index], self.changes))
                changed += 1
        self._render_anew()
        return changed

    def totals(self) -> dict[str, int]:
        """Add up what a client that has everything has stored."""
        totals = dict.fromkeys(("rows", "due", "paid", "remaining", "paid_invoices"), 0)
        for record in chain.from_iterable(self._records):
            amounts = _amounts.decode(record)
            totals["rows"] += 1
            totals["due"] += amounts.amount_due
            totals["paid"] += amounts.amount_paid
            totals["remaining"] += amounts.amount_remaining
            totals["paid_invoices"] += amounts.status == "paid"
        return totals

    def _render_anew(self) -> None:
        sizes = list(self._answers)
        self._answers.clear()
        for per_page in sizes:
            self.answers(per_page)

    def _render(self, number: int, records: Sequence[bytes], per_page: int) -> Iterable[bytes]:
        issue = b"%08d" % self.issue
        starts = range(0, max(len(records), 1), per_page)
        date = formatdate(usegmt=True).encode()
        for page, start in enumerate(starts, start=1):
            shown = records[start : start + per_page]
            more = page < len(starts)
            body = page_body(shown, page, per_page, total=len(records), more=more)
            yield _answer(body.replace(_ISSUE, issue), date, b"8f%06x%08x" % (number, page))


def page_body(
    records: Sequence[bytes], page: int, per_page: int, *, total: int, more: bool
) -> bytes:
    """Put encoded invoices into the documented envelope."""
    pagination = _encoder.encode(
        {"has_more": more, "page": page, "per_page": per_page, "total_count": total}
    )
    return (
        b'{"success":true,"errors":[],"messages":[],"result":{"invoices":[%b],"pagination":%b}'
        b',"result_info":%b}' % (b",".join(records), pagination, pagination)
    )


def _answer(body: bytes, date: bytes, ray: bytes) -> bytes:
    return b"".join(
        (
            OK,
            PLENTY,
            b"Date: %b\r\n" % date,
            b"Content-Type: application/json\r\n",
            b"Content-Length: %d\r\n" % len(body),
            b"Connection: keep-alive\r\n",
            b"CF-Ray: %b-AMS\r\n" % ray,
            b"CF-Cache-Status: DYNAMIC\r\n",
            b"Vary: Accept-Encoding\r\n",
            b"Server: cloudflare\r\n",
            b"Api-Version: 2025-11-22\r\n\r\n",
            body,
        )
    )


def _with_link(invoice: dict[str, Any]) -> dict[str, Any]:
    """Give the invoice a link of the usual length, some 170 characters."""
    link = invoice["invoice_pdf"]
    if link is None:
        return invoice
    secret = link.removesuffix("/pdf?s=ap").rpartition("_")[2]
    return {**invoice, "invoice_pdf": _LINK.format(issue=_ISSUE.decode(), secret=secret)}


def _changed(record: bytes, change: int) -> dict[str, Any]:
    """Pay what is open, and correct the amount of all else, so that every change is in the sums."""
    invoice: dict[str, Any] = msgspec.json.decode(record)
    invoice["description"] = f"AI Gateway credits, revision {change}"
    if invoice["status"] == "open":
        return settled(invoice)
    invoice["amount_due"] += 1
    invoice["amount_paid" if invoice["status"] == "paid" else "amount_remaining"] += 1
    return invoice
