"""What is wrong with what was seen: each finding is a line, and a good soak has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.soak.measures import growth, shortest_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.samples import Sample
    from tests.soak.soak import Soak

# What the weather can bring about. Any other reason would be a false one.
EXPECTED_OUTCOMES: Final = frozenset(
    {
        *("complete", "fresh", "interrupted", "storage", "unavailable", "malformed_response"),
        *("rate_limited", "access_denied", "fewer_than_reported", "timeout"),
    }
)
# A request is counted before it is sent, and by the API when it arrives: between the two, the
# daemon may be busy or have to connect. So the API may see two requests nearer to each other than
# they were counted, by as long as the first one took. It notices them late where the machine is
# busy: by as long as it was seen to be, the bound is wider.
ON_THE_WAY_S: Final = 0.5
# Eight to the API, five to the database, those of the event loop and the standard ones are 19; the
# others are for connections that are made anew while the old ones end.
MOST_FILES: Final = 24
# Four in the pool and one for locks; one more that was just left and has not ended yet.
MOST_SESSIONS: Final = 6
MOST_THREADS: Final = 4
# Of sixteen accounts and a run, and as many of a session that was just left.
MOST_LOCKS: Final = 2 * 17
# Pages are never fuller than those that are written anew, and have room for a vacuum's worth of
# changes.
BLOAT: Final = 2.0
BLOAT_SLACK: Final = 192 * 1024
# Autovacuum comes at a fifth, once a minute.
DEAD_SHARE: Final = 0.5
DEAD_SLACK: Final = 500
BYTES_PER_ROW: Final = 1.25
# A row is mostly updated within its page, with no new entry in an index.
LEAST_HOT_UPDATES: Final = 0.5

# These grow with what happens, and no faster.
GROWING: Final = ("invoice_history", "sync_runs", "account_syncs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much has to happen at least, and how much memory may grow after the warm-up."""

    faults: int
    rss_growth_kb: int


def findings(seen: Soak, bounds: Bounds) -> Iterator[str]:
    """Judge everything."""
    yield from _rest(seen, bounds)
    yield from _process(seen, bounds)
    yield from _tables(seen)
    yield from _budgets(seen)
    yield from _outcomes(seen)
    yield from _end(seen)


def _rest(seen: Soak, bounds: Bounds) -> Iterator[str]:
    """A soak in which nothing happened proves nothing."""
    happened = {
        "faults": (seen.site.weather.faults.total(), bounds.faults),
        "retries": (seen.log.events["request.retry_scheduled"], bounds.faults // 4),
        "moves": (seen.site.weather.moves.total(), bounds.faults),
        "waits for the budget": (seen.log.events["rate_limit.waiting"], 1),
        "restarts of the server": (seen.restarts, 1),
        "sessions ended": (seen.sessions_ended, 5),
        "samples": (len(seen.samples), 10),
    }
    for what, (count, least) in happened.items():
        if count < least:
            yield f"only {count} {what}, of {least} at least"


def after_warm_up(seen: Soak) -> list[Sample]:
    """Leave the first quarter out."""
    return [one for one in seen.samples if one.at_s >= seen.plan.lasts_s / 4]


def rss_growth_kb(seen: Soak) -> float:
    """Estimate the growth of the daemon's memory after the warm-up."""
    return growth([(one.at_s, float(one.process.rss)) for one in after_warm_up(seen)])


def _process(seen: Soak, bounds: Bounds) -> Iterator[str]:
    grown = rss_growth_kb(seen)
    if grown > bounds.rss_growth_kb:
        yield f"memory grew by {grown:.0f} kB after the warm-up"
    most = {
        "open files": (max(one.process.fds for one in seen.samples), MOST_FILES),
        "threads": (max(one.process.threads for one in seen.samples), MOST_THREADS),
        "child processes": (max(one.process.children for one in seen.samples), 0),
        "sessions": (max(one.hold.sessions for one in seen.samples), MOST_SESSIONS),
        "advisory locks": (max(one.hold.locks for one in seen.samples), MOST_LOCKS),
    }
    for what, (count, bound) in most.items():
        if count > bound:
            yield f"{count} {what}, of {bound} at most"


def _tables(seen: Soak) -> Iterator[str]:
    first, last = after_warm_up(seen)[0].tables, seen.samples[-1].tables
    for table, now in last.items():
        anew = seen.compact[table]
        for what, size, least in (
            ("table", now.table, anew.table),
            ("indexes", now.indexes, anew.indexes),
        ):
            if size > BLOAT * least + BLOAT_SLACK:
                yield f"{table}: {size} bytes of {what}, {least} if written anew"
        most_dead = max(one.tables[table].dead for one in after_warm_up(seen))
        if most_dead > now.rows * DEAD_SHARE + DEAD_SLACK:
            yield f"{table}: {most_dead} dead rows beside {now.rows}"
    for table in GROWING:
        before, now = first[table], last[table]
        bytes_before = (before.table + before.indexes) / max(before.rows, 1)
        if now.table + now.indexes > BYTES_PER_ROW * bytes_before * now.rows + BLOAT_SLACK:
            yield f"{table}: more bytes per row than the {bytes_before:.0f} after the warm-up"
    if last["account_syncs"].rows != seen.plan.scale.accounts * last["sync_runs"].rows:
        yield "not one row per account and run"
    if seen.hot_updates < LEAST_HOT_UPDATES:
        yield f"sync_state: only {seen.hot_updates:.0%} of the updates stayed within their page"


def _budgets(seen: Soak) -> Iterator[str]:
    scale = seen.plan.scale
    slack_s = max(ON_THE_WAY_S, seen.longest_lag_s)
    for token, times in seen.site.arrivals.items():
        span_s = shortest_span(times, scale.requests + 1)
        if span_s < scale.per_s - slack_s:
            yield f"{token}: {scale.requests + 1} requests within {span_s:.3f} s"
    if seen.site.answers["429"]:
        yield f"the API blocked {seen.site.answers['429']} requests"


def _outcomes(seen: Soak) -> Iterator[str]:
    if unexpected := seen.log.outcomes.keys() - EXPECTED_OUTCOMES:
        yield f"outcomes that nothing brought about: {unexpected}"
    for event in (*seen.log.crashes, *seen.log.foreign, *seen.log.unreadable):
        yield f"in the log: {event}"


def _end(seen: Soak) -> Iterator[str]:
    if seen.last_run["status"] != "succeeded":
        yield f"the run after all faults: {seen.last_run}"
    if seen.incomplete:
        yield f"{len(seen.incomplete)} accounts are not complete: {seen.incomplete[:3]}"
    yield from seen.differences
    yield from seen.imbalances
    if seen.exit_code != 0 or seen.exit_s >= 10:
        yield f"exit code {seen.exit_code} after {seen.exit_s:.1f} s"
    if any(seen.left_behind.values()):
        yield f"left behind: {seen.left_behind}"
