"""Syncs that spend their time waiting, against the least time that this takes.

With a latency, `concurrent_requests` are answered at a time, so all pages take at least
`pages / concurrent_requests * latency`.

With a limit of `budget` requests in any window of `window_s`, the first `budget` may go at once,
and each further `budget` not before a window later. So `n` requests take at least
`ceil(n / budget) - 1` windows, and whatever the last of them take. At the rate that the budget
comes to, evenly, they would take `n / budget` windows, which is always more.

The limit here is the API's, 1,200 requests in five minutes, on a clock that is sixty times as fast:
1,200 in five seconds. The server refuses everything for a window once it was exceeded, as the API
does, and counts it; a sync that was refused once does not count as measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import clients, phases
from benchmarks.results import Waited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Bench

DATABASE: Final = "waiting"


@dataclass(frozen=True)
class Limit:
    """The server's limit in a window, and the budgets that syncer keeps to in turn."""

    requests: int
    window_s: int
    budgets: Sequence[int]


USUAL_LIMIT: Final = Limit(1200, 5, (1000, 1200))


def under_latency(
    bench: Bench, *, latency_ms: float, measured_phases: Sequence[str]
) -> Iterator[Waited]:
    """Measure the phases with a latency."""
    api, setting = bench.api, clients.Setting()
    dsn = bench.postgres.create(DATABASE, template=phases.TEMPLATE)
    client = clients.syncer(api, dsn, bench.directory, setting)
    bound_s = latency_bound_s(api.pages(), setting.concurrent_requests, latency_ms / 1000)
    what = f"{latency_ms:g} ms a request, {setting.concurrent_requests} at a time"
    api.tell(f"latency?ms={latency_ms}")
    try:
        for phase in measured_phases:
            phases.move_on(api, phase)
            for one in (clients.receiving(api), client):
                measured = bench.measure(one, phase, run=1, database=DATABASE)
                yield Waited(what, bound_s, measured)
            phases.require_counts(measured, api, 0)
    finally:
        api.tell("latency?ms=0")


def under_limit(bench: Bench, limit: Limit) -> Iterator[Waited]:
    """Measure syncs in which nothing changed, all accounts with one credential."""
    api = bench.api
    dsn = bench.postgres.create(DATABASE, template=phases.TEMPLATE)
    loading = clients.syncer(api, dsn, bench.directory, clients.Setting())
    bench.measure(loading, phases.FIRST, run=1, database=DATABASE)
    try:
        for budget in limit.budgets:
            api.tell("renew")
            api.tell(f"limit?requests={limit.requests}&seconds={limit.window_s}")
            setting = clients.Setting(
                requests=budget, per=f"{limit.window_s}s", one_credential=True
            )
            client = clients.syncer(api, dsn, bench.directory, setting)
            measured = bench.measure(client, phases.NOTHING, run=1, database=DATABASE)
            phases.require_counts(measured, api, 0)
            bound_s = limit_bound_s(api.pages(), budget, limit.window_s)
            at_rate_s = rate_bound_s(api.pages(), budget, limit.window_s)
            what = f"{budget:,} requests in {limit.window_s} s of {limit.requests:,} allowed"
            yield Waited(what, bound_s, measured, at_rate_s)
    finally:
        api.tell("limit?requests=0&seconds=1")


def latency_bound_s(pages: int, concurrent: int, latency_s: float) -> float:
    """Return the least seconds that so many pages take."""
    return math.ceil(pages / concurrent) * latency_s


def limit_bound_s(requests: int, budget: int, window_s: float) -> float:
    """Return the least seconds that so many requests take under a sliding window."""
    return max(0, math.ceil(requests / budget) - 1) * window_s


def rate_bound_s(requests: int, budget: int, window_s: float) -> float:
    """Return the seconds that so many requests take at an even rate."""
    return requests / budget * window_s
