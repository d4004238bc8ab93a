import re
from pathlib import Path

import pytest

from syncer import __version__
from tests.acceptance.program import Program


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sync", "--config", "nowhere.toml"], "nowhere.toml"),
        (["--config", "nowhere.toml", "sync"], "nowhere.toml"),
        (["frobnicate"], "frobnicate"),
        (["sync", "--frobnicate"], "--frobnicate"),
        (["sync"], "accounts"),
    ],
)
async def test_bad_usage_and_configuration_exit_with_2(
    syncer: Program, arguments: list[str], text: str
) -> None:
    finished = await syncer.run_bare(*arguments)
    assert finished.code == 2
    assert text in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
async def test_the_configuration_may_be_named_anywhere(syncer: Program) -> None:
    syncer.add("production", 3)
    path = str(syncer.config.rename(syncer.directory / "elsewhere.toml"))
    before = await syncer.run_bare("-c", path, "status")
    behind = await syncer.run_bare("status", "-c", path)
    variable = await syncer.run_bare("status", SYNCER_CONFIG=path)
    assert before.code == behind.code == variable.code == 0
    assert before.stdout == behind.stdout == variable.stdout


async def test_all_mistakes_are_told_at_once(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "15 minutes", "evry": 1}
    syncer.settings["sync"] = {"max_pages": 0}
    finished = await syncer.run("run")
    assert finished.code == 2
    for text in ("schedule.every", "15 minutes", "schedule.evry", "sync.max_pages"):
        assert text in finished.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["sync", "--help"], []])
async def test_help_teaches(syncer: Program, arguments: list[str]) -> None:
    finished = await syncer.run_bare(*arguments)
    text = finished.stdout + finished.stderr
    assert "Usage: syncer" in text.replace("python -m syncer", "syncer")
    assert finished.code == (0 if arguments else 2)


async def test_version(syncer: Program) -> None:
    assert (await syncer.run_bare("--version")).stdout == f"syncer {__version__}\n"


@pytest.mark.slow
async def test_no_secret_is_printed_or_shown_in_the_process_list(syncer: Program) -> None:
    syncer.add("production", 60)
    syncer.accounts["production"].logins = set()
    outputs = []
    async with syncer.running("run") as daemon:
        await daemon.event("account.failed")
        command_line = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        outputs += [repr(daemon.events), command_line.decode()]
    outputs += [
        finished.stdout + finished.stderr
        for finished in [
            await syncer.run("sync"),
            await syncer.run("check"),
            await syncer.run("status", "--json"),
        ]
    ]
    assert "token-of-production" not in "".join(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "sync", "check"])
async def test_a_credential_that_cannot_be_read_is_told_before_anything_begins(
    syncer: Program, command: str
) -> None:
    syncer.add("production", 3)
    path = syncer.config
    path.write_text(path.read_text().replace('api_token = "token-of-production"', ""))
    finished = await syncer.run_bare("--config", str(path), command)
    assert finished.code == 2
    assert "CLOUDFLARE_API_TOKEN" in finished.stdout + finished.stderr
    assert syncer.api.requests == []


@pytest.mark.slow
async def test_what_is_unwise_is_told_and_done(syncer: Program) -> None:
    syncer.add("production", 3)
    path = syncer.config
    path.chmod(0o644)
    finished = await syncer.run_bare("--config", str(path), "sync")
    assert finished.code == 0
    assert finished.events[0]["event"] == "configuration.unwise"
    assert "chmod 600" in finished.events[0]["finding"]
    checked = await syncer.run_bare("--config", str(path), "check")
    assert re.search(r"^warning +configuration: .*chmod 600", checked.stdout, re.MULTILINE)
