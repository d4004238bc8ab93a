"""The metrics by themselves: their page, the alerts on them, and what bounds their labels."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from uuid import UUID

import pytest
import yaml

from syncer.metrics import STATUSES, Metrics
from syncer.standing import AccountStanding, Standing
from syncer.store.journal import AccountRecord
from tests.documents import ROOT, read, rows, section
from tests.scrapes import Scrape

DIRECTORY = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool") or ""
needs_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="no promtool: install Debian's package prometheus"
)


def standing() -> Standing:
    return Standing(accounts=(AccountStanding(id="1", name="eu", error_kind="access_denied"),))


def exposed(metrics: Metrics, seen: Standing) -> Scrape:
    return Scrape(metrics.exposition(seen, datetime(2026, 1, 1, tzinfo=UTC)).decode())


def test_every_metric_is_explained_and_no_other() -> None:
    metrics = Metrics()
    metrics.keep_to(standing().accounts)
    metrics.show_discoveries({"discover[0]": True})
    found = exposed(metrics, standing()).families
    explained = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows(section("docs/metrics.md", "## What is counted"))
        if name != "metric"
    }
    expected = {}
    for family in metrics.registry.collect():
        if family.name.startswith("syncer_"):
            samples = found[family.name].samples
            labels = {label for sample in samples for label in sample.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            expected[name] = (family.type, labels)
    assert explained == expected


def test_whatever_status_is_answered_there_are_no_more_series() -> None:
    metrics = Metrics()
    for status in (None, *range(1000)):
        metrics.request_ended(status)
    found = exposed(metrics, Standing()).named("syncer_cloudflare_requests_total")
    assert {dict(labels)["status"] for labels in found} == set(STATUSES)
    assert sum(found.values()) == 1001
    assert found[frozenset({("status", "4xx")})] == 99


def test_an_error_that_is_mended_and_an_account_that_is_gone_leave_nothing_behind() -> None:
    metrics = Metrics()
    assert exposed(metrics, standing()).named("syncer_account_last_error_info")
    mended = Standing(accounts=(AccountStanding(id="2", name="us", stale=False),))
    found = exposed(metrics, mended)
    assert found.named("syncer_account_last_error_info") == {}
    assert len(found.named("syncer_account_stale")) == 1


def test_who_is_asked_no_more_is_counted_no_more() -> None:
    metrics = Metrics()
    for name in ("eu", "us"):
        metrics.account_finished(
            AccountRecord(run_id=UUID(int=1), account_id=name, account_name=name, status="failed"),
            1.0,
        )
    metrics.keep_to([AccountStanding(id="eu", name="eu"), AccountStanding(id="us", name="new")])
    found = exposed(metrics, Standing()).named("syncer_account_syncs_total")
    counted = {
        (labels["account"], labels["status"]): value
        for labels, value in ((dict(labels), value) for labels, value in found.items())
    }
    assert counted == {("eu", "failed"): 1, ("eu", "complete"): 0, ("new", "complete"): 0}
    metrics.keep_to([])
    assert exposed(metrics, Standing()).named("syncer_account_syncs_total") == {}


def test_every_alert_is_explained_and_every_one_says_what_to_do() -> None:
    [group] = yaml.safe_load((DIRECTORY / "alerts.yml").read_text())["groups"]
    explained = re.findall(
        r"^\| `(Syncer\w+)`", section("docs/metrics.md", "## Alerts"), re.MULTILINE
    )
    assert [rule["alert"] for rule in group["rules"]] == explained
    for rule in group["rules"]:
        assert rule["annotations"].keys() == {"summary", "description", "action"}


def test_alerts_ask_for_metrics_that_exist() -> None:
    asked = set(re.findall(r"\bsyncer_\w+", read("deploy/prometheus/alerts.yml")))
    explained = set(re.findall(r"^\| `(syncer_\w+)`", read("docs/metrics.md"), re.MULTILINE))
    assert asked
    assert asked <= explained


@needs_promtool
@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [PROMTOOL, *arguments], cwd=DIRECTORY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
