from decimal import Decimal

import pytest

from syncer.cloudflare.evidence import Evidence, Verdict
from syncer.cloudflare.wire import Page
from syncer.errors import Reason
from syncer.invoice import Invoice, Rejection

PROVEN = Verdict(None, again=False)
SEEN_BUT_MOVED = Verdict(None, again=True)
NOT_HONOURED = Verdict(Reason.PAGINATION_NOT_HONOURED, again=False)
STALLED = Verdict(Reason.PAGINATION_NOT_HONOURED, again=True)
FEWER = Verdict(Reason.FEWER_THAN_REPORTED, again=True)
TOO_MANY_PAGES = Verdict(Reason.PAGE_LIMIT, again=False)

ZERO = Decimal(0)
IDS = {"Á": "a"}


def invoice(name: str, status: str = "open") -> Invoice:
    return Invoice(
        id=name,
        currency="usd",
        amount_due=ZERO,
        amount_paid=ZERO,
        amount_remaining=ZERO,
        status=status,
    )


def page(ids: str, *, more: bool, number: int | None = None, total: int | None = None) -> Page:
    """Make a page of two records at most; one letter is one invoice.

    A digit is a rejection without an id, a capital letter one of the invoice of this letter, and
    an accented one another of the same.
    """
    records = tuple(
        invoice(name)
        if name.islower()
        else Rejection(
            reason="no",
            payload=name,
            digest=name.encode(),
            id=None if name.isdigit() else IDS.get(name, name.lower()),
        )
        for name in ids
    )
    return Page(records=records, has_more=more, number=number, per_page=2, total=total)


def walk(*pages: Page, max_pages: int = 100) -> Evidence:
    """Give the evidence the pages in the order in which it asks for them, one at a time."""
    evidence = Evidence(max_pages)
    evidence.asked = 1
    evidence.note(1, pages[0])
    while (number := evidence.next_by_total() or evidence.next_after_last()) is not None:
        evidence.note(number, pages[number - 1])
    assert evidence.asked == len(pages)
    return evidence


def test_one_page_that_is_the_last_proves_itself() -> None:
    assert walk(page("ab", more=False, number=1, total=2)).verdict() == PROVEN


def test_no_invoices_are_proven_by_an_empty_last_page() -> None:
    assert walk(page("", more=False, number=1, total=0)).verdict() == PROVEN


def test_without_totals_has_more_alone_leads_on() -> None:
    evidence = walk(page("ab", more=True), page("cd", more=True), page("e", more=False))
    assert evidence.verdict() == PROVEN
    assert (evidence.distinct, evidence.total) == (5, None)


def test_a_total_that_is_too_small_never_shortens_history() -> None:
    pages = [page(ids, more=ids != "ef", total=2) for ids in ("ab", "cd", "ef")]
    assert walk(*pages).verdict() == PROVEN


@pytest.mark.parametrize(
    ("pages", "proven"),
    [
        ([page("ab", more=True, total=3), page("c", more=False, total=3)], True),
        # A deletion between the two could have hidden an invoice, and nothing would tell of it.
        ([page("ab", more=True), page("c", more=False)], False),
        ([page("ab", more=True, total=2), page("c", more=False, total=2)], False),
        ([page("ab", more=True), page("c", more=False, total=3)], False),
        ([page("ab", more=True, total=3), page("c", more=False)], False),
        # It moved.
        ([page("ab", more=True, total=2), page("bc", more=False, total=3)], False),
        ([page("ab", more=True, total=3), page("bc", more=False, total=3)], False),
        # One page is whole by itself.
        ([page("ab", more=False)], True),
        ([page("ab", more=False, total=1)], True),
    ],
)
def test_absence_is_proven_by_one_page_or_where_all_totals_are_what_came(
    pages: list[Page], proven: bool
) -> None:
    evidence = walk(*pages)
    assert evidence.verdict().reason is None
    assert evidence.listed == (frozenset(evidence.invoices) if proven else None)


def test_a_total_that_is_too_large_is_fewer_than_reported() -> None:
    evidence = walk(
        page("ab", more=True, total=5),
        page("cd", more=False, total=5),
        page("", more=False, total=5),
    )
    assert evidence.verdict() == FEWER


def test_an_end_before_the_total_is_doubted_once_and_found_wrong() -> None:
    evidence = walk(page("ab", more=False, total=4), page("cd", more=False, total=4))
    assert evidence.verdict() == SEEN_BUT_MOVED
    assert evidence.distinct == 4


def test_rejected_records_count() -> None:
    assert walk(page("a1", more=True, total=3), page("2", more=False, total=3)).verdict() == PROVEN


def test_two_records_of_a_page_are_two_however_alike() -> None:
    evidence = walk(page("11", more=True, total=3), page("a", more=False, total=3))
    assert (evidence.distinct, evidence.verdict()) == (3, PROVEN)


@pytest.mark.parametrize("ids", ["aa", "AA", "aA", "Aa", "AÁ"])
def test_the_same_id_twice_on_a_page_is_one_record(ids: str) -> None:
    evidence = walk(page(ids, more=False, total=1))
    assert (evidence.distinct, evidence.verdict()) == (1, SEEN_BUT_MOVED)
    assert evidence.listed is None


@pytest.mark.parametrize("ids", ["aA", "Aa", "AÁ"])
def test_the_same_id_twice_does_not_make_up_for_a_record_that_did_not_come(ids: str) -> None:
    evidence = walk(
        page(ids, more=True, total=3), page("b", more=False, total=3), page("", more=False, total=3)
    )
    assert (evidence.distinct, evidence.verdict(), evidence.listed) == (2, FEWER, None)


@pytest.mark.parametrize("ids", ["aA", "Aa", "AÁ"])
def test_the_same_id_on_two_pages_is_one_record(ids: str) -> None:
    evidence = walk(page(ids[0] + "b", more=True, total=3), page(ids[1] + "c", more=False, total=3))
    assert (evidence.distinct, evidence.verdict(), evidence.listed) == (3, SEEN_BUT_MOVED, None)


def test_a_page_number_that_was_not_asked_for_ends_the_walk() -> None:
    evidence = walk(page("ab", more=True, number=1, total=6), page("ab", more=True, number=1))
    assert evidence.verdict() == NOT_HONOURED


def test_behind_the_end_a_repeated_last_page_contradicts_nothing() -> None:
    evidence = Evidence(100)
    for number, answer in enumerate(
        [
            page("ab", more=True, number=1, total=5),
            page("cd", more=False, number=2, total=4),
            page("cd", more=False, number=2, total=4),
        ],
        start=1,
    ):
        evidence.note(number, answer)
    assert evidence.verdict() == FEWER


def test_a_last_page_that_was_seen_before_tells_that_the_list_became_shorter() -> None:
    evidence = walk(
        page("ab", more=True, number=1),
        page("cd", more=True, number=2),
        page("cd", more=False, number=2),
    )
    assert evidence.verdict() == SEEN_BUT_MOVED


def test_the_same_page_for_ever_stalls() -> None:
    evidence = walk(*[page("ab", more=True, total=2)] * 4)
    assert evidence.verdict() == STALLED


def test_empty_pages_for_ever_stall() -> None:
    assert walk(*[page("", more=True)] * 3).verdict() == STALLED


def test_the_page_limit_is_told() -> None:
    pages = [page(ids, more=True, total=8) for ids in ("ab", "cd")]
    assert walk(*pages, max_pages=2).verdict() == TOO_MANY_PAGES
    assert walk(pages[0], max_pages=1).verdict() == TOO_MANY_PAGES


def test_a_last_page_at_the_limit_is_proven() -> None:
    pages = [page("ab", more=True, total=4), page("cd", more=False, total=4)]
    assert walk(*pages, max_pages=2).verdict() == PROVEN


def test_an_api_that_takes_no_page_number_gives_one_page() -> None:
    evidence = Evidence(100, pageable=False)
    evidence.asked = 1
    evidence.note(1, page("ab", more=True, number=1, total=4))
    assert evidence.next_by_total() is None
    assert evidence.next_after_last() is None
    assert evidence.verdict() == NOT_HONOURED


@pytest.mark.parametrize(
    ("pages", "verdict"),
    [
        # An invoice appeared: the last of page 1 comes again.
        ([page("ab", more=True, total=3), page("bc", more=False, total=4)], FEWER),
        # One appeared, and the total is silent.
        ([page("ab", more=True), page("bc", more=False)], SEEN_BUT_MOVED),
        # A draft was deleted behind our back.
        ([page("ab", more=True, total=4), page("d", more=False, total=3)], FEWER),
        # The total moved, and nothing else is to be seen of it.
        ([page("ab", more=True, total=3), page("cd", more=False, total=4)], SEEN_BUT_MOVED),
        # The same rejected record twice.
        ([page("a1", more=True), page("1b", more=False)], SEEN_BUT_MOVED),
        # The same id, as an invoice and as a record that can be none.
        ([page("ab", more=True, total=3), page("Bc", more=False, total=3)], SEEN_BUT_MOVED),
    ],
)
def test_signs_of_movement_ask_for_another_walk(pages: list[Page], verdict: Verdict) -> None:
    assert walk(*pages).verdict() == verdict


def test_the_answer_that_came_last_wins() -> None:
    evidence = Evidence(100)
    evidence.note(2, Page((invoice("a", "open"),), has_more=False))
    evidence.note(1, Page((invoice("a", "paid"),), has_more=True))
    assert evidence.invoices["a"] == invoice("a", "paid")


def test_pages_are_given_out_as_far_as_the_total_tells_and_no_further_than_a_known_end() -> None:
    evidence = Evidence(100)
    evidence.asked = 1
    evidence.note(1, page("ab", more=True, total=9))
    assert [evidence.next_by_total() for _ in range(3)] == [2, 3, 4]
    evidence.note(3, page("", more=False, total=9))
    assert evidence.next_by_total() is None
    # The others are still under way.
    assert evidence.next_after_last() is None


def test_the_size_of_page_one_stands_in_for_a_size_that_is_not_told() -> None:
    evidence = Evidence(100)
    evidence.note(1, Page((invoice("a"), invoice("b")), has_more=True, per_page=0, total=5))
    assert evidence.expected_pages == 3
    evidence.note(1, Page((), has_more=True, per_page=None, total=5))
    assert evidence.expected_pages == 1
