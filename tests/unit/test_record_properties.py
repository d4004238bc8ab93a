"""Any record whatever becomes exactly the invoice that it is, or a rejection, and harms no other.

What it is, is told by a second reader (`tests/reading.py`).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.cloudflare.record import decode_record
from syncer.cloudflare.wire import decode_page
from tests.fuzz.invariants import check_answer, check_record
from tests.records import elements, page_of, records


@pytest.mark.thorough
@given(records())
def test_an_invoice_says_what_its_record_says_and_a_rejection_has_a_cause(raw: bytes) -> None:
    check_record(raw)


@pytest.mark.thorough
@given(st.lists(elements, max_size=5))
def test_a_record_costs_neither_its_page_nor_its_neighbours(raw: list[bytes]) -> None:
    page = decode_page(200, {}, page_of(raw))
    assert page.records == tuple(decode_record(one) for one in raw)


@pytest.mark.thorough
@given(st.lists(records(), min_size=1, max_size=3).map(page_of), st.data())
def test_a_damaged_answer_is_an_error_of_ours_or_read_right(
    body: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 20)))
    check_answer(body[:start] + data.draw(st.binary(max_size=5)) + body[end:])
