"""The Compose file's demo as a project of its own, and what a person at a terminal does to it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 90.0
LASTING = ("postgres", "cloudflare", "syncer")
ONCE = ("roles", "migrate", "rights")
SUPERUSER = "postgres_password"  # the file, not the password


def call(*command: str | Path, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command; its output, or an error that shows what it said."""
    done = subprocess.run(
        command, cwd=ROOT, env=env, text=True, capture_output=True, check=False, timeout=400
    )
    if check and done.returncode:
        raise AssertionError(f"{shlex.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def logs(identity: str) -> str:
    """What a container has said so far, on either of its outputs."""
    return call("sh", "-c", f"docker logs {identity} 2>&1")


def has(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build(directory: Path, tag: str) -> None:
    """Build an image; SYNCER_TEST_BUILD_OPTIONS is for what this machine's network needs."""
    options = shlex.split(os.environ.get("SYNCER_TEST_BUILD_OPTIONS", ""))
    labels = ("--build-arg", "VERSION=of-a-test", "--build-arg", "REVISION=of-a-test")
    call("docker", "build", "--quiet", *options, *labels, "--tag", tag, directory)


def until(found: Callable[[], object], what: str) -> None:
    """Wait for what another process does, and say what was waited for in vain."""
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Stack:
    """A Compose project; `version` is the tag of its image."""

    project: str
    secrets: Path
    version: str

    def compose(self, *arguments: str) -> str:
        return call(*self._command, *arguments, env=self._environ)

    def as_written(self, commands: str) -> str:
        """Run commands of a page, which begin with `$ `, in this project and with its image."""
        lines = [line.removeprefix("$ ") for line in commands.splitlines()]
        script = "set -e\n" + "\n".join(lines)
        script = script.replace("docker compose", shlex.join(self._command))
        return call("sh", "-c", script.replace("--build", "--no-build"), env=self._environ)

    @property
    def _command(self) -> tuple[str, ...]:
        plugin = has("docker", "compose", "version")
        return (
            *(("docker", "compose") if plugin else ("docker-compose",)),
            *("--env-file", "deploy/compose/demo.env", "--project-name", self.project),
        )

    @property
    def _environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "COMPOSE_PROFILES": "demo",
            "SYNCER_SECRETS": str(self.secrets),
            "SYNCER_VERSION": self.version,
        }

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        [found] = json.loads(call("docker", "inspect", self.container(service)))
        assert isinstance(found, dict)
        return found

    def healthy(self, service: str) -> bool:
        state = self.inspect(service)["State"]
        return bool(state["Status"] == "running" and state["Health"]["Status"] == "healthy")

    def sql(self, query: str, role: str = "postgres", secret: str = SUPERUSER) -> str:
        """Ask the database from a container of its own; bare rows, columns divided by `|`."""
        password = (self.secrets / secret).read_text()
        return call(
            *("docker", "run", "--rm", "--network", f"{self.project}_database"),
            *("--env", "PGPASSWORD", "postgres:18", "psql", "--no-psqlrc", "--host=postgres"),
            *(f"--username={role}", "--dbname=syncer", "--tuples-only", "--no-align"),
            f"--command={query}",
            env={**os.environ, "PGPASSWORD": password},
        ).strip()

    def events(self, service: str = "syncer") -> list[str]:
        lines = logs(self.container(service)).splitlines()
        return [json.loads(line)["event"] for line in lines if line.startswith("{")]

    def ready(self) -> bool:
        """Whether the daemon answers that it is, asked from the host at the container's address."""
        networks = self.inspect("syncer")["NetworkSettings"]["Networks"]
        return answers(networks[f"{self.project}_default"]["IPAddress"])

    def readiness_s(self) -> tuple[float, float]:
        """Start the daemon's stopped container; the seconds from its start until it is ready.

        And for how many of them its first thread, which does all of it, waited for a processor.
        """
        identity = self.container("syncer")
        call("docker", "start", identity)
        state = self.inspect("syncer")
        address = state["NetworkSettings"]["Networks"][f"{self.project}_default"]["IPAddress"]
        until(lambda: answers(address), "the daemon to be ready")
        ready_at = time.time()
        started_at = state["State"]["StartedAt"]
        ready_s = ready_at - datetime.fromisoformat(started_at[:26] + "+00:00").timestamp()
        return ready_s, waited_s(state["State"]["Pid"])

    def syncs_again(self) -> None:
        """Wait until an account is complete in a run that begins after now."""
        began = self.sql("SELECT clock_timestamp()")
        query = (
            "SELECT count(*) FROM account_syncs JOIN sync_runs ON sync_runs.id = run_id"
            f" WHERE sync_runs.started_at > '{began}' AND account_syncs.status = 'complete'"
        )
        until(lambda: self.sql(query) != "0", "a run after this moment")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def waited_s(pid: int) -> float:
    """How long a process' first thread has waited for a processor; 0 where Linux does not say."""
    try:
        waited_ns = Path(f"/proc/{pid}/schedstat").read_text().split()[1]
    except OSError:
        return 0.0
    return int(waited_ns) / 1e9
