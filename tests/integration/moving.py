"""A simulated account whose history moves while it is walked, and what it served meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from syncer.demo.faults import Rewrite
from syncer.demo.invoices import DEMO_DAY, make_history, make_invoice, settled
from tests.integration.witness import Moment, Sight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.demo.account import SeenRequest, SimulatedAccount
    from syncer.demo.answers import Settings
    from syncer.demo.api import SimulatedApi
    from syncer.demo.faults import JsonObject

Kind = Literal[
    "appear",
    "pay",
    "void",
    "edit",
    "relink",
    "vanish",
    "swap",
    "vanish but few",
    "come back",
    "reorder",
    "spoil",
    "lose its id",
    "mend",
]


@dataclass(frozen=True)
class Move:
    """Something that happens to the account; `at` and `to` choose a place, round and round."""

    kind: Kind
    at: int = 0
    to: int = 0


@dataclass(frozen=True)
class Timed:
    """A move that happens before the walk's so manieth request, from 1."""

    request: int
    move: Move


@dataclass(frozen=True)
class Totals:
    """What the API says its total is: the truth by turns or always, or `by` from it, or `by`."""

    kind: Literal["right", "absent", "null", "by turns", "off", "constant"]
    by: int = 0

    def of(self, listed: int, request: int) -> Literal["absent"] | int | None:
        match self.kind:
            case "absent":
                return "absent"
            case "null":
                return None
            case "constant":
                return self.by
            case "by turns" if request % 2:
                return "absent"
            case _:
                return max(0, listed + self.by)


@dataclass
class Record:
    """One record of the list; the smaller its index, the newer. What it `lacks` makes it odd."""

    index: int
    invoice: JsonObject
    lacks: Literal["amount_due", "id"] | None = None

    @property
    def id(self) -> str | None:
        return None if self.lacks == "id" else self.invoice["id"]

    @property
    def wire(self) -> JsonObject:
        return {name: value for name, value in self.invoice.items() if name != self.lacks}


@dataclass
class MovingAccount:
    """Holds the account's truth, moves it before the requests that it is told, and takes notes."""

    api: SimulatedApi
    account: SimulatedAccount
    settings: Settings
    totals: Totals
    listed: list[Record]
    gone: list[Record] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    _moves: Sequence[Timed] = ()
    _request: int = 0
    _vanished: int = 0
    _jumped: int = 0

    @property
    def is_pageable(self) -> bool:
        """Whether the API gives the page that is asked for."""
        honoured = self.settings.page_parameter == "honoured"
        return honoured and "page" not in self.settings.refused_parameters

    def begin(self, moves: Sequence[Timed]) -> None:
        """Forget what was served; `moves` are due during the walk that comes."""
        self._moves, self._request, self.sights = moves, 0, []
        self.account.script = self._script

    def come_to_rest(self) -> None:
        """Let every record be an invoice again, and the API do as it is asked."""
        self.settings = replace(
            self.settings, page_parameter="honoured", refused_parameters=frozenset()
        )
        self.totals = Totals("right")
        for record in self.listed:
            record.lacks = None

    def _script(self, _nth: int, seen: SeenRequest) -> Rewrite:
        self._request += 1
        for timed in self._moves:
            if timed.request == self._request:
                self.make(timed.move)
        self.account.invoices[:] = [record.wire for record in self.listed]
        total = self.totals.of(len(self.listed), self._request)
        self.api.settings = replace(self.settings, total_count=total)
        moment = Moment(
            listed=tuple((record.index, record.id) for record in self.listed),
            vanished=self._vanished,
            jumped=self._jumped,
        )

        def note(payload: JsonObject) -> JsonObject:
            self.sights.append(Sight.of(int(seen.query.get("page", 1)), payload, moment))
            return payload

        return Rewrite(note)

    def make(self, move: Move) -> None:
        match move.kind:
            case "appear":
                self._appear(1 + move.at % 4)
            case "come back" if self.gone:
                self._come_back(move.at)
            case "vanish but few":
                self._vanish(slice(move.at % 4, None))
            case "appear" | "come back":
                pass
            case _ if self.listed:
                self._touch(move, move.at % len(self.listed))

    def _appear(self, count: int) -> None:
        """New ones come first, as is observed of the API."""
        known = [record.index for record in (*self.listed, *self.gone)]
        for _ in range(count):
            known.append(min(known, default=1) - 1)
            self.listed.insert(0, new_record(known[-1]))

    def _come_back(self, at: int) -> None:
        back = self.gone.pop(at % len(self.gone))
        place = next((i for i, r in enumerate(self.listed) if r.index > back.index), None)
        self.listed.insert(len(self.listed) if place is None else place, back)
        self._jumped += 1

    def _vanish(self, which: slice) -> None:
        self.gone += self.listed[which]
        del self.listed[which]
        self._vanished += 1

    def _touch(self, move: Move, place: int) -> None:
        record = self.listed[place]
        invoice = record.invoice
        match move.kind:
            case "vanish":
                self._vanish(slice(place, place + 1))
            case "swap":
                self._vanish(slice(place, place + 1))
                self._appear(1)
            case "reorder":
                self.listed.insert(move.to % len(self.listed), self.listed.pop(place))
                self._jumped += 1
            case "pay":
                record.invoice = settled(invoice)
            case "void":
                record.invoice = {**invoice, "status": "void", "auto_advance": False}
            case "edit":
                record.invoice = _edited(invoice, move.to % 4)
            case "relink":
                link = None if invoice["invoice_pdf"] else f"https://pdf.test/{move.to % 3}?s=1"
                record.invoice = {**invoice, "invoice_pdf": link}
            case "spoil":
                self._odd(record, "amount_due")
            case "lose its id":
                self._odd(record, "id")
            case _:
                self._odd(record, None)

    def _odd(self, record: Record, lacks: Literal["amount_due", "id"] | None) -> None:
        # Who loses an id, or finds it again, is somebody else to whoever reads the list.
        if "id" in (lacks, record.lacks) and lacks != record.lacks:
            self._vanished += 1
            self._jumped += 1
        record.lacks = lacks


def new_record(index: int) -> Record:
    created_at = DEMO_DAY - index * timedelta(hours=36)
    invoice = make_invoice(
        "moving", index, status="open" if index % 2 else "draft", created_at=created_at
    )
    return Record(index, invoice)


def first_records(count: int) -> list[Record]:
    return [Record(index, invoice) for index, invoice in enumerate(make_history("moving", count))]


def _edited(invoice: JsonObject, variant: int) -> JsonObject:
    """Change what a person may change, and what nobody has documented; forth and back."""
    match variant:
        case 0:
            return {**invoice, "description": None, "amount_due": 1000}
        case 1:
            return {**invoice, "description": "a second thought", "created_by": None}
        case 2:
            return {**invoice, "amount_due": Decimal("10.10"), "amount_remaining": Decimal("-0.5")}
        case _:
            return {**invoice, "tax": {"rate": Decimal("0.19"), "of": ["é", None]}}
