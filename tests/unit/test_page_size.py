import pytest

from syncer.cloudflare.page_size import ASK_AGAIN_S, GrantedPageSize, granted_size
from syncer.cloudflare.wire import Page
from syncer.invoice import Rejection


def page(records: int, *, more: bool, per_page: int | None) -> Page:
    # What is known to be stored already is on the page as well.
    unchanged = records // 2
    record = Rejection(reason="no", payload="", digest=b"", id=None)
    return Page(
        records=(record,) * (records - unchanged),
        unchanged=("in_1",) * unchanged,
        has_more=more,
        per_page=per_page,
    )


@pytest.mark.parametrize(
    ("records", "more", "per_page", "size"),
    [
        (1000, True, 1000, 1000),
        (1000, True, None, 1000),
        (100, True, 100, 100),
        (100, True, None, 100),
        (50, True, 50, 50),
        # A last page may have any number of records, and shows the size by its echo alone.
        (7, False, 1000, 1000),
        (7, False, 100, 100),
        (7, False, None, 1000),
        (0, False, None, 1000),
        # Below the known size nothing is asked for.
        (20, True, 20, 50),
        (7, False, 20, 50),
        (0, True, None, 50),
        # The echo and what came contradict each other, or what was asked.
        (50, True, 1000, 50),
        (999, True, 1000, 50),
        (1000, True, 50, 50),
        (1000, True, 5000, 50),
        (5000, True, 5000, 50),
        (7, False, 0, 50),
    ],
)
def test_a_page_shows_how_many_invoices_are_granted(
    records: int, more: bool, per_page: int | None, size: int
) -> None:
    assert granted_size(page(records, more=more, per_page=per_page), 1000) == size


def test_the_least_that_was_granted_counts_for_a_day() -> None:
    now = [5.0]
    granted = GrantedPageSize(lambda: now[0])
    assert granted.size == 1000
    granted.learn(100)
    granted.learn(1000)
    assert granted.size == 100
    granted.learn(50)
    granted.learn(100)
    now[0] += ASK_AGAIN_S - 1
    assert granted.size == 50
    now[0] += 1
    assert granted.size == 1000
