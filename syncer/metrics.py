"""What the daemon tells Prometheus: what this process did, and how each account stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from syncer import __version__
from syncer.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from syncer.account import Account
    from syncer.standing import Named, Standing
    from syncer.store.journal import AccountRecord, RunStatus, Trigger

TRIGGERS: Final = ("start", "schedule")
RUN_STATUSES: Final = ("succeeded", "partial", "failed", "aborted")
STATUSES: Final = ("2xx", "3xx", "4xx", "429", "5xx", "none")
RETRIED: Final = (Reason.RATE_LIMITED, Reason.UNAVAILABLE, Reason.MALFORMED_RESPONSE)
CHANGES: Final = ("inserted", "updated", "unchanged", "missing", "rejected")
DURATIONS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

_TOO_MANY_REQUESTS = 429
_ACCOUNT = ("account_id", "account")

# Each counter would come with another series for the time at which it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counts what an `Observer` and a `Watch` are told, in a registry of its own.

    What is counted starts at 0 rather than with the first event, or `rate()` would miss that one.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count_runs()
        self._count_accounts()
        self._count_requests()
        self._show_standing()
        build = self._gauge("syncer_build_info", "Always 1; its version is a label", "version")
        build.labels(__version__).set(1)
        ProcessCollector(registry=self.registry)

    def _count_runs(self) -> None:
        self._runs = self._counter(
            "syncer_runs_total", "Runs that ended, by what began them and how", "trigger", "status"
        )
        for trigger in TRIGGERS:
            for status in RUN_STATUSES:
                self._runs.labels(trigger, status)
        self._run_duration = self._histogram(
            "syncer_run_duration_seconds", "Time that a run took from its beginning to its end"
        )
        self._in_progress = self._gauge(
            "syncer_run_in_progress", "Whether this process is making a run: 1 or 0"
        )
        self._next_run = self._gauge(
            "syncer_next_run_timestamp_seconds", "Unix time of the next tick of the schedule"
        )

    def _count_accounts(self) -> None:
        self._syncs = self._counter(
            "syncer_account_syncs_total",
            "Turns that an account had in a run, by how they ended",
            *_ACCOUNT,
            "status",
            "reason",
        )
        # Of all the labels, those that no run will ever see again have to go.
        self._counted: set[tuple[str, ...]] = set()
        self._account_duration = self._histogram(
            "syncer_account_sync_duration_seconds", "Time that the sync of an account took"
        )
        self._invoices = self._counter(
            "syncer_invoices_total", "Invoices that were read, by what became of them", "change"
        )
        for change in CHANGES:
            self._invoices.labels(change)

    def _count_requests(self) -> None:
        self._requests = self._counter(
            "syncer_cloudflare_requests_total", "Requests to the API, by HTTP status", "status"
        )
        for status in STATUSES:
            self._requests.labels(status)
        self._retries = self._counter(
            "syncer_cloudflare_retries_total", "Requests that were made again, and why", "reason"
        )
        for reason in RETRIED:
            self._retries.labels(reason)
        self._waits = self._counter(
            "syncer_cloudflare_throttle_waits_total", "Waits of a request for its budget"
        )
        self._wait_seconds = self._counter(
            "syncer_cloudflare_throttle_wait_seconds_total",
            "Time that requests have waited for their budget, of each one that waited",
        )

    def _show_standing(self) -> None:
        self._discoveries = self._gauge(
            "syncer_discovery_up",
            "Whether the list of its accounts could be had before the last run: 1 or 0",
            "discovery",
        )
        self._database_up = self._gauge(
            "syncer_database_up", "Whether the database answers and has the right schema: 1 or 0"
        )
        self._last_complete = self._gauge(
            "syncer_account_last_complete_timestamp_seconds",
            "Unix time of the last complete sync by any process; 0: there was none",
            *_ACCOUNT,
        )
        self._stale = self._gauge(
            "syncer_account_stale", "Whether that is longer ago than max_age: 1 or 0", *_ACCOUNT
        )
        self._failures = self._gauge(
            "syncer_account_consecutive_failures", "Syncs since then, none complete", *_ACCOUNT
        )
        self._error = self._gauge(
            "syncer_account_last_error_info",
            "Always 1; what the last sync met",
            *_ACCOUNT,
            "reason",
        )

    def keep_to(self, accounts: Iterable[Named]) -> None:
        """Count the syncs of these accounts from now on, and forget those of all others."""
        kept = {(account.id, account.name) for account in accounts}
        for id_, name in kept:
            self._count_sync(id_, name, "complete", "none")
        for labels in [one for one in self._counted if one[:2] not in kept]:
            self._syncs.remove(*labels)
            self._counted.discard(labels)

    def show_discoveries(self, listed: Mapping[str, bool]) -> None:
        """Show of these discoveries, and of no others, whether they could be listed."""
        self._discoveries.clear()
        for label, up in listed.items():
            self._discoveries.labels(label).set(up)

    def exposition(self, standing: Standing, next_tick: datetime | None) -> bytes:
        """Write everything in Prometheus' text format.

        What the database did not tell this time is left out: old news would pass for new.
        """
        self._next_run.set(_unix(next_tick))
        self._database_up.set(standing.error is None)
        for gauge in (self._last_complete, self._stale, self._failures, self._error):
            gauge.clear()
        for account in standing.accounts:
            labels = (account.id, account.name)
            self._last_complete.labels(*labels).set(_unix(account.last_complete_at))
            self._stale.labels(*labels).set(account.stale)
            self._failures.labels(*labels).set(account.consecutive_failures)
            if account.error_kind is not None:
                self._error.labels(*labels, account.error_kind).set(1)
        return generate_latest(self.registry)

    def run_started(self, _trigger: Trigger, /) -> None:
        """Show that a run is being made."""
        self._in_progress.set(1)

    def run_ended(self, trigger: Trigger, status: RunStatus | None, seconds: float, /) -> None:
        """Count the run."""
        self._in_progress.set(0)
        self._runs.labels(trigger, status or "aborted").inc()
        self._run_duration.observe(seconds)

    def account_started(self, _account: Account, /) -> None:
        """Do nothing."""

    def page_fetched(self, _account: Account, _pages: int, _expected: int, /) -> None:
        """Do nothing."""

    def account_finished(self, record: AccountRecord, seconds: float, /) -> None:
        """Count the account's turn, and its invoices."""
        reason = record.reason or "none"
        self._count_sync(record.account_id, record.account_name, record.status, reason).inc()
        if record.status != "skipped":
            self._account_duration.observe(seconds)
        for change in CHANGES:
            self._invoices.labels(change).inc(getattr(record, change))

    def request_ended(self, status: int | None, /) -> None:
        """Count the request."""
        self._requests.labels(_status_class(status)).inc()

    def retry_scheduled(self, reason: Reason, /) -> None:
        """Count the retry."""
        self._retries.labels(reason).inc()

    def throttled(self, wait_s: float, /) -> None:
        """Count the wait."""
        self._waits.inc()
        self._wait_seconds.inc(wait_s)

    def _count_sync(self, *labels: str) -> Counter:
        self._counted.add(labels)
        return self._syncs.labels(*labels)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(name, meaning, registry=self.registry, buckets=DURATIONS_S)


def _unix(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


def _status_class(status: int | None) -> str:
    if status is None or status == _TOO_MANY_REQUESTS:
        return "none" if status is None else str(status)
    # Whatever a broken server sends, there are no more labels than these.
    return word if (word := f"{status // 100}xx") in STATUSES else "none"
