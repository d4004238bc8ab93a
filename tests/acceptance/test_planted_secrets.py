"""Unique secrets in every place, the program through every failure, and a search of all it left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import aiohttp
import asyncpg
import pytest

from syncer.demo.faults import Hang
from tests.acceptance.planting import ACCOUNTS, LINKS, Planted
from tests.acceptance.program import PATIENCE_S, Finished, Program, free_port
from tests.certificates import authority
from tests.conftest import SERVER_DIRECTORY
from tests.secrets import leaked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def planted(syncer: Program) -> Planted:
    made = Planted(syncer)
    for name, (form, answer) in ACCOUNTS.items():
        made.add(name, form, answer)
    return made


async def run(planted: Planted, config: Path, *arguments: str) -> Finished:
    finished = await planted.syncer.run_bare(
        "--config", str(config), *arguments, **planted.environment
    )
    planted.search(finished)
    return finished


def with_password(dsn: str, planted: Planted, *, where: str = "url") -> str:
    """Name the tests' database, with a password that it does not ask for, and where."""
    password = planted.new("password", "p%", '"\\:/@ä')
    url = urlsplit(dsn)
    if url.password is not None:
        pytest.skip("this server asks for the right password")
    if where == "file":
        return f'url = "{dsn}"\npassword_file = "{planted.file("password", password).name}"'
    return f'url = "{url.scheme}://postgres:{quote(password, safe="")}@{url.path}?{url.query}"'


async def test_a_sync_that_fails_in_every_way_shows_and_stores_no_secret(planted: Planted) -> None:
    database = with_password(planted.syncer.dsn, planted)
    connection = await asyncpg.connect(planted.syncer.dsn)
    try:
        await connection.execute(
            f"ALTER DATABASE {connection_name(planted)} SET log_statement = 'all'"
        )
    finally:
        await connection.close()
    synced = await run(planted, planted.configure(database=database, format="json"), "sync")
    assert synced.code == 1
    failed = {
        event["account"]: event["reason"]
        for event in synced.events
        if event["event"] in ("account.failed", "account.incomplete")
    }
    assert failed == {
        **dict.fromkeys(("denied",), "access_denied"),
        **dict.fromkeys(("rejected", "refused"), "request_rejected"),
        "unknown": "not_found",
        "throttled": "rate_limited",
        **dict.fromkeys(("broken", "silent", "reset", "cut"), "unavailable"),
        **dict.fromkeys(("moved", "html", "misplaced"), "malformed_response"),
    }
    config = planted.configure(database=database, format="console", level="debug")
    checked = await run(planted, config, "check")
    assert checked.code == 1
    assert "access denied" in checked.stdout
    shown = await run(planted, config, "status", "--json")
    assert len(json.loads(shown.stdout)["accounts"]) == len(ACCOUNTS)
    found = await planted.search_database(planted.syncer.dsn)
    # So the search can find what is there.
    assert {("invoices", "invoice_pdf"), ("invoices", "extra")} <= found
    assert ("rejected_invoices", "payload") in found
    planted.search_files()
    search_server_log(planted)


def connection_name(planted: Planted) -> str:
    return urlsplit(planted.syncer.dsn).path.removeprefix("/")


def search_server_log(planted: Planted) -> None:
    """What the server logs of statements may hold invoices, and no credential."""
    log = Path(os.environ[SERVER_DIRECTORY], "postgres.log")
    text = log.read_bytes()
    assert b"INSERT INTO invoices" in text
    links = {link.name for link in LINKS}
    assert leaked(text, [one for one in planted.secrets if one.name not in links]) == []


BROKEN_STORAGE = """
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'notice %', new.invoice_pdf;
    RAISE WARNING 'warning %', new.invoice_pdf;
    RAISE EXCEPTION 'exception %', new.invoice_pdf USING
        DETAIL = new.extra::text, HINT = new.invoice_pdf, ERRCODE = 'P0001';
END $$;
CREATE TRIGGER complain BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION complain();
"""
BROKEN = {
    "a trigger that raises": BROKEN_STORAGE,
    "a constraint that is violated": "ALTER TABLE invoices ADD CHECK (invoice_pdf IS NULL)",
    "a column of another type": "ALTER TABLE invoices ALTER invoice_pdf TYPE int USING NULL",
}


@pytest.mark.slow
@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
async def test_a_database_that_quotes_rows_shows_no_secret(syncer: Program, statement: str) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["normal"])
    await execute(syncer.dsn, "DROP VIEW invoice_changes", statement)
    config = planted.configure(
        database=with_password(syncer.dsn, planted, where="file"), format="console", level="debug"
    )
    synced = await run(planted, config, "sync")
    assert synced.code == 1
    assert "storage" in synced.stderr
    assert await planted.search_database(syncer.dsn) == set()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.slow
async def test_a_daemon_that_crashes_and_is_stopped_shows_no_secret(syncer: Program) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["normal"])
    planted.add("rejected", *ACCOUNTS["rejected"])
    dsn, port = syncer.dsn, free_port()
    hanging = asyncio.Event()
    planted.add("hanging", "api_token_env", lambda _login: Hang(hanging))
    config = planted.configure(
        database=with_password(dsn, planted),
        format="json",
        level="debug",
        listen=f"127.0.0.1:{port}",
    )
    assert (await run(planted, config, "sync", "--account", "normal")).code == 0
    # What no release would do: the driver's times become texts, and our own code fails.
    await execute(dsn, "ALTER TABLE sync_state ALTER last_started_at TYPE text")
    async with planted.syncer.running_bare(
        "--config", str(config), "run", **planted.environment
    ) as daemon:
        crashed = await daemon.event("run.crashed")
        assert "Traceback" in crashed["exception"]
        assert "TypeError" in crashed["exception"]
        async with aiohttp.ClientSession() as session:
            for path in ("healthz", "readyz"):
                async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                    assert leaked(await answer.read(), planted.secrets) == []
        await daemon.event("run.started")
        code, _ = await daemon.stop(signal.SIGTERM)
        assert code == 0
        assert leaked(json.dumps(daemon.events), planted.secrets) == []
    await planted.search_database(dsn)
    planted.search_files()


@asynccontextmanager
async def talkative_server(words: str) -> AsyncIterator[int]:
    """A server that asks for the password in clear, and refuses it with these words beside it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readexactly(8))[4:] == bytes.fromhex("04d2162f"):
            writer.write(b"N")
            await reader.read(4096)
        writer.write(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
        password = (await reader.read(4096))[5:-1].decode()
        fields = {
            "S": "FATAL",
            "C": "28P01",
            "M": 'password authentication failed for user "u"',
            "D": f"{words} {password}",
            "H": password,
        }
        body = b"".join(f"{key}{text}".encode() + b"\0" for key, text in fields.items()) + b"\0"
        writer.write(b"E" + (len(body) + 4).to_bytes(4, "big") + body)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.slow
async def test_no_way_not_to_reach_the_database_shows_a_secret(syncer: Program) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["normal"])
    password = planted.new("password", suffix="~!")
    phrase = planted.new("passphrase")
    token = planted.new("token", "cfut_", "_of_40")
    issued = authority(syncer.directory).for_host()
    key = planted.file("key.pem", issued.private_key_pem.bytes().decode().replace("PRIVATE", "X"))
    planted.file("ca.pem", "")
    async with talkative_server("no") as port:
        here = f"127.0.0.1:{port}"
        databases = [
            f'url = "postgresql://u:{password}@{here}/d"',
            f'url = "postgresql://u@{here}/d?password={password}"',
            f'url = "postgresql://u@{here}/d"\npassword = "{password}"',
            f'url = "postgresql://u:{password}@{here}/d?sslmode=require"',
            f'url = "postgresql://u:{password}@127.0.0.1:1/d?sslmode=verify-full&sslrootcert=/no"',
            f'url = "postgresql://u:{password}@h/d?sslcert={key}&sslkey={key}&sslpassword={phrase}"',
            f'url = "postgresql://u:{password}@{here}/d?sslmode={phrase}"',
            f'url = "postgresql://u:{password}@{here}/d?target_session_attrs={phrase}"',
            f'url = "postgresql://u:{password}@{here}/d?gsslib={phrase}"',
            f'url = "postgresql://u:{password}@{here}/d?port={phrase}&{phrase}={password}"',
            f'url = "postgresql://u:{password}@x@{here}/d"',
            f'url = "postgresql://u:{password}/x@{here}/d"',
            f'url = "postgresql://u:{password}@[{here}/d"',
            f'url = "postgresql://u:{password}#@{here}/d"',
            f'url = "{password}"',
            f'url = "postgresql://u@{here}/d"\npassword_env = "{password}"',
            f'url = "postgresql://u@{here}/d"\npasword = "{password}"',
            f'url = "postgresql://u@{here}/d"\n{token} = 1',
            f'url = ["postgresql://u:{password}@{here}/d"]',
            f'schema = "{token * 2}"',
            f'schema = "a"\n[[accounts]]\nid = "{token}"',
            f'schema = "a"\n[[accounts]]\nid = "b"\napi_token_env = "{token}"',
            f'schema = "a"\n[[accounts]]\nid = "b"\napi_token_file = "{token}"',
        ]
        configs = []
        for number, database in enumerate(databases):
            written = planted.configure(database=database)
            configs.append(str(planted.file(f"planted-{number}.toml", written.read_text())))
        commands = ("status", "migrate", "check", "run", "sync", "health")
        # In one process, because a process for each takes its time.
        finished = await run_many(
            planted,
            [["--config", path, commands[at % 6]] for at, path in enumerate(configs)],
        )
    codes = json.loads(finished.stdout.splitlines()[-1])
    assert len(codes) == len(databases)
    assert set(codes) == {1, 2, 3}
    assert "Traceback" not in finished.stderr


MANY = """
import json, sys
from syncer.cli import main
codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["syncer", *arguments]
    try:
        main()
    except SystemExit as ended:
        codes.append(ended.code)
print(json.dumps(codes))
"""


async def run_many(planted: Planted, commands: list[list[str]]) -> Finished:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MANY, json.dumps(commands)),
        cwd=planted.syncer.directory,
        env=os.environ | planted.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        stdout, stderr = await process.communicate()
    finished = Finished(process.returncode or 0, stdout.decode(), stderr.decode())
    assert finished.code == 0, finished.stderr
    planted.search(finished)
    return finished


@pytest.mark.slow
async def test_no_process_beneath_gets_a_secret(syncer: Program) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["denied"])
    config = planted.configure(database=f'data_dir = "{syncer.directory}/db"')
    async with syncer.running_bare("--config", str(config), "run", **planted.environment) as daemon:
        await daemon.event("run.finished")
        seen = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                beneath = (process / "cwd").readlink().is_relative_to(syncer.directory)
                mine = int(process.name) == daemon.process.pid
                if mine or beneath:
                    assert leaked((process / "cmdline").read_bytes(), planted.secrets) == []
                if beneath and not mine:
                    assert leaked((process / "environ").read_bytes(), planted.secrets) == []
                    seen += 1
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        assert seen > 3
        await daemon.stop(signal.SIGTERM)
    planted.search_files()
