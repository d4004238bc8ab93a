"""A soak's figures, for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.soak.measures import busiest_window, shortest_span
from tests.soak.samples import as_table
from tests.soak.verdict import after_warm_up, rss_growth_kb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.soak import Soak


def report(seen: Soak) -> Iterator[str]:
    """Lay out all that was seen, line by line."""
    scale, log, weather = seen.plan.scale, seen.log, seen.site.weather
    yield f"{scale.accounts} accounts, {scale.credentials} credentials, {seen.plan.lasts_s} s"
    yield from as_table(seen.samples)
    steady = after_warm_up(seen)
    yield (
        f"RSS kB: {seen.samples[0].process.rss} at the start, {steady[0].process.rss} after the"
        f" warm-up, {seen.samples[-1].process.rss} at the end, growth {rss_growth_kb(seen):.0f}"
    )
    yield f"runs: {counts(log.runs)}; outcomes: {counts(log.outcomes)}"
    yield f"events: {counts(log.events)}"
    yield f"answers: {counts(seen.site.answers)}"
    yield f"faults: {counts(weather.faults)}"
    yield f"moves: {counts(weather.moves)}"
    yield f"sessions ended: {seen.sessions_ended}; restarts of the server: {seen.restarts}"
    shortest = sorted(
        shortest_span(times, scale.requests + 1) for times in seen.site.arrivals.values()
    )
    yield f"tokens: {len(shortest)}; {scale.requests + 1} requests took at least {shortest[:3]} s"
    for width_s in (scale.per_s, scale.per_s - 1):
        busiest = Counter(busiest_window(times, width_s) for times in seen.site.arrivals.values())
        yield f"requests in the busiest {width_s} s, and tokens: {dict(sorted(busiest.items()))}"
    yield f"latest the API noticed anything: {seen.longest_lag_s:.3f} s"
    for table, size in seen.compact.items():
        now = seen.samples[-1].tables[table]
        yield (
            f"{table}: {now.rows} rows in {now.table // 1024} + {now.indexes // 1024} kB,"
            f" written anew {size.table // 1024} + {size.indexes // 1024} kB"
        )
    yield f"HOT updates of sync_state: {seen.hot_updates:.1%}"
    yield f"last run: {seen.last_run}"
    yield f"exit {seen.exit_code} in {seen.exit_s:.2f} s; left behind: {seen.left_behind}"
    yield f"differences: {seen.differences[:5]}; imbalances: {seen.imbalances[:5]}"
    yield f"incomplete: {seen.incomplete[:5]}"
    yield f"crashes: {log.crashes[:2]}; foreign: {log.foreign[:3]}"
    yield f"unreadable: {''.join(log.unreadable)}"


def counts(counted: Counter[str]) -> str:
    """Show counts, the largest first."""
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())
