"""Unique secrets in every way not to reach the database, and a search of all that was said."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.planting import ACCOUNTS, Planted
from tests.acceptance.program import to_its_end
from tests.certificates import authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.acceptance.program import Finished, Program


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
    finished = await to_its_end(process)
    assert finished.code == 0, finished.stderr
    planted.search(finished)
    return finished
