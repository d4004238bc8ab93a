"""Accounts that are found: the daemon, `sync`, `check` and `status` as processes."""

import json
import signal

import pytest

from syncer.demo.account import SimulatedAccount
from syncer.demo.invoices import make_history
from tests.acceptance.program import Program, free_port
from tests.scrapes import scrape

TOKEN = "a-token-of-all"


class Finder:
    """A program whose configuration has no account, but a discovery."""

    def __init__(self, syncer: Program) -> None:
        self.syncer = syncer
        self.more = ""

    def open(self, number: int, name: str) -> SimulatedAccount:
        account = SimulatedAccount(
            f"{number:032x}", {TOKEN}, invoices=make_history(name, number), name=name
        )
        self.syncer.api.accounts[account.id] = account
        return account

    @property
    def config(self) -> tuple[str, str]:
        path = self.syncer.config
        block = f'[[discover]]\ninclude = ["prod-*"]\napi_token = "{TOKEN}"\n'
        path.write_text(path.read_text() + block + self.more)
        return "--config", str(path)


@pytest.fixture
def finder(syncer: Program) -> Finder:
    made = Finder(syncer)
    made.open(1, "prod-a")
    made.open(2, "prod-b")
    made.open(3, "test")
    return made


async def test_one_joins_and_one_vanishes_between_two_runs(finder: Finder) -> None:
    port = free_port()
    finder.syncer.settings |= {
        "schedule": {"every": "1s"},
        "health": {"listen": f"127.0.0.1:{port}"},
    }
    async with finder.syncer.running_bare(*finder.config, "run") as daemon:
        first = await daemon.event("run.finished", status="succeeded")
        assert first["accounts_total"] == 2
        assert daemon.names.count("account.synced") == 2
        found = await scrape(port)
        assert found.value("syncer_discovery_up", discovery="discover[0]") == 1
        finder.open(4, "prod-new")
        del finder.syncer.api.accounts[f"{2:032x}"]
        assert (await daemon.event("account.discovered"))["account"] == "prod-new"
        assert (await daemon.event("account.vanished"))["account"] == "prod-b"
        assert (await daemon.event("account.synced", account="prod-new"))["fetched"] == 4
        assert (await daemon.event("run.finished"))["accounts_total"] == 2
        finder.syncer.api.listing.powerless = {TOKEN}
        failed = await daemon.event("discovery.failed")
        assert (failed["reason"], failed["known_accounts"]) == ("not_found", 2)
        last = await daemon.event("run.finished")
        assert (last["status"], last["accounts_total"]) == ("succeeded", 2)
        found = await scrape(port)
        assert found.value("syncer_discovery_up", discovery="discover[0]") == 0
        counted = {dict(labels)["account"] for labels in found.named("syncer_account_syncs_total")}
        assert counted == {"prod-a", "prod-new"}
        code, _ = await daemon.stop(signal.SIGTERM)
    assert code == 0
    assert daemon.names.count("account.vanished") == 1
    assert TOKEN not in str(daemon.events)
    finder.syncer.api.listing.powerless = set()
    shown = await finder.syncer.run_bare(*finder.config, "status")
    assert shown.code == 0, shown.stderr
    marked = [line.split()[0] for line in shown.stdout.splitlines() if "(not asked" in line]
    assert marked == ["prod-b"]
    as_json = await finder.syncer.run_bare(*finder.config, "status", "--json")
    configured = {
        account["account_name"]: account["configured"]
        for account in json.loads(as_json.stdout)["accounts"]
    }
    assert configured == {"prod-a": True, "prod-b": False, "prod-new": True}


@pytest.mark.slow
async def test_sync_finds_by_name_by_id_and_says_what_there_is(finder: Finder) -> None:
    by_name = await finder.syncer.run_bare(*finder.config, "sync", "--account", "prod-b")
    assert by_name.code == 0, by_name.stderr
    by_id = await finder.syncer.run_bare(*finder.config, "sync", "--account", f"{1:032x}")
    assert by_id.code == 0, by_id.stderr
    synced = [one for one in (*by_name.events, *by_id.events) if one["event"] == "account.synced"]
    assert [event["account"] for event in synced] == ["prod-b", "prod-a"]
    unknown = await finder.syncer.run_bare(*finder.config, "sync", "--account", "test")
    assert unknown.code == 2
    assert "there are: prod-a, prod-b" in unknown.stderr


@pytest.mark.slow
@pytest.mark.parametrize("with_other", [False, True])
async def test_nobody_found_is_no_success(finder: Finder, with_other: bool) -> None:
    finder.syncer.api.listing.powerless = {TOKEN}
    if with_other:
        finder.more = f'[[accounts]]\nid = "{3:032x}"\nname = "mine"\napi_token = "{TOKEN}"\n'
    finished = await finder.syncer.run_bare(*finder.config, "sync")
    assert finished.code == 1
    ended = [event for event in finished.events if event["event"] == "run.finished"]
    assert [(one["status"], one["accounts_complete"]) for one in ended] == [
        ("partial", 1) if with_other else ("failed", 0)
    ]
    one = await finder.syncer.run_bare(*finder.config, "sync", "--account", "prod-a")
    assert one.code == 1
    assert "discover[0] failed" in one.stderr
    if with_other:
        mine = await finder.syncer.run_bare(*finder.config, "sync", "--account", "mine")
        assert mine.code == 0, mine.stderr


@pytest.mark.slow
async def test_a_report_marks_nobody_who_is_found(finder: Finder) -> None:
    synced = await finder.syncer.run_bare(*finder.config, "sync")
    assert synced.code == 0, synced.stderr
    finder.open(5, "prod-never-synced")
    del finder.syncer.api.accounts[f"{2:032x}"]
    report = await finder.syncer.run_bare(*finder.config, "report", "--output", "-")
    assert report.code == 0, report.stderr
    assert "prod-b (not asked any more)" in report.stdout
    assert "prod-a (not" not in report.stdout
    assert "prod-never-synced" in report.stdout
    finder.syncer.api.listing.powerless = {TOKEN}
    unsure = await finder.syncer.run_bare(*finder.config, "report", "--output", "-")
    assert unsure.code == 0
    assert "discover[0]: the list of accounts is empty" in unsure.stderr
    assert "(not asked any more)" not in unsure.stdout


async def test_a_report_without_the_list_has_the_accounts_of_the_configuration(
    finder: Finder,
) -> None:
    finder.syncer.api.listing.powerless = {TOKEN}
    finder.more = "".join(
        f'[[accounts]]\nid = "{number:032x}"\nname = "{name}"\napi_token = "{TOKEN}"\n'
        for number, name in ((3, "mine"), (6, "idle"))
    )
    mine = await finder.syncer.run_bare(*finder.config, "sync", "--account", "mine")
    assert mine.code == 0, mine.stderr
    report = await finder.syncer.run_bare(*finder.config, "report", "--output", "-")
    assert report.code == 0
    assert "discover[0]: the list of accounts is empty" in report.stderr
    assert "The list of accounts could not be had: some may be missing here" in report.stdout
    assert "1 of 2 account(s) are stale" in report.stdout
    assert "Stale: idle (no sync on record)." in report.stdout
    assert "are complete and fresh" not in report.stdout


@pytest.mark.slow
async def test_check_tries_each(finder: Finder) -> None:
    fine = await finder.syncer.run_bare(*finder.config, "check")
    assert fine.code == 0, fine.stdout + fine.stderr
    assert "discover[0]: finds 2 account(s)" in fine.stdout
    assert "account prod-b: the credential reads its history" in fine.stdout
    for account in finder.syncer.api.accounts.values():
        account.name = f"{account.name}@example.com's Account".removeprefix("prod-")
    shut_out = await finder.syncer.run_bare(*finder.config, "check")
    assert shut_out.code == 1
    assert (
        "discover[0]: include and exclude let none of the 3 listed accounts through, such as"
        ' "a@example.com\'s Account", "b@example.com\'s Account", "test@'
    ) in shut_out.stdout
    finder.syncer.api.listing.owned_tokens = {TOKEN}
    refused = await finder.syncer.run_bare(*finder.config, "check")
    assert refused.code == 1
    assert "discover[0]: the API rejects the request (HTTP 400, code 1001)" in refused.stdout


@pytest.mark.slow
async def test_a_rotated_token_finds_and_reads_from_the_next_run_on(finder: Finder) -> None:
    finder.syncer.settings["schedule"] = {"every": "1s"}
    token = finder.syncer.directory / "token"
    token.write_text(TOKEN)
    arguments = finder.config
    path = finder.syncer.directory / "config.toml"
    path.write_text(path.read_text().replace(f'api_token = "{TOKEN}"', 'api_token_file = "token"'))
    async with finder.syncer.running_bare(*arguments, "run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        token.write_text("another-token")
        for account in finder.syncer.api.accounts.values():
            account.logins = {"another-token"}
        await daemon.event("discovery.finished")
        # A run whose accounts were fresh for its tick asks for none.
        await daemon.event("run.finished", status="succeeded", accounts_complete=2)
        await daemon.stop(signal.SIGTERM)
    assert len({seen.credential for seen in finder.syncer.api.requests}) == 2
