"""A PgBouncer of a test's own before the tests' server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.acceptance.program import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")

# How few server connections do for one process: in transaction mode one for the locks of the run
# and one for its work; in session mode one for each of its own.
ENOUGH = pytest.mark.parametrize(
    ("pool_mode", "pool_size"), [("transaction", 2), ("session", 5)], ids=["transaction", "session"]
)

_PATIENCE_S = 30.0
_POLL_S = 0.01

# With auth_type any, the database's own line says who logs in. Nothing is said here of parameters
# to be ignored, so that the program is seen to need none.
_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} {password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = 200
"""


@contextmanager
def pgbouncer(
    dsn: str, *, pool_mode: str, pool_size: int = 4, port: int | None = None
) -> Iterator[str]:
    """Run PgBouncer before the server of `dsn`; give the DSN of the same database through it."""
    assert PROGRAM is not None
    url = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    listen = port or free_port()
    configuration = _CONFIGURATION.format(
        host=url.hostname or query["host"],
        port=url.port or query.get("port", "5432"),
        user=url.username or "postgres",
        password=f"password={unquote(url.password)}" if url.password else "",
        listen=listen,
        pool_mode=pool_mode,
        pool_size=pool_size,
    )
    # It refuses to run as root; the embedded server's socket is open to its own account alone.
    as_other = ["-u", "nobody"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="syncer-pgbouncer-") as directory:
        Path(directory).chmod(0o755)
        path = Path(directory, "pgbouncer.ini")
        path.write_text(configuration)
        log = Path(directory, "log")
        with (
            log.open("w") as written,
            subprocess.Popen([PROGRAM, *as_other, str(path)], stderr=written) as process,
        ):
            try:
                _wait_until_up(process, log)
                yield f"postgresql://anybody@127.0.0.1:{listen}{url.path}"
            finally:
                # SIGTERM has newer versions wait until every client has left.
                process.kill()


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while "process up" not in (told := log.read_text()):
        is_starting = process.poll() is None and time.monotonic() < deadline
        assert is_starting, f"PgBouncer did not start: {told}"
        time.sleep(_POLL_S)
