from __future__ import annotations

import pytest

from syncer.store.rows import in_slices

MILLION = "x" * 1_000_000


@pytest.mark.parametrize(
    ("rows", "slices"),
    [
        ([], []),
        (["a"] * 2000, [2000]),
        (["a"] * 4001, [2000, 2000, 1]),
        ([None] * 2001, [2000, 1]),
        ([MILLION] * 4, [4]),
        ([MILLION] * 9, [4, 4, 1]),
        ([MILLION * 5, "a", "a"], [1, 2]),
        (["a", MILLION * 5, "a", "a"], [1, 1, 2]),
        ([MILLION * 5, MILLION * 5], [1, 1]),
        ([MILLION, *["a"] * 2000, MILLION], [2000, 2]),
    ],
)
def test_a_slice_has_few_rows_and_few_characters_but_at_least_a_row(
    rows: list[str | None], slices: list[int]
) -> None:
    cut = list(in_slices(rows, lambda row: ("", row, None)))
    assert [len(one) for one in cut] == slices
    assert [row for one in cut for row in one] == rows
