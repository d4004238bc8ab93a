"""The embedded database, and the demo in one: made where it is wanted, gone when it is done."""

import asyncio
import re
import signal

import pytest

from tests.acceptance.program import Program


def by_environment(syncer: Program, *, invoices: int) -> dict[str, str]:
    """Add an account, and name it by variables alone."""
    account = syncer.add("production", invoices)
    return {
        "CLOUDFLARE_API_TOKEN": "token-of-production",
        "CLOUDFLARE_ACCOUNT_ID": account.id,
        "SYNCER_CLOUDFLARE__BASE_URL": syncer.api.base_url,
    }


async def test_a_token_and_an_account_in_the_environment_are_enough(
    embedding_syncer: Program,
) -> None:
    environment = by_environment(embedding_syncer, invoices=60)
    for _ in range(2):
        finished = await embedding_syncer.run_bare("sync", **environment)
        assert finished.code == 0, finished.stderr
    assert [event["unchanged"] for event in finished.events if "unchanged" in event] == [60, 60]
    assert (embedding_syncer.directory / ".syncer" / "postgres").is_dir()


@pytest.mark.slow
async def test_two_processes_share_the_embedded_database(
    embedding_syncer: Program,
) -> None:
    environment = by_environment(embedding_syncer, invoices=60)
    both = await asyncio.gather(
        embedding_syncer.run_bare("sync", **environment),
        embedding_syncer.run_bare("sync", **environment),
    )
    assert [finished.code for finished in both] == [0, 0]


async def test_demo_shows_two_syncs_and_leaves_nothing(
    embedding_syncer: Program,
) -> None:
    finished = await embedding_syncer.run_bare("demo", TMPDIR=str(embedding_syncer.directory))
    assert finished.code == 0, finished.stderr
    out = finished.stdout
    assert out.count("GET invoice-history of production") == 12
    assert "tokyo      page  2 -> 429" in out
    assert "research   page  1 -> 403" in out
    assert re.search(r"production +in_\w+ +changed +open +paid", out)
    assert re.search(r"production +in_\w+ +appeared +open", out)
    assert re.search(r"^research +failed +never", out, re.MULTILINE)
    assert out.count("FROM ") >= 3
    assert finished.stderr == ""
    assert list(embedding_syncer.directory.glob("syncer-demo-*")) == []


@pytest.mark.parametrize("arguments", [["migrate", "--check"], ["status"], ["check"]])
async def test_looking_makes_no_embedded_database(syncer: Program, arguments: list[str]) -> None:
    finished = await syncer.run_bare(*arguments, **by_environment(syncer, invoices=3))
    if arguments == ["check"]:
        assert finished.code == 0
        assert "embedded" in finished.stdout
    else:
        assert finished.code == 3
        assert "there is no embedded database" in finished.stderr
    assert not (syncer.directory / ".syncer").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_demo_and_leaves_nothing(
    embedding_syncer: Program, number: signal.Signals
) -> None:
    async with embedding_syncer.running_bare(
        "demo", TMPDIR=str(embedding_syncer.directory)
    ) as demo:
        async with asyncio.timeout(30):
            while not list(embedding_syncer.directory.glob("syncer-demo-*/postgres/server.lock")):
                assert demo.process.returncode is None
                await asyncio.sleep(0.01)
        demo.process.send_signal(number)
        async with asyncio.timeout(10):
            _, stderr = await demo.process.communicate()
    assert demo.process.returncode == 1
    assert stderr.decode() == "syncer: interrupted\n"
    assert list(embedding_syncer.directory.glob("syncer-demo-*")) == []
