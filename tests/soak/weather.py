"""What goes on at the API during a soak: histories move, answers fail, tokens are rotated.

Everything happens as requests arrive, so in the middle of walks, and is drawn from one seed.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from syncer.demo.faults import (
    Answer,
    Cut,
    Delay,
    EdgeError,
    Fault,
    Hang,
    Reset,
    Rewrite,
    RewriteBytes,
    Throttled,
)
from syncer.demo.invoices import DEMO_DAY, make_invoice, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncer.demo.account import SeenRequest, SimulatedAccount
    from syncer.demo.faults import JsonObject

# One that cannot be an invoice, the same each time: it is to be kept once per account.
ODD_RECORD: Final[JsonObject] = {"amount_due": 1, "currency": "usd", "note": "no id"}


@dataclass(frozen=True, slots=True)
class Climate:
    """How often things happen, as shares of all requests.

    A spell makes the next `spell_requests` requests of an account fail alike, so that no retry
    helps.
    """

    faults: float = 0.04
    spells: float = 0.002
    spell_requests: int = 8
    moves: float = 0.15
    rotations: float = 0.01


@dataclass(slots=True)
class Weather:
    """The script of all accounts. `calm` ends everything but ordinary answers.

    `rotate` gives one account's login a successor and puts it into its file.
    """

    accounts: Sequence[SimulatedAccount]
    rotate: Callable[[random.Random], None]
    climate: Climate
    seed: int
    calm: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    _random: random.Random = field(init=False)
    _spells: dict[str, tuple[str, int]] = field(default_factory=dict)
    _deleted: list[tuple[SimulatedAccount, JsonObject]] = field(default_factory=list)
    _serial: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - to be repeated
        for account in self.accounts:
            account.script = self.answer

    def answer(self, _nth: int, seen: SeenRequest) -> Fault | None:
        """Let things happen before a request is answered, and say what goes wrong with it."""
        if self.calm:
            return None
        draw = self._random.random
        if draw() < self.climate.moves:
            self._move(self._random.choice(self.accounts))
        if draw() < self.climate.rotations:
            self.rotate(self._random)
            self.moves["token rotated"] += 1
        kind = self._next_kind(seen.account_id)
        if kind is None:
            return None
        self.faults[kind] += 1
        return KINDS[kind](self._random)

    def _next_kind(self, account_id: str) -> str | None:
        kind, left = self._spells.pop(account_id, ("", 0))
        if left:
            self._spells[account_id] = (kind, left - 1)
            return kind
        drawn = self._random.random()
        if drawn >= self.climate.faults + self.climate.spells:
            return None
        if drawn < self.climate.spells:
            kind = self._random.choice(FAILING)
            self._spells[account_id] = (kind, self.climate.spell_requests - 1)
            return kind
        return self._random.choice(tuple(KINDS))

    def _move(self, account: SimulatedAccount) -> None:
        moves = (self._appear, self._settle, self._delete, self._return, self._edit)
        (move,) = self._random.choices(moves, weights=(3, 4, 2, 1, 1))
        move(account)

    def _appear(self, account: SimulatedAccount) -> None:
        self._serial += 1
        new = make_invoice(
            f"{account.id}-later",
            self._serial,
            status=self._random.choice(("draft", "open")),
            created_at=DEMO_DAY + timedelta(minutes=self._serial),
        )
        account.invoices.insert(0, new)
        self.moves["appeared"] += 1

    def _settle(self, account: SimulatedAccount) -> None:
        position = self._position(account, "open")
        if position is None:
            return
        account.invoices[position] = settled(account.invoices[position])
        self.moves["paid"] += 1

    def _delete(self, account: SimulatedAccount) -> None:
        position = self._position(account, "draft")
        if position is None:
            return
        self._deleted.append((account, account.invoices.pop(position)))
        self.moves["deleted"] += 1

    def _return(self, _account: SimulatedAccount) -> None:
        if not self._deleted:
            return
        account, draft = self._deleted.pop(self._random.randrange(len(self._deleted)))
        account.invoices.insert(0, draft)
        self.moves["returned"] += 1

    def _edit(self, account: SimulatedAccount) -> None:
        if not account.invoices:
            return
        position = self._random.randrange(len(account.invoices))
        self._serial += 1
        account.invoices[position] = {
            **account.invoices[position],
            "description": f"Credits, revision {self._serial}",
            "revision": self._serial,
        }
        self.moves["edited"] += 1

    def _position(self, account: SimulatedAccount, status: str) -> int | None:
        having = [at for at, one in enumerate(account.invoices) if one["status"] == status]
        return self._random.choice(having) if having else None


def _without_result(payload: JsonObject) -> JsonObject:
    return {**payload, "result": None}


def _with_odd_record(payload: JsonObject) -> JsonObject:
    result: dict[str, Any] | None = payload["result"]
    if result is not None:
        result["invoices"] = [*result["invoices"], ODD_RECORD]
    return payload


# What an account does not recover from while it lasts, however often it is asked.
FAILING: Final = ("429", "500", "502", "520", "reset", "cut", "malformed", "no result")

KINDS: Final[dict[str, Callable[[random.Random], Fault]]] = {
    "429": lambda _: Throttled(1),
    "500": lambda _: Answer(500, b'{"success":false,"errors":[{"code":10013,"message":"?"}]}'),
    "502": lambda _: EdgeError(502),
    "520": lambda _: EdgeError(520),
    "reset": lambda _: Reset(),
    "cut": lambda draw: Cut(draw.random()),
    "malformed": lambda draw: RewriteBytes(_halved(draw.random())),
    "no result": lambda _: Rewrite(_without_result),
    "odd record": lambda _: Rewrite(_with_odd_record),
    "slow": lambda draw: Delay(draw.uniform(0.05, 1.0)),
    "silent": lambda _: Hang(),
}


def _halved(share: float) -> Callable[[bytes], bytes]:
    return lambda body: body[: int((len(body) - 1) * share)]
