"""What the benchmark serves and how it reckons."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.api import Api
from benchmarks.document import replace_blocks, rewrite
from benchmarks.markdown import table
from benchmarks.measure import Measurement
from benchmarks.medians import summaries
from benchmarks.pages import Catalogue
from benchmarks.phases import FIRST, PHASES, require_counts
from benchmarks.picture import draw, written
from benchmarks.processes import Failed
from benchmarks.report import growth, limited
from benchmarks.report_sync import sync
from benchmarks.results import Machine, Results, Waited
from benchmarks.versions import Peer
from benchmarks.waiting import latency_bound_s, limit_bound_s, rate_bound_s

if TYPE_CHECKING:
    from pathlib import Path

MEASURED = Measurement(
    client="syncer",
    phase=FIRST,
    run=1,
    accounts=1,
    invoices=100,
    wall_s=2.0,
    cpu_s=1.0,
    peak_kb=2048,
    postgres_cpu_s=0.5,
    server_cpu_s=0.1,
    wal_bytes=1_000_000,
    dead_rows={"sync_state": 1},
    disk_bytes=1_000_000,
    requests=2,
    throttled=0,
    first_request_s=0.3,
    inside_s=1.5,
)


def served(catalogue: Catalogue, per_page: int = 50) -> list[dict[str, Any]]:
    """Every invoice of every account, as the pages have them."""
    pages = [page for pages in catalogue.answers(per_page).values() for page in pages]
    bodies = [json.loads(page.partition(b"\r\n\r\n")[2]) for page in pages]
    return [invoice for body in bodies for invoice in body["result"]["invoices"]]


def test_a_page_is_as_large_as_the_real_ones() -> None:
    catalogue = Catalogue(1, 100)
    (first, _) = catalogue.answers(50)[b"0" * 32]
    length = re.search(rb"Content-Length: (\d+)\r\n", first)
    assert length
    body = first.partition(b"\r\n\r\n")[2]
    assert int(length[1]) == len(body)
    assert 23_000 < len(body) < 25_000
    links = [one["invoice_pdf"] for one in served(catalogue) if one["invoice_pdf"]]
    assert {len(link) for link in links} == {171}
    assert {len(one["id"]) for one in served(catalogue)} == {27}


def test_renewed_links_all_differ_and_nothing_else_does() -> None:
    catalogue = Catalogue(2, 70)
    before = served(catalogue)
    catalogue.renew_links()
    for old, new in zip(before, served(catalogue), strict=True):
        assert (old["invoice_pdf"] != new["invoice_pdf"]) == (old["status"] != "draft")
        assert old | {"invoice_pdf": None} == new | {"invoice_pdf": None}


def test_one_of_a_hundred_changes_on_every_second_page_of_each_account() -> None:
    catalogue = Catalogue(5, 200)
    before = served(catalogue)
    assert catalogue.change_some() == 10
    after = served(catalogue)
    changed = [
        index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]
    ]
    assert sorted(index // 100 for index in changed) == list(range(10))
    assert all(before[i]["amount_paid"] != after[i]["amount_paid"] for i in changed)


def test_the_totals_are_those_of_the_pages_whatever_their_size() -> None:
    catalogue = Catalogue(3, 120)
    catalogue.change_some()
    for per_page in (50, 200):
        invoices = served(catalogue, per_page)
        assert catalogue.totals() == {
            "rows": 360,
            "due": sum(one["amount_due"] for one in invoices),
            "paid": sum(one["amount_paid"] for one in invoices),
            "remaining": sum(one["amount_remaining"] for one in invoices),
            "paid_invoices": sum(one["status"] == "paid" for one in invoices),
        }


def test_ratios_are_those_within_a_run() -> None:
    # The machine was ten times as slow in the third run, for both of them.
    walls = {"syncer": (2.0, 4.0, 30.0), "peer": (20.0, 44.0, 270.0)}
    measured = [
        replace(MEASURED, client=client, run=run, wall_s=wall_s)
        for client, times in walls.items()
        for run, wall_s in enumerate(times, start=1)
    ]
    found = summaries(measured, FIRST)
    assert list(found) == ["syncer", "peer"]
    assert found["peer"].of(lambda one: one.wall_s) == 44.0
    assert found["peer"].against(found["syncer"], lambda one: one.wall_s) == 10.0


def test_a_client_without_a_figure_has_a_dash() -> None:
    peer = replace(MEASURED, client="peer", inside_s=None, wall_s=20.0)
    lines = list(sync([MEASURED, peer]))
    (row,) = [line for line in lines if line.startswith("| peer |")]
    assert row.startswith("| peer | 20.00 | - | - | 10.00 |")


def test_a_first_load_stands_beside_receiving_and_storing_one_after_the_other() -> None:
    # The machine was ten times as slow in the second run, for all of them.
    inside = {
        "receiving only": (1.0, 10.0, 1.0),
        "COPY only": (1.0, 10.0, 3.0),
        "COPY of values": (3.0, 30.0, 5.0),
        "syncer": (3.0, 40.0, 12.0),
    }
    measured = [
        replace(MEASURED, client=client, run=run, inside_s=inside_s)
        for client, times in inside.items()
        for run, inside_s in enumerate(times, start=1)
    ]
    lines = list(sync(measured))
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert rows[2:] == ["| receiving only", "| COPY only", "| COPY of values", "| syncer"]
    text = " ".join(lines)
    # 1.5, 2 and 3 times; 0.75, 1 and 2 times.
    assert "Of receiving and COPY only together, syncer took 2.00 times the time inside" in text
    assert "Of receiving and COPY of values together, syncer took 1.00 times the time" in text


def test_growth_is_what_each_account_and_each_invoice_more_adds() -> None:
    small = replace(MEASURED, accounts=5, invoices=10, inside_s=1.0, cpu_s=2.0, peak_kb=1000)
    large = replace(MEASURED, accounts=105, invoices=10, inside_s=3.0, cpu_s=3.0, peak_kb=2000)
    alone = [replace(small, accounts=1), replace(large, accounts=1, invoices=1010)]
    lines = list(growth([small, large, *alone]))
    assert "| 5 of 10 | 105 of 10 | first load | 20.00 | 10.00 | 10.0 | 2,000.0 | 1.000 |" in lines
    assert "| 1 of 10 | 1 of 1,010 | first load | - | - | - | 2,000.0 | 1.000 |" in lines
    assert list(growth([small, alone[0]]))[-1].startswith("| 1 | 10 | first load |")


@pytest.mark.parametrize(
    ("peer", "asked_for", "text"),
    [
        ("a", ["a"], "a 1"),
        ("script", ["a"], "script is a 1"),
        ("script", ["a", "b"], "script is a 1 with b 2"),
        ("a", ["a", "b", "c"], "a 1 with b 2, c 3"),
    ],
)
def test_a_peer_is_named_by_what_it_is_made_of(peer: str, asked_for: list[str], text: str) -> None:
    assert Peer(asked_for, {"a": "1", "b": "2", "c": "3"}).described_as(peer) == text


def test_numbers_stand_to_the_right() -> None:
    lines = list(table(("what", "s"), [("a", "1,000.5"), ("2 b", "-")]))
    assert lines == ["| what | s |", "| --- | --: |", "| a | 1,000.5 |", "| 2 b | - |"]


def test_the_picture_has_two_bars_of_each_client_in_each_phase() -> None:
    measured = [
        replace(MEASURED, client=client, phase=phase, wal_bytes=0 if client == "a & b" else 10**6)
        for client in ("syncer", "a & b")
        for phase in PHASES
    ]
    picture = draw(measured)
    assert picture.count("<rect ") == 2 * 2 * 3
    assert picture.count(">a &amp; b</text>") == 3
    assert picture.count(">0 MB</text>") == 3


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert written(value) == text


def test_only_what_was_measured_is_replaced() -> None:
    text = (
        "a\n<!-- measured: x -->\nold\n<!-- end -->\nb\n<!-- measured: y -->\nold\n<!-- end -->\n"
    )
    assert replace_blocks(text, {"x": r"new \1"}) == text.replace("old", "\nnew \\1\n", 1)
    with pytest.raises(Failed, match="no place for z"):
        replace_blocks(text, {"z": "new"})


def test_figures_without_fsync_do_not_get_into_the_document(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("<!-- measured: machine -->\n<!-- end -->\n")
    settings = dict.fromkeys(("server_version", "synchronous_commit", "full_page_writes"), "on")
    settings |= {"data_checksums": "on", "fsync": "off"}
    machine = Machine("a CPU", 2, 4096, "6.1", "3.11.7", "ext4", settings)
    with pytest.raises(Failed, match="fsync = off"):
        rewrite(document, Results(machine, "2026-01-02T03:04:05+00:00"))
    assert "Measured" not in document.read_text()
    settings["fsync"] = "on"
    rewrite(document, Results(machine, "2026-01-02T03:04:05+00:00"))
    assert "Measured 2026-01-02" in document.read_text()


@pytest.mark.parametrize(
    ("requests", "bound_s"), [(0, 0), (1000, 0), (1001, 5), (3600, 15), (4000, 15)]
)
def test_a_window_passes_before_each_further_budget(requests: int, bound_s: float) -> None:
    assert limit_bound_s(requests, 1000, 5) == bound_s


def test_a_limited_sync_stands_beside_the_rate_and_the_windows() -> None:
    measured = replace(MEASURED, requests=3600, inside_s=18.9)
    bound_s, at_rate_s = limit_bound_s(3600, 1000, 5), rate_bound_s(3600, 1000, 5)
    lines = list(limited([Waited("1,000 in 5 s", bound_s, measured, at_rate_s)]))
    assert lines[-1] == (
        "| 1,000 in 5 s | first load | 3,600 | 18.00 | 15.00 | 18.90 | 1.05 | 1.26 | 0 |"
    )


@pytest.mark.parametrize(
    "otherwise",
    [{"throttled": 1}, {"requests": 3}, {"counts": {"requests": 2}}],
    ids=["refused once", "a request too many", "counted otherwise"],
)
def test_a_sync_that_did_not_go_as_it_should_does_not_count(otherwise: dict[str, Any]) -> None:
    api = Api("", 0, accounts=1, invoices=100)
    counts = {"requests": 2, "fetched": 100, "inserted": 100, "accounts_complete": 1}
    nothing = dict.fromkeys(("retries", "updated", "unchanged", "missing", "rejected"), 0)
    measured = replace(MEASURED, counts=counts | nothing)
    require_counts(measured, api, 0)
    with pytest.raises(Failed):
        require_counts(replace(measured, **otherwise), api, 0)


def test_as_many_pages_as_there_are_connections_share_a_latency() -> None:
    assert latency_bound_s(4000, 16, 0.025) == 6.25
    assert latency_bound_s(17, 16, 0.025) == 0.05
