from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import msgspec
import pytest

from syncer.cloudflare.record import decode_record
from syncer.invoice import Invoice, Rejection
from tests.patience import patience

MINIMAL = {"id": '"in_1"', "currency": '"usd"'} | dict.fromkeys(
    ("amount_due", "amount_paid", "amount_remaining"), "0"
)


def record(**fields: str | None) -> bytes:
    """Build a record's JSON text from JSON texts; None leaves a field out."""
    present = {name: text for name, text in {**MINIMAL, **fields}.items() if text is not None}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in present.items()) + "}").encode()


def accepted(**fields: str | None) -> Invoice:
    decoded = decode_record(record(**fields))
    assert isinstance(decoded, Invoice), decoded
    return decoded


def rejected(raw: bytes) -> Rejection:
    decoded = decode_record(raw)
    assert isinstance(decoded, Rejection)
    return decoded


def test_the_required_fields_are_enough() -> None:
    assert accepted() == Invoice(
        id="in_1",
        currency="usd",
        amount_due=Decimal(0),
        amount_paid=Decimal(0),
        amount_remaining=Decimal(0),
    )


@pytest.mark.parametrize(
    "text",
    [
        "10.50",
        "-7",
        "0.1",
        "1E+5",
        "123456789012345678901234567890.000000000000000000001",
        "1e-400",
    ],
)
def test_amounts_keep_every_digit(text: str) -> None:
    assert str(accepted(amount_due=text).amount_due) == str(Decimal(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("-62135596799.999999", datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("-86400", datetime(1969, 12, 31, tzinfo=UTC)),
        ("1763769600.25", datetime(2025, 11, 22, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("null", None),
        (None, None),
    ],
)
def test_created_is_unix_seconds(text: str | None, expected: datetime | None) -> None:
    assert accepted(created=text).created_at == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), ("-9223372036854775808", -(2**63)), ("2.0", 2), ("null", None)]
)
def test_attempt_count_is_a_whole_number(text: str, expected: int | None) -> None:
    assert accepted(attempt_count=text).attempt_count == expected


def test_unknown_fields_are_kept_as_exact_as_they_came() -> None:
    extra = accepted(tax='{"rate":19.00,"notes":["ü",null,true,1e400]}', discount="7").extra
    assert extra == '{"tax":{"rate":19.00,"notes":["ü",null,true,1E+400]},"discount":7}'


def test_nulls_are_the_same_as_absence() -> None:
    assert accepted(status="null", attempted="null", invoice_pdf="null", description="null") == (
        accepted()
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"id": '""'}, "id is missing"),
        ({"id": "7"}, "id is a number, not a text"),
        ({"id": f'"{"x" * 256}"'}, "id is longer than 255 characters"),
        ({"currency": None}, "currency is missing"),
        ({"currency": '["usd"]'}, "currency is a list, not a text"),
        ({"amount_due": None}, "amount_due is missing"),
        ({"amount_paid": "null"}, "amount_paid is missing"),
        ({"amount_paid": "true"}, "amount_paid is a boolean, not a number"),
        ({"amount_remaining": '"10"'}, "amount_remaining is a text, not a number"),
        ({"amount_due": "1e131072"}, "amount_due has more digits than PostgreSQL's numeric can"),
        ({"amount_due": "1e-16384"}, "amount_due has more digits than PostgreSQL's numeric can"),
        ({"amount_due": "1e99999999999999999999"}, "it holds a number with an exponent beyond"),
        ({"new": "[0e-99999999999999999999]"}, "it holds a number with an exponent beyond"),
        ({"amount_due": "9" * 5000}, "it is not an object, or holds a number of thousands of"),
        ({"status": "5"}, "status is a number, not a text"),
        ({"description": '"a\\u0000b"'}, "description holds a NUL character"),
        ({"attempted": "1"}, "attempted is a number, not a boolean"),
        ({"attempt_count": "1.5"}, "attempt_count is not a whole number of 64 bits"),
        ({"attempt_count": "9223372036854775808"}, "attempt_count is not a whole number of 64"),
        ({"attempt_count": "1e100000"}, "attempt_count is not a whole number of 64 bits"),
        ({"attempt_count": "false"}, "attempt_count is a boolean, not a number"),
        ({"created": '"2025-11-22"'}, "created is a text, not a number"),
        ({"created": "1763769600000"}, "perhaps it is in milliseconds"),
        ({"created": "1e100000"}, "created is not a time in unix seconds"),
        ({"created": "-62135596800"}, "created is a moment that stands for infinity"),
        ({"created": "253402300799.999999"}, "created is a moment that stands for infinity"),
        ({"created": "0.0000001"}, "created is finer than a microsecond"),
        ({"created": "1e-16000"}, "created is finer than a microsecond"),
        ({"new": '{"deep":["a\\u0000"]}'}, "an undocumented field holds a NUL character"),
        ({"new": '{"a\\u0000":1}'}, "an undocumented field holds a NUL character"),
        ({"new": "[1e131072]"}, "an undocumented field has more digits"),
        ({"new": "[" * 102 + "]" * 102}, "an undocumented field is nested more than 100 levels"),
        ({"new": '"\\ud800"'}, "it is not valid JSON"),
    ],
)
def test_what_cannot_be_stored_exactly_is_rejected_with_a_reason(
    fields: dict[str, str | None], reason: str
) -> None:
    raw = record(**fields)
    rejection = rejected(raw)
    assert reason in rejection.reason
    assert rejection.payload == raw.decode()


def test_an_id_with_a_nul_is_none() -> None:
    # Asked for among what is listed, PostgreSQL would refuse the whole account.
    assert rejected(record(id='"in_1\\u0000"')).id is None
    assert rejected(record(id='"in_1"', currency=None)).id == "in_1"


@pytest.mark.parametrize("raw", [b"null", b"1", b'"x"', b"[]"])
def test_what_is_no_object_is_rejected(raw: bytes) -> None:
    assert "it is not an object" in rejected(raw).reason


def test_bytes_that_are_no_text_are_kept_readable() -> None:
    assert rejected(b'{"id":"\xff\x00"}').payload == '{"id":"\\xff\\u0000"}'


def test_nesting_beyond_the_parser_is_a_rejection() -> None:
    assert rejected(b'{"x":' + b"[" * 100_000).reason == "it is nested too deeply"


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("invoice_pdf", '"https://a.test/\\"{}"'),
        ("invoice_pdf", '"https://a.test/\n\\\n{}"'),
        ("invoice\\u005fpdf", '"https://a.test/{}"'),
        ("\\u0069nvoice_\\u0070df", '"https://a.test/{}"'),
        ("invoice_pdf", '{{"url":"https://a.test/}}{}"}}'),
        ("invoice_pdf", '["https://a.test/]{}"]'),
        ("tax", '{{"invoice_pdf" : "https://a.test/{}"}}'),
        ("invoice_pdf", '"https://a.test/{0}","invoice_pdf":"https://b.test/{0}"'),
    ],
)
def test_a_new_pdf_link_makes_no_new_rejection(name: str, link: str) -> None:
    first = rejected(record(id=None, **{name: link.format(1)}))
    second = rejected(record(id=None, **{name: link.format(2)}))
    other = rejected(record(id=None, **{name: link.format(1)}, status='"paid"'))
    assert first.digest == second.digest != other.digest


def test_a_digest_is_of_the_record_but_for_its_link() -> None:
    raw = record(id=None, note='"\\"invoice_pdf\\":[1]"', **{'\\"invoice_pdf': '"no link"'})
    assert rejected(raw).digest == sha256(raw).digest()
    linked = record(id=None, invoice_pdf='"https://a.test/"', tax='["invoice_pdf",{}]')
    bare = linked.replace(b'"https://a.test/"', b"null")
    assert rejected(linked).digest == sha256(bare).digest()


# From within any of these texts, the rest looks like another text, or like a link, to the end.
@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        b'"',
        b'"\\',
        b'\\"',
        b'"invoice_pdf":"',
        b'"invoice_pdf":"\\"',
        b'"invoice_pdf":["',
        b'"invoice_pdf":[\\"',
        b'"invoice_pdf":{"a":"",',
        b'\\"invoice_pdf":["a",',
    ],
)
def test_however_many_texts_and_links_seem_to_begin_each_is_looked_through_once(
    piece: bytes,
) -> None:
    pieces = piece * (2 * 2**20 // len(piece))
    with patience():
        for raw in (b"{" + pieces, b'{"' + pieces, b"{" + pieces + b'" {}]}'):
            assert rejected(raw).payload == raw.decode()


def test_a_link_without_end_is_looked_through_once() -> None:
    raw = b'{"invoice_pdf":"' * 50_000 + b"\\" * 4_000_001
    assert rejected(raw).payload == raw.decode()


def test_no_repr_shows_a_link_or_a_payload() -> None:
    link = '"https://pay.example.test/secret"'
    shown = repr(accepted(invoice_pdf=link)) + repr(rejected(record(id=None, invoice_pdf=link)))
    assert "secret" not in shown
    assert "in_1" in shown
    assert "id is missing" in shown


def test_extra_is_valid_json() -> None:
    extra = accepted(note='"\\"quoted\\" \\\\u0000 \\n"').extra
    assert extra is not None
    assert msgspec.json.decode(extra) == {"note": '"quoted" \\u0000 \n'}
