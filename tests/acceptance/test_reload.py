"""SIGHUP in a real process."""

import asyncio
import signal
from contextlib import suppress

import asyncpg
import pytest

from syncer.demo.account import SeenRequest
from syncer.demo.faults import Hang
from tests.acceptance.program import Program


async def names_stored(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT account_name FROM sync_state ORDER BY account_name")
    await connection.close()
    return [row["account_name"] for row in rows]


async def test_a_new_account_and_a_new_schedule_hold_without_a_restart(syncer: Program) -> None:
    syncer.add("first", 3)
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        syncer.add("second", 2)
        syncer.settings["schedule"] = {"every": "1s"}
        syncer.settings["log"] = {"level": "debug", "format": "console"}
        assert syncer.config.exists()
        daemon.process.send_signal(signal.SIGHUP)
        needed = await daemon.event("configuration.restart_needed")
        assert needed["keys"] == ["log.format"]
        reloaded = await daemon.event("configuration.reloaded")
        assert reloaded["keys"] == ["schedule.every", "log.level", "accounts"]
        assert reloaded["accounts_added"] == ["second"]
        finished = await daemon.event("run.finished", accounts_total=2)
        assert finished["status"] == "succeeded"
        code, _ = await daemon.stop(signal.SIGTERM)
    assert code == 0
    assert await names_stored(syncer.dsn) == ["first", "second"]
    assert "token-of-second" not in str(daemon.events)


async def test_a_wrong_one_is_rejected_whole(syncer: Program) -> None:
    syncer.add("first", 3)
    syncer.settings["schedule"] = {"every": "1s"}
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        syncer.add("second", 2)
        syncer.settings["sync"] = {"max_pages": 0, "max_page": 3}
        assert syncer.config.exists()
        daemon.process.send_signal(signal.SIGHUP)
        rejected = await daemon.event("configuration.rejected")
        assert len(rejected["findings"]) == 2
        assert all("sync.max_page" in finding for finding in rejected["findings"])
        assert (await daemon.event("run.finished"))["accounts_total"] == 1
        assert (await daemon.event("run.finished"))["accounts_total"] == 1
        del syncer.settings["sync"]
        path = syncer.config
        path.write_text(path.read_text().replace("api_token =", "api_token_file ="))
        daemon.process.send_signal(signal.SIGHUP)
        rejected = await daemon.event("configuration.rejected")
        assert all("cannot be read" in finding for finding in rejected["findings"])
        code, _ = await daemon.stop(signal.SIGTERM)
    assert code == 0
    assert await names_stored(syncer.dsn) == ["first"]


async def test_a_run_under_way_ends_as_it_began(syncer: Program) -> None:
    held = asyncio.Event()

    async def hold(_nth: int, _seen: SeenRequest) -> None:
        await held.wait()

    syncer.add("first", 3).script = hold
    async with syncer.running("run") as daemon:
        await syncer.api.wait_for_requests(1)
        syncer.add("second", 2)
        syncer.settings["schedule"] = {"every": "1s"}
        assert syncer.config.exists()
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.event("configuration.reloaded")
        held.set()
        assert (await daemon.event("run.finished"))["accounts_total"] == 1
        assert (await daemon.event("run.finished"))["accounts_total"] == 2
        await daemon.stop(signal.SIGTERM)


@pytest.mark.slow
async def test_it_does_no_harm_while_draining(syncer: Program) -> None:
    syncer.add("first", 3).script = lambda _nth, _seen: Hang(None)
    async with syncer.running("run") as daemon:
        await syncer.api.wait_for_requests(1)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.event("daemon.stopping")
        # It may have ended by now.
        with suppress(ProcessLookupError):
            daemon.process.send_signal(signal.SIGHUP)
        await daemon.drain()
        assert await daemon.process.wait() == 0
    assert daemon.names[-1] == "daemon.stopped"


@pytest.mark.slow
async def test_it_does_no_harm_at_the_start(fresh_syncer: Program) -> None:
    fresh_syncer.add("first", 3)
    async with fresh_syncer.running("run") as daemon:
        await daemon.event("schema.migrated")
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.event("run.finished", status="succeeded")
        code, _ = await daemon.stop(signal.SIGTERM)
    assert code == 0
    assert "configuration.reloaded" in daemon.names


async def test_a_rotated_token_is_used_by_the_next_run(syncer: Program) -> None:
    account = syncer.add("first", 3)
    syncer.settings["schedule"] = {"every": "1s"}
    token = syncer.directory / "token"
    token.write_text("old-token\n")
    account.logins = {"old-token"}
    path = syncer.config
    path.write_text(
        path.read_text().replace('api_token = "token-of-first"', 'api_token_file = "token"')
    )
    async with syncer.running_bare("--config", str(path), "run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        account.logins = {"new-token"}
        token.write_text("new-token\n")
        before = len(syncer.api.requests)
        await daemon.event("run.started")
        await daemon.event("run.finished", status="succeeded")
        await daemon.stop(signal.SIGTERM)
    assert len({seen.credential for seen in syncer.api.requests}) == 2
    assert len(syncer.api.requests) > before
