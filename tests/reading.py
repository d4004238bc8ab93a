"""A second, exact reader of the API's records, to hold the program's own one against.

It shares no code with `syncer/cloudflare`: Python's JSON scanner, numbers as they are written, and
every rule written down once more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncer.invoice import Invoice

AMOUNTS: Final = ("amount_due", "amount_paid", "amount_remaining")
NUMBERS: Final = (*AMOUNTS, "attempt_count", "created")
BOOLEANS: Final = ("attempted", "auto_advance")
TEXTS: Final = (
    "id",
    "currency",
    "status",
    "created_by",
    "description",
    "invoice_origin",
    "invoice_pdf",
)
DOCUMENTED: Final = {*NUMBERS, *BOOLEANS, *TEXTS}
REQUIRED: Final = ("id", "currency", *AMOUNTS)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The first and the last moment of years 1 to 9999 stand for infinity.
TOO_EARLY_S: Final = Decimal(-62135596800)
TOO_LATE_S: Final = Decimal("253402300799.999999")
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    text: str

    @property
    def value(self) -> Decimal | None:
        """None for what is beyond any Decimal."""
        try:
            return Decimal(self.text)
        except InvalidOperation:
            return None


@dataclass(frozen=True)
class Pairs:
    """An object as it is written, a key that comes twice included."""

    pairs: tuple[tuple[str, Any], ...]

    def get(self, key: str) -> Any:
        return dict(self.pairs).get(key)

    def number(self, key: str) -> Decimal | None:
        found = self.get(key)
        return found.value if isinstance(found, Number) else None


def read(raw: bytes) -> Any:
    """Read strict JSON exactly; ValueError or RecursionError for what is none."""
    value = json.loads(
        raw.decode(),
        object_pairs_hook=lambda pairs: Pairs(tuple(pairs)),
        parse_int=Number,
        parse_float=Number,
        parse_constant=_refuse,
    )
    if any(isinstance(part, str) and _HALF_A_PAIR.search(part) for part, _ in parts(value)):
        raise ValueError("half a surrogate pair is no text")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def parts(value: Any, depth: int = 0) -> Iterator[tuple[Any, int]]:
    """Everything within a value, keys and itself included, and how deep it is."""
    yield value, depth
    within = value if isinstance(value, list) else ()
    if isinstance(value, Pairs):
        within = [part for pair in value.pairs for part in pair]
    for part in within:
        yield from parts(part, depth + 1)


def faults(record: Any) -> set[str]:
    """Why a record must be rejected: what is wrong with it, empty for an invoice."""
    if not isinstance(record, Pairs):
        return {"no object"}
    kinds = (
        dict.fromkeys(TEXTS, str) | dict.fromkeys(BOOLEANS, bool) | dict.fromkeys(NUMBERS, Number)
    )
    found = {
        f"{key} is of another type"
        for key, kind in kinds.items()
        if not isinstance(record.get(key), kind | None)
    }
    found |= {f"no {key}" for key in REQUIRED if record.get(key) in (None, "")}
    if isinstance(record.get("id"), str) and len(record.get("id")) > 255:
        found.add("long id")
    for part, depth in parts(record):
        if isinstance(part, Pairs) and len(dict(part.pairs)) < len(part.pairs):
            found.add("a key twice")
        if isinstance(part, str) and "\0" in part:
            found.add("NUL")
        if isinstance(part, Number) and not _fits(part.value):
            found.add("a number that numeric cannot hold")
        if depth > 102:
            found.add("deep")
    created, count = record.number("created"), record.number("attempt_count")
    if created is not None and not (
        TOO_EARLY_S < created < TOO_LATE_S and _fraction_digits(created) <= 6
    ):
        found.add("no time")
    if count is not None and not (-(2**63) <= count < 2**63 and not _fraction_digits(count)):
        found.add("no 64 bits")
    return found


def is_extravagant(record: Any) -> bool:
    """Whether a number is written so that rejecting it is fair, whatever its value is."""
    numbers = [part for part, _ in parts(record) if isinstance(part, Number)]
    return any(len(number.text) > 4000 or _is_padded_zero(number.value) for number in numbers) or (
        isinstance(record, Pairs) and _exponent(record.number("created")) < -30
    )


def agrees(invoice: Invoice, record: Pairs) -> bool:
    """Whether an invoice says what the record says, digit by digit."""
    created = None
    if invoice.created_at is not None:
        created = Decimal(f"{(invoice.created_at - EPOCH) // timedelta(microseconds=1)}e-6")
    extra = tuple((key, value) for key, value in record.pairs if key not in DOCUMENTED)
    return (
        all(getattr(invoice, key) == record.get(key) for key in TEXTS)
        and all(getattr(invoice, key) is record.get(key) for key in BOOLEANS)
        and all(_same_number(getattr(invoice, key), record.number(key)) for key in AMOUNTS)
        and created == record.number("created")
        and invoice.attempt_count == record.number("attempt_count")
        and (invoice.extra is not None) == bool(extra)
        and (invoice.extra is None or same(read(invoice.extra.encode()), Pairs(extra)))
    )


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, in whatever order their names are, to the last digit."""
    if isinstance(one, Number) and isinstance(other, Number):
        return _same_number(one.value, other.value)
    if isinstance(one, Pairs) and isinstance(other, Pairs):
        here, there = dict(one.pairs), dict(other.pairs)
        return here.keys() == there.keys() and all(same(here[key], there[key]) for key in here)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _same_number(one: Decimal | None, other: Decimal | None) -> bool:
    # 1e2 is 100, and 1.50 is not 1.5; nothing keeps the sign of a zero.
    return one == other and min(_exponent(one), 0) == min(_exponent(other), 0)


def _exponent(number: Decimal | None) -> int:
    return 0 if number is None else int(number.as_tuple().exponent)


def _fits(number: Decimal | None) -> bool:
    return number is not None and number.adjusted() < 131_072 and _exponent(number) >= -16_383


def _is_padded_zero(number: Decimal | None) -> bool:
    return number is not None and not number and abs(_exponent(number)) > 10


def _fraction_digits(number: Decimal) -> int:
    """Digits behind the point that are not mere zeros at the end."""
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    shorter = len(number.as_tuple().digits) - len(digits)
    return max(0, -_exponent(number) - shorter) if digits else 0
