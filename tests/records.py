"""Hypothesis' idea of the API's records: bytes that are legal, that are odd, and that are broken.

Which field may hold what comes from the documented schema; anything else may come in its place.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from tests.schema.conformance import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

Bytes = st.SearchStrategy[bytes]

FIELDS: Final[dict[str, Any]] = SCHEMA["$defs"]["invoice"]["properties"]
REQUIRED: Final = {"id", *SCHEMA["$defs"]["invoice"]["required"]}

# Where PostgreSQL, Python or a parser has a limit.
_NUMBERS: Final = [
    *b"0 -0 -0.0 0.00 10.50 1e2 1E+2 1e-2 0e5 0.1e1 2.0 1.5 -1 9007199254740993".split(),
    *b"9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551616".split(),
    *b"1e400 -1e400 1e-400 1e131071 1e131072 1e-16383 1e-16384 1e-20000 0.0000001 1e-6".split(),
    *b"1e99999999999999999999 1e-99999999999999999999 1763769600 1763769600.25".split(),
    *b"1763769600000 -62135596800 -62135596801 253402300799.999999 253402300800".split(),
    *(b"9" * digits for digits in (300, 4000, 5000)),
    b"0." + b"9" * 16_383,
    b"1." + b"0" * 16_384,
]
_TEXTS: Final = [
    *rb'"" "a" "A" "\u00e9" "e\u0301" "\ufeff" "\u0000" "\ud800" "\udc00" "\ud83d\ude00"'.split(),
    *rb'"a:b" "a://b" "\/\/" "\\" "\"" "\u0022" "}" "]" "paid" "usd" "null" "10.50"'.split(),
    rb'"a\u0000b"',
    b'" a "',
    b'"\xef\xbb\xbf"',
    b'"https://pay.example.test/i/1?s=2"',
    b'"' + "ü𝄞".encode() * 2000 + b'"',
]
# No JSON, but no bracket and no quote out of place.
_BROKEN: Final = [
    b"NaN",
    b"-Infinity",
    b"01",
    b"+1",
    b".5",
    b"0x10",
    b"True",
    b"",
    b'"\x00"',
    b'"\n"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\x41"',
    b"[1,]",
    b'{"a"}',
    b"{1:2}",
    b"[" * 2000 + b"]" * 2000,
]
_WHITESPACE: Final = st.sampled_from([b"", b"", b"", b" ", b"\n", b"\t\r\n "])


def _text_of(value: str) -> Bytes:
    return st.booleans().map(lambda escaped: json.dumps(value, ensure_ascii=escaped).encode())


texts: Final = st.sampled_from(_TEXTS) | st.text(max_size=20).flatmap(_text_of)
numbers: Final = st.sampled_from(_NUMBERS) | st.from_regex(
    rb"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?", fullmatch=True
)
booleans: Final = st.sampled_from([b"true", b"false"])
nulls: Final = st.just(b"null")
broken: Final = st.sampled_from(_BROKEN)
names: Final = texts | st.sampled_from([f'"{name}"'.encode() for name in FIELDS])


def _list(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


@st.composite
def _object(draw: st.DrawFn, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Write pairs down as they are, names that come twice included."""
    space = draw(_WHITESPACE)
    return b"{" + b",".join(space + n + space + b":" + v + space for n, v in pairs) + b"}"


def _pairs(values: Bytes, most: int) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    return st.lists(st.tuples(names, values), max_size=most)


values: Final = st.recursive(
    texts | numbers | booleans | nulls,
    lambda inner: st.lists(inner, max_size=3).map(_list) | _pairs(inner, 3).flatmap(_object),
    max_leaves=6,
)
_BY_TYPE: Final = {"number": numbers, "string": texts, "boolean": booleans, "null": nulls}


def documented(name: str) -> Bytes:
    """A value of a type that is documented for the field."""
    types = FIELDS[name]["type"]
    return st.one_of([_BY_TYPE[one] for one in ([types] if isinstance(types, str) else types)])


plain: Final[dict[str, Bytes]] = {
    name: st.just(b"7") if kind["type"] == "number" else st.just(b'"plain"')
    for name, kind in FIELDS.items()
    if name in REQUIRED
}
plain["id"] = st.integers(0, 10**9).map(lambda number: f'"in_{number}"'.encode())


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A record: mostly an invoice, with few fields that are anything at all, or given twice."""
    chosen = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=5))
    odd = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=1)) if draw(_one_in(3)) else set()
    fields = {name: draw(plain[name]) for name in sorted(REQUIRED)}
    fields |= {name: draw(documented(name)) for name in sorted(chosen)}
    fields |= {name: draw(values | broken) for name in sorted(odd)}
    if draw(_one_in(8)):
        del fields[draw(st.sampled_from(sorted(fields)))]
    pairs = [(f'"{name}"'.encode(), value) for name, value in fields.items()]
    if draw(_one_in(2)):
        pairs += draw(_pairs(values, 2))
    if draw(_one_in(8)):
        pairs.append((draw(st.sampled_from(pairs))[0], draw(values)))
    return draw(_object(draw(st.permutations(pairs))))


def _one_in(number: int) -> st.SearchStrategy[bool]:
    return st.integers(1, number).map(lambda drawn: drawn == number)


elements: Final = st.one_of(records(), records(), records(), records(), values, broken.filter(bool))


def page_of(records: Sequence[bytes]) -> bytes:
    """The answer that holds these records on its one page."""
    return (
        b'{"success":true,"errors":[],"messages":[],"result":{"invoices":['
        + b",".join(records)
        + b'],"pagination":{"has_more":false,"page":1,"per_page":50}}}'
    )
