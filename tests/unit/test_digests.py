"""Digests: what they leave out, and that they hide no change of content, whatever the JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from syncer.cloudflare.wire import Page, decode_page
from syncer.digests import (
    NO_DIGESTS,
    SIZE,
    VERSION,
    Known,
    PageDigests,
    covers_all_else,
    digest,
    without_link,
    without_links,
)
from syncer.errors import MalformedResponse
from syncer.invoice import Invoice, Rejection
from tests.records import page_of
from tests.records import values as any_values

SAMPLES = Path(__file__).parents[1] / "samples"

PLAIN = {"currency": '"usd"', "amount_due": "7", "amount_paid": "0", "amount_remaining": "7"}


def record(id_: str = "in_1", **fields: str) -> bytes:
    """An invoice made of JSON texts."""
    pairs = {"id": f'"{id_}"'} | PLAIN | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in pairs.items()) + "}").encode()


def decode(records: list[bytes], known: Known | None = None) -> Page:
    return decode_page(200, {}, page_of(records), known=known or Known())


def known_from(records: list[bytes]) -> Known:
    return Known([decode(records).digests])


PINS = [
    (
        "c6a894c38b3b729657feb187cd238326",
        "8d159ff9dff21268ed4731ff2f3b5bec5bcb75fc98b9b55e61011385b855fd81",
    ),
    (
        "6ce8db9565d906b2e366586ba16c526c",
        "04550f54a9618e668520fc833989b277257cd1abe504dc72d8af35917a27e534",
    ),
]


# Digests that are kept in the tables were made like these. Where one of them comes out otherwise,
# or another field is stored of a record, syncer.digests.VERSION has to be raised as well.
def test_digests_of_version_1_are_these() -> None:
    typical = decode_page(200, {}, (SAMPLES / "typical.json").read_bytes())
    compact = decode([record(invoice_pdf='"https://a.test/"'), record("in_2", tax="[1]")])
    pinned = [(page.digests.page.hex(), page.digests.records.hex()) for page in (typical, compact)]
    assert VERSION == 1
    assert pinned == PINS


@pytest.mark.parametrize(
    ("record_", "emptied"),
    [
        (b'{"a":1,"invoice_pdf":"l","b":2}', b'{"a":1,"invoice_pdf":"","b":2}'),
        (b'{"a": 1, "invoice_pdf": "l", "b": 2}', b'{"a": 1, "invoice_pdf": "", "b": 2}'),
        (b'{"a":1,"invoice_pdf":""}', b'{"a":1,"invoice_pdf":""}'),
        # What is written in another way stays as it is, and so does what is no text.
        (b'{"invoice_pdf":"l","b":2}', b'{"invoice_pdf":"l","b":2}'),
        (b'{"a":1 ,"invoice_pdf" : "l"}', b'{"a":1 ,"invoice_pdf" : "l"}'),
        (b'{"a":1,"invoice_pdf":null}', b'{"a":1,"invoice_pdf":null}'),
        (b'{"a":1,"invoice_pdf":{"l":"m"}}', b'{"a":1,"invoice_pdf":{"l":"m"}}'),
        (b'{"a":1,"INVOICE_PDF":"l"}', b'{"a":1,"INVOICE_PDF":"l"}'),
        (b'{"a":1,"x\\"invoice_pdf":"l"}', b'{"a":1,"x\\"invoice_pdf":"l"}'),
        (b'{"a":",\\"invoice_pdf\\":\\"l"}', b'{"a":",\\"invoice_pdf\\":\\"l"}'),
        # The rest of a link with a quotation mark in it is looked at.
        (b'{"a":1,"invoice_pdf":"l\\"m","b":2}', b'{"a":1,"invoice_pdf":""m","b":2}'),
    ],
)
def test_a_link_is_left_out_where_it_is_written_in_a_usual_way(
    record_: bytes, emptied: bytes
) -> None:
    assert without_link(record_) == without_links(record_) == emptied


def test_all_links_of_a_page_are_left_out_and_the_first_of_a_record() -> None:
    two = b'{"a":1,"invoice_pdf":"l"},{"b":2,"invoice_pdf":"m","c":3}'
    assert without_links(two) == b'{"a":1,"invoice_pdf":""},{"b":2,"invoice_pdf":"","c":3}'
    assert without_link(two) == b'{"a":1,"invoice_pdf":""},{"b":2,"invoice_pdf":"m","c":3}'


@pytest.mark.parametrize(
    ("raw", "has_link", "covered"),
    [
        (record(), False, True),
        (record(status='"a\\\\b"'), False, True),
        (record(invoice_pdf='"l"'), True, True),
        (record(invoice_pdf="null"), False, True),
        (record(tax='{"a":1,"invoice_pdf":"l"}'), False, False),
        (record(tax='{"a":1,"invoice_pdf":"l"}', invoice_pdf='"m"'), True, False),
        (record(status='"invoice_pdf"', invoice_pdf='"l"'), True, False),
        (record(status='"\\n"', invoice_pdf='"l"'), True, False),
    ],
)
def test_a_digest_counts_where_nothing_else_can_have_been_left_out(
    raw: bytes, has_link: bool, covered: bool
) -> None:
    assert covers_all_else(raw, without_link(raw), has_link=has_link) is covered


def test_a_digest_is_the_beginning_of_a_known_hash() -> None:
    assert digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223"
    assert len(digest(b"")) == SIZE


def test_what_is_known_is_found_by_page_and_by_record() -> None:
    one, two, three = (bytes([number]) * SIZE for number in range(3))
    pages = (PageDigests(page=one, records=two + three), PageDigests(page=b"", records=one))
    known = Known(pages)
    assert known.find_page(one) == pages[0]
    assert known.find_page(two) is known.find_page(b"") is None
    assert [known.has_record(which) for which in (one, two, three, three[:-1] + b"x", b"")] == [
        *(True, True, True),
        *(False, False),
    ]


def test_a_list_is_the_same_only_where_all_of_it_is_known() -> None:
    page = PageDigests(page=digest(b"a"), records=digest(b"b"))
    other = PageDigests(page=digest(b"c"), records=b"")
    assert Known([page, other]).is_all_of((page, other))
    assert Known().is_all_of(())
    assert not Known([page, other]).is_all_of((other, page))
    assert not Known([page, other]).is_all_of((page,))
    assert not Known([page]).is_all_of(None)
    assert not Known([NO_DIGESTS]).is_all_of((NO_DIGESTS,))


def test_the_same_page_again_is_not_decoded() -> None:
    records = [record(f"in_{n}", invoice_pdf=f'"https://a.test/{n}"') for n in range(3)]
    again = decode(records, known_from(records))
    assert (again.records, again.unchanged) == ((), ("in_0", "in_1", "in_2"))
    assert again.digests == decode(records).digests
    newly_linked = [one.replace(b"a.test", b"b.test") for one in records]
    assert decode(newly_linked, known_from(records)) == again


def test_of_another_page_only_what_is_new_is_decoded() -> None:
    records = [record(f"in_{n}", invoice_pdf='"l"') for n in range(3)]
    known = known_from(records)
    records[1] = record("in_1", status='"paid"', invoice_pdf='"m"')
    again = decode([record("in_new"), *reversed(records)], known)
    assert [one.id for one in again.records if isinstance(one, Invoice)] == ["in_new", "in_1"]
    assert again.unchanged == ("in_2", "in_0")
    assert again.digests == decode([record("in_new"), *reversed(records)]).digests


def test_a_byte_order_mark_makes_no_other_page() -> None:
    body = page_of([record()])
    known = Known([decode_page(200, {}, body).digests])
    assert decode_page(200, {}, b"\xef\xbb\xbf" + body, known=known).unchanged == ("in_1",)


@pytest.mark.parametrize("link", ['"\\q"', '"\n"', '"\\ud800"'])
def test_a_known_record_whose_link_is_no_json_any_more_is_looked_at(link: str) -> None:
    records = [record("in_1"), record("in_2", invoice_pdf='"l"')]
    damaged = [records[0], record("in_2", invoice_pdf=link)]
    again = decode(damaged, known_from(records))
    assert (again.unchanged, again.records) == (("in_1",), decode(damaged).records[1:])
    assert isinstance(again.records[0], Rejection)


def test_what_was_rejected_or_is_not_covered_is_looked_at_each_time() -> None:
    nested = record("in_2", tax='{"a":1,"invoice_pdf":"l"}')
    records = [record("in_1"), b"{}", nested]
    again = decode(records, known_from(records))
    assert again.digests.page == b""
    assert again.unchanged == ("in_1",)
    assert len(again.records) == 2


# Names and values among which links are hard to tell apart; the spelling of each is one of a few.
NAMES = [
    *(b'"invoice_pdf"', b'"invoice_pdf"', b'"description"', b'"x"', b'"INVOICE_PDF"'),
    *(b'"\\u0069nvoice_pdf"', b'"x\\"invoice_pdf"', b'",\\"invoice_pdf"', b'"invoice_pdf\\":\\""'),
]
VALUES = [
    *(
        b'"l"',
        b'"m"',
        b'""',
        b"null",
        b"7",
        b'"l\\"m"',
        b'"l\\\\"',
        b'"\\/"',
        b'["l","invoice_pdf"]',
    ),
    *(b'{"a":1,"invoice_pdf":"l"}', b'{"a":1,"invoice_pdf":"m"}', b'{"invoice_pdf":"m"}'),
    *(
        b'{"a":1, "invoice_pdf": "l"}',
        b'{"a":1, "invoice_pdf": "m"}',
        b'{"a":[{"b":1,"invoice_pdf":"l"}]}',
    ),
    *(b'",\\"invoice_pdf\\":\\"l"', b'",\\"invoice_pdf\\":\\"m"', b'"invoice_pdf"', b'"l\\u0041"'),
    *(b'"l\\', b'"l\\","', b'"\\u0000"', b'"\n"', b"NaN"),
]
PAIRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | any_values)


def written(pairs: list[tuple[bytes, bytes]], comma: bytes, colon: bytes) -> bytes:
    return b"{" + comma.join(name + colon + value for name, value in pairs) + b"}"


@st.composite
def two_pages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Records as they were and as they are, which differ in few of their values."""
    before, after = [], []
    for number in range(draw(st.integers(1, 3))):
        plain = [(f'"{name}"'.encode(), value.encode()) for name, value in PLAIN.items()]
        pairs = [(b'"id"', b'"in_%d"' % number), *plain, *draw(st.lists(PAIRS, max_size=4))]
        pairs = draw(st.permutations(pairs)) if draw(st.booleans()) else pairs
        comma, colon = draw(st.sampled_from([(b",", b":"), (b", ", b": ")]))
        before.append(written(pairs, comma, colon))
        changed = list(pairs)
        for place in draw(st.lists(st.integers(0, len(pairs) - 1), max_size=2)):
            changed[place] = (changed[place][0], draw(PAIRS)[1])
        after.append(written(changed, comma, colon))
    return before, draw(st.permutations(after)) if draw(st.booleans()) else after


def decode_if_possible(records: list[bytes], known: Known | None = None) -> Page | None:
    try:
        return decode(records, known)
    except MalformedResponse:
        return None


def content(page: Page) -> dict[str, Invoice]:
    """The invoices of a page by id, without their links."""
    invoices = [one for one in page.records if isinstance(one, Invoice)]
    return {one.id: replace(one, invoice_pdf=None) for one in invoices}


@pytest.mark.thorough
@given(two_pages())
def test_whatever_changes_but_a_link_is_seen(pages: tuple[list[bytes], list[bytes]]) -> None:
    first, truth = map(decode_if_possible, pages)
    seen = decode_if_possible(pages[1], Known([first.digests] if first else []))
    assert (seen is None) == (truth is None)
    if first is None or seen is None or truth is None:
        return
    assert seen.size == truth.size
    # What is decoded is what would have been decoded, in its order, less what is unchanged.
    rest = iter(truth.records)
    assert all(any(one == other for other in rest) for one in seen.records)
    was, now = content(first), content(truth)
    for id_ in seen.unchanged:
        # Where a link alone can be no text of PostgreSQL's, the invoice stays as it is stored.
        assert now.get(id_, was[id_]) == was[id_]
    assert seen.digests == truth.digests or len(now) < truth.size
