"""One measurement: a client runs once, and everything that it cost is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.clients import inside
from benchmarks.processes import Failed, run_measured

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.api import Api
    from benchmarks.clients import Client
    from benchmarks.postgres import Postgres


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run of a client cost in one phase; seconds, kB and bytes.

    `wall_s` and `cpu_s` are of the whole process, `inside_s` is what the client measured without
    its start. `invoices` are those of each account. `wal_images` counts the whole pages among
    `wal_bytes`. `disk_bytes` is what the client's tables take with their indexes,
    `first_request_s` how long after its start the server heard of it first.
    """

    client: str
    phase: str
    run: int
    accounts: int
    invoices: int
    wall_s: float
    cpu_s: float
    peak_kb: int
    postgres_cpu_s: float
    server_cpu_s: float
    wal_bytes: int
    dead_rows: dict[str, int]
    disk_bytes: int
    requests: int
    throttled: int
    first_request_s: float | None
    wal_images: int = 0
    inside_s: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The servers that a client is measured against, and a directory for what it says."""

    api: Api
    postgres: Postgres
    directory: Path

    def measure(self, client: Client, phase: str, *, run: int, database: str) -> Measurement:
        """Run a client and count; the database is settled before."""
        postgres = self.postgres
        postgres.settle(database)
        self.api.tell("reset")
        wal, images, postgres_cpu_s, server_cpu_s = (
            postgres.wal_position(),
            postgres.wal_images(),
            postgres.cpu_s(),
            self.api.cpu_s(),
        )
        cost = run_measured(client.command, environ=client.full_environ(), directory=self.directory)
        postgres.wait_until_left(database)
        postgres_cpu_s = postgres.cpu_s() - postgres_cpu_s
        server_cpu_s = self.api.cpu_s() - server_cpu_s
        wal = postgres.wal_position() - wal
        images = postgres.wal_images() - images
        asked = self.api.tell("state")
        first = asked["first_request_at"]
        said: dict[str, Any] = inside(client.name, self.directory)
        return Measurement(
            client=client.name,
            phase=phase,
            run=run,
            accounts=self.api.accounts,
            invoices=self.api.invoices,
            wall_s=cost.wall_s,
            cpu_s=cost.cpu_s,
            peak_kb=cost.peak_kb,
            postgres_cpu_s=postgres_cpu_s,
            server_cpu_s=server_cpu_s,
            wal_bytes=wal,
            wal_images=images,
            dead_rows=postgres.dead_rows(database),
            disk_bytes=postgres.disk_bytes(database),
            requests=asked["requests"],
            throttled=asked["throttled"],
            first_request_s=None if first is None else first - cost.started_at,
            inside_s=said.get("inside_s"),
            counts=said.get("counts", {}),
        )

    def check(self, client: Client, database: str) -> None:
        """Raise Failed unless the client has stored what the server serves, to the cent."""
        stored = [int(value) for value in self.postgres.values(database, client.check)]
        wanted = list(self.api.tell("totals").values())
        if stored != wanted:
            raise Failed(f"{client.name} stored {stored}, and {wanted} is what was served")
