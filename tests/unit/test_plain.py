"""A record that is decoded in the short way is the invoice that the long way makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.cloudflare.plain import decode_plain
from syncer.cloudflare.record import decode_record
from syncer.invoice import Invoice
from tests.fuzz.invariants import check_record
from tests.records import FIELDS, documented, numbers, texts, values

PLAIN = {
    "id": '"in_1"',
    "currency": '"usd"',
    "amount_due": "1050",
    "amount_paid": "-1",
    "amount_remaining": "1051",
    "status": '"open"',
    "attempt_count": "2",
    "attempted": "true",
    "auto_advance": "false",
    "created": "1740832215",
    "created_by": "null",
    "description": '"Credits for AI Gateway"',
    "invoice_origin": '""',
    "invoice_pdf": '"https://pay.example.test/i/1?s=2"',
}
INVOICE = Invoice(
    id="in_1",
    currency="usd",
    amount_due=Decimal(1050),
    amount_paid=Decimal(-1),
    amount_remaining=Decimal(1051),
    status="open",
    attempt_count=2,
    attempted=True,
    auto_advance=False,
    created_at=datetime(2025, 3, 1, 12, 30, 15, tzinfo=UTC),
    created_by=None,
    description="Credits for AI Gateway",
    invoice_origin="",
    invoice_pdf="https://pay.example.test/i/1?s=2",
)


def record(**fields: str) -> bytes:
    pairs = (PLAIN | fields).items()
    return ("{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}").encode()


def disguised(raw: bytes) -> bytes:
    """The same record with a name of it escaped, which nobody does who writes plainly."""
    return raw.replace(b'"id"', b'"\\u0069d"', 1)


def shown(invoice: object) -> object:
    """Everything of it, with its types, and numbers digit by digit."""
    assert isinstance(invoice, Invoice)
    content = [getattr(invoice, name) for name in Invoice.__struct_fields__]
    return [(type(value), str(value)) for value in content]


@pytest.mark.parametrize(
    "raw", [record(), record().replace(b'":', b'" : ').replace(b",", b"\t,\r\n"), record() + b"\n"]
)
def test_a_plain_record_is_decoded_in_the_short_way(raw: bytes) -> None:
    assert decode_plain(raw) == INVOICE
    assert decode_plain(disguised(raw)) is None
    assert decode_record(disguised(raw)) == decode_record(raw) == INVOICE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", f'"{"ü" * 255}"'),
        ("amount_due", "-0"),
        ("amount_due", "9007199254740993"),
        ("amount_due", "18446744073709551616"),
        ("amount_due", "9" * 4000),
        ("attempt_count", str(2**63 - 1)),
        ("attempt_count", str(-(2**63))),
        ("created", "0"),
        ("created", "253402300799"),
        ("description", '" \x7f\u2028\ufeff\U0010ffff "'),
        ("description", '"https://a, http://b"'),
        ("invoice_pdf", "null"),
        *((name, "null") for name in ("status", "attempt_count", "attempted", "created")),
    ],
)
def test_what_is_decoded_in_the_short_way_is_what_the_long_way_makes_of_it(
    field: str, value: str
) -> None:
    raw = record(**{field: value})
    assert shown(decode_plain(raw)) == shown(decode_record(disguised(raw)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        # Digits that an integer has no room for.
        ("amount_due", "10.50"),
        ("amount_due", "10.00"),
        ("amount_due", "2.0"),
        ("amount_due", "1e2"),
        ("amount_due", "1E400"),
        ("amount_due", "9" * 5000),
        ("created", "1740832215.25"),
        ("attempt_count", "2.0"),
        # Of other types, or beyond what is stored.
        ("amount_due", "null"),
        ("amount_due", "true"),
        ("amount_due", '"1"'),
        ("attempted", "1"),
        ("status", "1"),
        ("status", '["open"]'),
        ("id", '""'),
        ("id", f'"{"x" * 256}"'),
        ("currency", '""'),
        ("attempt_count", str(2**63)),
        ("created", "-1"),
        ("created", "253402300800"),
        # Names that come twice, are escaped, nested or unknown.
        ("status", '"open","status":"paid"'),
        ("status", '"open","status":"https://"'),
        ("status", '"open","tax":1'),
        ("status", '{"a":1}'),
        ("description", '"a: b"'),
        ("description", '"\\u0000"'),
        ("description", '"\\ud800"'),
        ("description", '"\0"'),
    ],
)
def test_what_is_not_plain_is_left_to_the_long_way(field: str, value: str) -> None:
    assert decode_plain(record(**{field: value})) is None


@pytest.mark.parametrize("missing", PLAIN)
def test_a_record_without_one_of_its_fields_is_left_to_the_long_way(missing: str) -> None:
    fields = {name: value for name, value in PLAIN.items() if name != missing}
    raw = ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()
    assert decode_plain(raw) is None
    # Even where something else makes up for its colon.
    assert decode_plain(raw.replace(b"}", b',"tax":1}')) is None
    assert decode_plain(raw.replace(b"usd", b"us:d").replace(b"open", b"o:pen")) is None


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b'"id"', b"NaN", record() + b" x"])
def test_what_is_no_record_is_left_to_the_long_way(raw: bytes) -> None:
    assert decode_plain(raw) is None


@st.composite
def full_records(draw: st.DrawFn) -> bytes:
    """Every documented field, mostly as it is documented; sometimes something else, or twice."""
    fields = {f'"{name}"'.encode(): PLAIN[name].encode() for name in FIELDS}
    for name in draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=4)):
        fields[f'"{name}"'.encode()] = draw(documented(name) | texts | numbers | values)
    pairs = draw(st.permutations(list(fields.items())))
    if draw(st.integers(1, 6)) == 1:
        pairs.append((draw(st.sampled_from(pairs))[0], draw(values)))
    space = draw(st.sampled_from([b"", b"", b" ", b"\n"]))
    return b"{" + b",".join(name + space + b":" + space + value for name, value in pairs) + b"}"


@pytest.mark.thorough
@given(full_records())
def test_both_ways_lead_to_the_same_invoice(raw: bytes) -> None:
    check_record(raw)
    plain = decode_plain(raw)
    if plain is not None:
        assert decode_plain(disguised(raw)) is None
        assert shown(plain) == shown(decode_record(disguised(raw)))
