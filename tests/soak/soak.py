"""A soak: the daemon as a process, for a while, among faults; and what was seen of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from syncer.stop import Stop
from syncer.store.failures import DRIVER_ERRORS
from tests.acceptance.program import Program
from tests.soak.contents import differences, imbalances
from tests.soak.daemon_log import DaemonLog
from tests.soak.samples import Sample, TableSize, hold_on, look_at, table_sizes
from tests.soak.server import soak_server
from tests.soak.site import Scale, Site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.program import Running
    from tests.soak.daemon_log import Event
    from tests.soak.server import Row, Server
    from tests.soak.weather import Climate

# Within it a run ends, whatever it has to wait for on a busy machine.
PATIENCE_S: Final = 300.0
HEARTBEAT_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how much and how rough; times in seconds.

    It lasts until both the time and so many runs are over.
    """

    scale: Scale
    climate: Climate
    lasts_s: float
    runs: int
    sample_every_s: float
    session_ends_every_s: float
    seed: int


@dataclass
class Soak:
    """What a soak has brought; the fields of the end are filled in once it is there."""

    plan: Plan
    site: Site
    server: Server
    log: DaemonLog = field(default_factory=DaemonLog)
    samples: list[Sample] = field(default_factory=list)
    restarts: int = 0
    sessions_ended: int = 0
    longest_lag_s: float = 0.0
    last_run: Event = field(default_factory=dict)
    incomplete: list[Row] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    imbalances: list[str] = field(default_factory=list)
    compact: dict[str, TableSize] = field(default_factory=dict)
    hot_updates: float = 0.0
    exit_code: int | None = None
    exit_s: float = 0.0
    left_behind: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._over = Stop()

    async def run(self, daemon: Running) -> None:
        """Live through all of it."""
        assert daemon.process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(daemon.process.stderr))
            # What is away when it starts, ends it.
            await self.log.event(
                lambda event: event["event"] == "daemon.started", within_s=PATIENCE_S
            )
            self._began = time.monotonic()
            group.create_task(self._sample(daemon.process.pid))
            group.create_task(self._measure_lag())
            await self._trouble_the_database()
            self.site.weather.calm = True
            await self._settle()
            self._over.request()
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                self.exit_code = await daemon.process.wait()
            self.exit_s = time.monotonic() - began
        await self._judge()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        await self.log.read(stream)
        assert self._over.requested, f"the daemon has ended: {self.log.unreadable} {self.log.last}"

    async def _trouble_the_database(self) -> None:
        """End sessions now and then, and restart the server once, in the middle."""
        quiet = Stop()
        end = self._began + self.plan.lasts_s
        middle = self._began + self.plan.lasts_s / 2
        while time.monotonic() < end or self.log.events["run.finished"] < self.plan.runs:
            await quiet.pause(self.plan.session_ends_every_s)
            if time.monotonic() > middle and not self.restarts:
                await self.server.restart()
                self.restarts += 1
            else:
                await self.server.end_a_session()
                self.sessions_ended += 1

    async def _settle(self) -> None:
        """Wait for the end of the first run that is due after all faults.

        One that was due before may take a walk that went before the last fault for its own.
        """
        calm_at = datetime.now(UTC)
        started = await self.log.event(
            lambda event: (
                event["event"] == "run.started"
                and event["tick"] is not None
                and datetime.fromisoformat(event["tick"]) > calm_at
            ),
            within_s=PATIENCE_S,
        )
        self.last_run = await self.log.event(
            lambda event: event["event"] == "run.finished" and event["run_id"] == started["run_id"],
            within_s=PATIENCE_S,
        )

    async def _sample(self, pid: int) -> None:
        while True:
            try:
                hold = await hold_on(self.server)
                sizes = await table_sizes(self.server)
            except DRIVER_ERRORS:
                # The server is being restarted.
                await self._over.pause(HEARTBEAT_S)
                continue
            if self._over.requested:
                return
            self.samples.append(
                Sample(
                    at_s=time.monotonic() - self._began,
                    process=look_at(pid),
                    hold=hold,
                    runs=self.log.events["run.finished"],
                    requests=self.site.answers.total(),
                    faults=self.site.weather.faults.total(),
                    tables=sizes,
                )
            )
            await self._over.pause(self.plan.sample_every_s)

    async def _measure_lag(self) -> None:
        """Find out by how much the API, which lives in this event loop, may be late to notice."""
        while not self._over.requested:
            before = time.monotonic()
            await self._over.pause(HEARTBEAT_S)
            self.longest_lag_s = max(self.longest_lag_s, time.monotonic() - before - HEARTBEAT_S)

    async def _judge(self) -> None:
        server = self.server
        self.differences = list(await differences(server, self.site.accounts))
        self.imbalances = list(await imbalances(server))
        hold = await hold_on(server)
        unfinished = await server.row("""
            SELECT
                (SELECT count(*) FROM sync_runs WHERE status = 'running') AS runs,
                (SELECT count(*) FROM account_syncs WHERE status IS NULL) AS walks
        """)
        self.incomplete = await server.rows(
            "SELECT * FROM sync_state WHERE last_status <> 'complete'"
        )
        self.left_behind = {**asdict(hold), **unfinished}
        updates = await server.row("""
            SELECT n_tup_hot_upd::float8 / greatest(n_tup_upd, 1) AS hot
            FROM pg_stat_user_tables WHERE schemaname = 'public' AND relname = 'sync_state'
        """)
        self.hot_updates = updates["hot"]
        await server.execute("CREATE SCHEMA compact")
        for table in self.samples[-1].tables:
            await server.execute(f"""
                CREATE TABLE compact.{table} (LIKE public.{table} INCLUDING ALL);
                INSERT INTO compact.{table} OVERRIDING SYSTEM VALUE SELECT * FROM public.{table};
            """)
            await server.execute(f"VACUUM FULL compact.{table}")
        self.compact = await table_sizes(server, "compact")


async def soak(plan: Plan, directory: Path) -> Soak:
    """Make everything, let it run, and take it down again."""
    async with soak_server() as server:
        site = Site(directory, plan.scale, plan.climate, seed=plan.seed)
        async with site.api:
            config = directory / "config.toml"
            config.write_text(site.configuration(server.dsn))
            config.chmod(0o600)
            program = Program(directory, site.api, server.dsn)
            async with program.running_bare("--config", os.fspath(config), "run") as daemon:
                watched = Soak(plan, site, server)
                await watched.run(daemon)
                return watched
