"""The unit is one that systemd takes, is well closed, and agrees with its page and the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from syncer.shutdown import LAST_RESORT_S
from tests.documents import ROOT, read

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "deploy/systemd/syncer.service"
ANALYZE = shutil.which("systemd-analyze") or ""
needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", read(UNIT), re.MULTILINE)


@needs_systemd
def test_systemd_takes_every_line(tmp_path: Path) -> None:
    program = tmp_path / "syncer"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "syncer.service"
    unit.write_text(read(UNIT).replace("/opt/syncer/bin/syncer", str(program)))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "syncer.service" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_it_is_well_closed() -> None:
    done = subprocess.run(
        [ANALYZE, "security", "--offline=yes", "--threshold=15", ROOT / UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at no files")
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_its_credentials_are_those_that_the_pages_name() -> None:
    given = {value.partition(":")[0] for value in values("LoadCredential")}
    named = set(re.findall(r"/run/credentials/syncer\.service/(\w+)", read("docs/systemd.md")))
    made = set(re.findall(r"/dev/stdin /etc/syncer/secrets/(\w+)", read("docs/start.md")))
    assert given == named == made


def test_it_waits_longer_than_the_program_takes_to_stop() -> None:
    [seconds] = values("TimeoutStopSec")
    assert int(seconds.removesuffix("s")) > LAST_RESORT_S
