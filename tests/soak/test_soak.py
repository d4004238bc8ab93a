"""The daemon over some time, among faults: nothing grows, no budget is exceeded, all is stored."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.acceptance.program import needs_proc
from tests.soak.report import report
from tests.soak.site import Scale
from tests.soak.soak import Plan, soak
from tests.soak.verdict import Bounds, findings
from tests.soak.weather import Climate

if TYPE_CHECKING:
    from tests.soak.soak import Soak

# Where the figures go, as well as to standard output.
REPORT: Final = "SYNCER_SOAK_REPORT"

SHORT: Final = Plan(
    scale=Scale(
        accounts=100,
        credentials=10,
        large=1,
        invoices=60,
        large_invoices=540,
        requests=100,
        per_s=3,
    ),
    climate=Climate(faults=0.06, spells=0.004),
    lasts_s=10,
    runs=3,
    sample_every_s=0.25,
    session_ends_every_s=1,
    seed=1,
)
LONG: Final = Plan(
    scale=Scale(
        accounts=1000,
        credentials=100,
        large=3,
        invoices=60,
        large_invoices=540,
        requests=100,
        per_s=5,
    ),
    climate=Climate(),
    lasts_s=750,
    runs=15,
    sample_every_s=4,
    session_ends_every_s=4,
    seed=1,
)


@needs_proc
@pytest.mark.slow
async def test_a_short_soak_leaves_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = await soak(SHORT, tmp_path)
    show(seen, capsys)
    assert list(findings(seen, Bounds(faults=20, rss_growth_kb=8192))) == []


@needs_proc
@pytest.mark.long
async def test_a_thousand_accounts_and_nothing_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = await soak(LONG, tmp_path)
    show(seen, capsys)
    assert list(findings(seen, Bounds(faults=1000, rss_growth_kb=4096))) == []


def show(seen: Soak, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(report(seen)) + "\n"
    with capsys.disabled():
        sys.stderr.write(f"\n{text}")
    if path := os.environ.get(REPORT):
        Path(path).write_text(text)
