"""What the peers are made of."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Final

from benchmarks.clients import PEERS, VENVS
from benchmarks.processes import Failed

_REQUIREMENT: Final = re.compile(r"^([A-Za-z][\w.-]*)", re.MULTILINE)


@dataclass(frozen=True)
class Peer:
    """What a peer is made of: what was asked for, and the version of all that is installed."""

    asked_for: list[str]
    versions: dict[str, str]

    def described_as(self, peer: str) -> str:
        """Name what was asked for, with its version, and the peer where it is called otherwise."""
        first, *rest = [f"{name} {self.versions[name]}" for name in self.asked_for]
        if self.asked_for[0] != peer:
            first = f"{peer} is {first}"
        return f"{first} with {', '.join(rest)}" if rest else first


def look_at_peer(name: str) -> Peer:
    """Find out what a peer's environment holds."""
    python = VENVS / name / "bin" / "python"
    program = (
        "import json, importlib.metadata as m;"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    if not python.exists():
        raise Failed(f"{python} is not there; `make bench PEERS=1` makes it")
    found = subprocess.run([python, "-c", program], stdout=subprocess.PIPE, check=True)  # noqa: S603
    versions = {_canonical(key): value for key, value in json.loads(found.stdout).items()}
    asked_for = _REQUIREMENT.findall((PEERS / name / "requirements.in").read_text())
    return Peer([_canonical(one) for one in asked_for], dict(sorted(versions.items())))


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
