"""What the fuzzer kept (`make fuzz-keep`), decoded once more without it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from syncer.cloudflare.wire import decode_page
from syncer.errors import CloudflareError
from tests.fuzz.invariants import check_answer, take_apart

KEPT = sorted(Path(__file__).parents[1].joinpath("fuzz", "corpus").iterdir())


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_an_answer_that_the_fuzzer_kept_is_decoded_right(kept: Path) -> None:
    check_answer(kept.read_bytes())


def test_the_kept_answers_end_in_pages_with_records_of_both_kinds_and_in_errors() -> None:
    ends: Counter[str] = Counter()
    for kept in KEPT:
        try:
            page = decode_page(*take_apart(kept.read_bytes()))
        except CloudflareError as error:
            ends[type(error).__name__] += 1
        else:
            ends.update(type(record).__name__ for record in page.records)
    assert {"Invoice", "Rejection", "MalformedResponse", "Unavailable", "RateLimited"} <= {*ends}
