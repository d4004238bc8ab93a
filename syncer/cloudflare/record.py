"""One record of the invoice history: JSON text → an `Invoice`, or a `Rejection` that says why.

Pure. Everything that PostgreSQL could refuse later is refused here, so that one odd record never
costs its page, nor its account's transaction.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from syncer.cloudflare.plain import MAX_ID_LENGTH, decode_plain
from syncer.invoice import Invoice, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

# PostgreSQL's numeric holds this many digits before and after the decimal point.
MAX_INTEGER_DIGITS: Final = 131_072
MAX_FRACTION_DIGITS: Final = 16_383
# PostgreSQL parses nested JSON recursively, on a stack of limited depth.
MAX_DEPTH: Final = 100
INT64: Final = range(-(2**63), 2**63)
MAX_INT64_DIGITS: Final = 19
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The first and the last moment of the calendar: asyncpg stores them as -infinity and infinity.
INFINITIES: Final = {datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)}
# A time with more digits than these is out of range whatever they are; asked before any
# arithmetic, which is expensive on a number such as 1e100000.
MAX_TIME_DIGITS: Final = 14
MAX_TIME_FRACTION_DIGITS: Final = 30

_DOCUMENTED: Final = frozenset(Invoice.__struct_fields__) - {"created_at", "extra"} | {"created"}
# The link's name and value in JSON, however the name is escaped; a value that is not the documented
# text may be an object or a list with links in it. Any other text is stepped over as a whole, even
# one without its end: were it looked through from within again and again, a few hundred kilobytes
# would take minutes.
_NAME: Final = "".join(rf"(?:{letter}|\\u00{ord(letter):02x})" for letter in "invoice_pdf")
_TEXT: Final = r'"(?:[^"\\]++|\\.)*+"'
_PDF_LINK: Final = re.compile(
    rf'("(?i:{_NAME})"\s*:\s*)(?:{_TEXT}|[\[{{](?:[^"\[\]{{}}]++|{_TEXT})*+[\]}}])'
    rf"|{_TEXT}?".encode(),
    re.DOTALL,
)
_decoder = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_KINDS: Final = {bool: "a boolean", str: "a text", list: "a list", dict: "an object"}


class _UnusableError(Exception):
    """Why a record cannot be an invoice; the text becomes the rejection's reason."""


def decode_record(raw: bytes) -> Invoice | Rejection:
    """Decode one element of `result.invoices`; never raises.

    Numbers are kept digit by digit. The API's documentation requires `amount_due`, `amount_paid`,
    `amount_remaining` and `currency`; `id` is required here as well, since an invoice without one
    cannot be recognised when it comes again.
    """
    return decode_plain(raw) or _decode_odd(raw)


def _decode_odd(raw: bytes) -> Invoice | Rejection:
    try:
        record = _decoder.decode(raw)
        repeated = _repeated_fields(raw, record)
        given_id = record.get("id") if "id" not in repeated else None
        return _invoice(record, repeated)
    except _UnusableError as error:
        return _rejection(str(error), raw, given_id)
    except msgspec.ValidationError:
        return _rejection("it is not an object, or holds a number of thousands of digits", raw)
    except InvalidOperation:
        return _rejection("it holds a number with an exponent beyond all bounds", raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _rejection("it is not valid JSON (perhaps NaN, or half a surrogate pair)", raw)
    except RecursionError:
        return _rejection("it is nested too deeply", raw)


def _invoice(record: dict[str, object], repeated: Sequence[str]) -> Invoice:
    if repeated:
        raise _UnusableError(f"{repeated[0]} is given twice")
    return Invoice(
        id=_id(record.pop("id", None)),
        currency=_required_text("currency", record.pop("currency", None)),
        amount_due=_amount("amount_due", record.pop("amount_due", None)),
        amount_paid=_amount("amount_paid", record.pop("amount_paid", None)),
        amount_remaining=_amount("amount_remaining", record.pop("amount_remaining", None)),
        status=_text("status", record.pop("status", None)),
        attempt_count=_integer("attempt_count", record.pop("attempt_count", None)),
        attempted=_boolean("attempted", record.pop("attempted", None)),
        auto_advance=_boolean("auto_advance", record.pop("auto_advance", None)),
        created_at=_time("created", record.pop("created", None)),
        created_by=_text("created_by", record.pop("created_by", None)),
        description=_text("description", record.pop("description", None)),
        invoice_origin=_text("invoice_origin", record.pop("invoice_origin", None)),
        invoice_pdf=_text("invoice_pdf", record.pop("invoice_pdf", None)),
        extra=_extra(record),
    )


def _repeated_fields(raw: bytes, record: dict[str, object]) -> list[str]:
    """What is given twice: documented fields by their names, then any others as one.

    JSON leaves open which of the two counts; the decoder took the last.
    """
    # In JSON "//" stands only within texts, and so does the colon of "://". Where the others are
    # as many as the distinct fields, each is the one behind a name: no name comes twice, and no
    # object is nested. That settles an ordinary record.
    if raw.count(b":") - raw.count(b"://") == len(record):
        return []
    objects: list[list[str]] = []
    json.loads(
        raw,
        object_pairs_hook=lambda pairs: objects.append([name for name, _ in pairs]),
        parse_int=str,
        parse_float=str,
    )
    *nested, fields = objects  # the outermost object is the last to end
    twice = [name for name, count in Counter(fields).items() if count > 1]
    documented = sorted(_DOCUMENTED.intersection(twice))
    if len(documented) < len(twice) or any(len(set(names)) < len(names) for names in nested):
        return [*documented, "an undocumented or nested field"]
    return documented


def _rejection(reason: str, raw: bytes, given_id: object = None) -> Rejection:
    # A NUL byte, which is no JSON either, is the one character that PostgreSQL's text cannot hold.
    payload = raw.decode(errors="backslashreplace").replace("\x00", "\\u0000")
    return Rejection(reason=reason, payload=payload, digest=_digest(raw), id=_readable_id(given_id))


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(_PDF_LINK.sub(_without_link, raw)).digest()


def _without_link(found: re.Match[bytes]) -> bytes:
    return found[1] + b"null" if found[1] else found[0]


def _readable_id(value: object) -> str | None:
    # What holds a NUL is none of the API's ids, and could be any of them garbled.
    return value if isinstance(value, str) and value and "\x00" not in value else None


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _UnusableError(f"{name} is {_kind(value)}, not a text")
    if "\x00" in value:
        raise _UnusableError(f"{name} holds a NUL character, which PostgreSQL cannot store")
    return value


def _required_text(name: str, value: object) -> str:
    text = _text(name, value)
    if not text:
        raise _UnusableError(f"{name} is missing")
    return text


def _id(value: object) -> str:
    text = _required_text("id", value)
    if len(text) > MAX_ID_LENGTH:
        raise _UnusableError(f"id is longer than {MAX_ID_LENGTH} characters")
    return text


def _number(name: str, value: object) -> Decimal:
    # A boolean is an int to Python, and never an amount.
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _UnusableError(f"{name} is {_kind(value)}, not a number")
    number = Decimal(value)
    if number.adjusted() >= MAX_INTEGER_DIGITS or _fraction_digits(number) > MAX_FRACTION_DIGITS:
        raise _UnusableError(f"{name} has more digits than PostgreSQL's numeric can hold")
    return number


def _fraction_digits(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0  # JSON has no NaN and no infinity


def _amount(name: str, value: object) -> Decimal:
    if value is None:
        raise _UnusableError(f"{name} is missing")
    return _number(name, value)


def _integer(name: str, value: object) -> int | None:
    if value is None:
        return None
    number = _number(name, value)
    # The magnitude first: int() of 1e100000 would take its time.
    if number.adjusted() > MAX_INT64_DIGITS or number != int(number) or int(number) not in INT64:
        raise _UnusableError(f"{name} is not a whole number of 64 bits")
    return int(number)


def _boolean(name: str, value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _UnusableError(f"{name} is {_kind(value)}, not a boolean")


def _time(name: str, value: object) -> datetime | None:
    """Unix seconds (as the API gives them) as an aware UTC time, exact to the microsecond."""
    if value is None:
        return None
    number = _number(name, value)
    if _fraction_digits(number) > MAX_TIME_FRACTION_DIGITS:
        raise _UnusableError(f"{name} is finer than a microsecond")
    if number.adjusted() > MAX_TIME_DIGITS:
        raise _UnusableError(f"{name} is not a time in unix seconds between the years 1 and 9999")
    microseconds = Fraction(number) * 1_000_000
    if microseconds.denominator != 1:
        raise _UnusableError(f"{name} is finer than a microsecond")
    try:
        time = EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise _UnusableError(
            f"{name} is not a time in unix seconds between the years 1 and 9999"
            " (perhaps it is in milliseconds)"
        ) from None
    if time in INFINITIES:
        raise _UnusableError(f"{name} is a moment that stands for infinity")
    return time


def _extra(record: dict[str, object]) -> str | None:
    """JSON text of the fields that the API documents nowhere, as exact as they came."""
    if not record:
        return None
    for name, value in record.items():
        _check_storable(name, depth=0)
        _check_storable(value, depth=0)
    return _encoder.encode(record).decode()


def _check_storable(value: object, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _UnusableError(f"an undocumented field is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        _text("an undocumented field", value)
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        _number("an undocumented field", value)
    elif isinstance(value, list):
        for item in value:
            _check_storable(item, depth=depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_storable(name, depth=depth + 1)
            _check_storable(item, depth=depth + 1)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")
