"""Where the output goes wrong: the exit code and one line tell, never a traceback."""

import asyncio
import json
import os
import pty
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from syncer.demo.faults import Hang
from tests.acceptance.program import PATIENCE_S, Finished, Program, free_port


async def run_in_shell(syncer: Program, arguments: str, redirection: str) -> Finished:
    """Run a command with the configuration; `redirection` is the shell's, and may be a pipe."""
    command = shlex.join([sys.executable, "-m", "syncer", "--config", str(syncer.config)])
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        # Of a pipe, the code is the program's.
        f"{command} {arguments} {redirection}; exit ${{PIPESTATUS[0]}}",
        cwd=syncer.directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, stdout.decode(), stderr.decode())


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["| true", ">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
async def test_nobody_reads_what_it_prints(syncer: Program, redirection: str) -> None:
    syncer.add("production", 3)
    for arguments in ("status", "check", "--version", "--help"):
        finished = await run_in_shell(syncer, arguments, redirection)
        assert (finished.code, finished.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["| true", ">&-"])
async def test_the_exit_code_is_the_commands_own_whoever_reads(
    syncer: Program, redirection: str
) -> None:
    # More than a stream buffers, so that the pipe breaks while the command is at work.
    for number in range(50):
        syncer.add(f"{number:02d}" + "x" * 90, 0).logins = set()
    assert (await run_in_shell(syncer, "check", redirection)).code == 1
    finished = await run_in_shell(syncer, "sync", redirection)
    assert (finished.code, finished.events[-1]["event"]) == (1, "run.finished")


@pytest.mark.parametrize("arguments", ["status", "status --json", "check", "--version", "--help"])
async def test_a_full_disk(syncer: Program, arguments: str) -> None:
    syncer.add("production", 3)
    finished = await run_in_shell(syncer, arguments, ">/dev/full")
    assert finished.code == 1
    assert finished.stderr == "syncer: cannot write the result: No space left on device\n"


async def test_usage_errors_keep_their_code(syncer: Program) -> None:
    for redirection in ("", ">&-", ">/dev/full"):
        finished = await run_in_shell(syncer, "status --no-such-option", redirection)
        assert finished.code == 2
        assert "no-such-option" in finished.stderr
    nothing = await syncer.run_bare()
    assert nothing.code == 2
    assert "Commands" in nothing.stdout + nothing.stderr


async def test_an_interrupt_is_one_line(syncer: Program) -> None:
    syncer.add("production", 3).script = lambda _nth, _seen: Hang(asyncio.Event())
    async with syncer.running("check") as process:
        await syncer.api.wait_for_requests(1)
        process.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            _, stderr = await process.process.communicate()
    assert (process.process.returncode, stderr) == (1, b"syncer: interrupted\n")


@pytest.mark.slow
async def test_a_name_that_the_terminal_cannot_show(syncer: Program) -> None:
    syncer.add("office", 3)
    path = syncer.config
    path.write_text(path.read_text().replace('name = "office"', 'name = "Büro"'), encoding="utf-8")
    for command in ("check", "sync", "status"):
        finished = await syncer.run_bare("-c", str(path), command, PYTHONIOENCODING="ascii")
        assert finished.code == 0
        assert r"B\xfcro" in finished.stdout
        assert "Traceback" not in finished.stderr


async def sync_on_terminal(config: Path) -> list[str]:
    """Sync with standard error on a terminal, without complaint; the lines on it."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "syncer", "--config", str(config), "sync"),
        stdin=theirs,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"},
    )
    os.close(theirs)
    async with asyncio.timeout(PATIENCE_S):
        shown = await asyncio.to_thread(_read_all, ours)
        assert await process.wait() == 0
    return shown.decode().splitlines()


async def test_json_on_a_terminal_is_a_line_per_event(syncer: Program) -> None:
    syncer.add("production", 60)
    syncer.settings["log"] = {"format": "json"}
    lines = await sync_on_terminal(syncer.config)
    assert [json.loads(line)["event"] for line in lines] == [
        "run.started",
        "account.synced",
        "run.finished",
    ]
    assert max(map(len, lines)) > 80


async def test_a_name_is_no_markup(syncer: Program) -> None:
    syncer.add("production", 60)
    path = syncer.config
    path.write_text(path.read_text().replace('name = "production"', 'name = "[red]a[/b]"'))
    shown = await sync_on_terminal(path)
    assert any("syncing [red]a[/b]" in line for line in shown)
    assert not any("Error" in line for line in shown)


def _read_all(descriptor: int) -> bytes:
    shown = b""
    try:
        while some := os.read(descriptor, 65536):
            shown += some
    except OSError:  # how a terminal says on Linux that the other side has closed
        pass
    finally:
        os.close(descriptor)
    return shown


async def test_health_with_a_broken_configuration(syncer: Program) -> None:
    syncer.settings["health"] = {"listen": "nowhere", "max_age": "soon"}
    broken = await syncer.run("health")
    absent = await syncer.run_bare("--config", "absent.toml", "health")
    for finished in (broken, absent):
        assert finished.code == 1
        assert finished.stderr.startswith("syncer: ")
        assert finished.stderr.count("\n") == 1
    assert "health.listen" in broken.stderr
    assert "health.max_age" in broken.stderr


@pytest.mark.slow
async def test_an_address_that_cannot_be_listened_on(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {"run_on_start": False}
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        taken = f"127.0.0.1:{rival.getsockname()[1]}"
        elsewhere = f"192.0.2.1:{free_port()}"  # reserved for documentation
        unknown = f"no-such-host.invalid:{free_port()}"
        for address in (taken, elsewhere, unknown):
            syncer.settings["health"] = {"listen": address}
            finished = await syncer.run("run")
            assert finished.code == 2
            last = finished.stderr.splitlines()[-1]
            assert last.startswith(f"syncer: [health].listen: cannot listen on {address} (")
            assert last.endswith("is a daemon running already?") is (address == taken)
            assert last.count(address.rpartition(":")[2]) == 1
            assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_base_url_that_no_connection_can_use(syncer: Program, host: str) -> None:
    syncer.add("production", 3)
    syncer.settings["cloudflare"] = {"base_url": f"http://{host}/x"}
    finished = await syncer.run("check")
    assert finished.code == 2
    assert "cloudflare.base_url" in finished.stderr
    assert "Traceback" not in finished.stderr
