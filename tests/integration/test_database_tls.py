"""TLS to PostgreSQL: what is encrypted and verified, and what each refusal says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from tests.certificates import HOST, Authority, authority
from tests.integration.tls_server import PASSWORD, TlsServer, debian_binaries, tls_server
from tests.proxies.servers import open_postgres
from tests.sessions import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BINARIES = debian_binaries()
needs_debian = pytest.mark.skipif(
    BINARIES is None, reason="no PostgreSQL of Debian's, and the embedded one speaks no TLS"
)
# libpq's own files would take part, and so would its variables.
pytestmark = pytest.mark.usefixtures("nothing_at_home")


@pytest.fixture
def nothing_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    assert BINARIES is not None
    with tls_server(BINARIES) as started:
        yield started


async def encrypted(dsn: str) -> bool:
    """Connect; whether the server says that the connection is encrypted."""
    connection = await Database(dsn).connect()
    try:
        found: bool = await connection.fetchval(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        return found
    finally:
        await connection.close()


async def refusal(dsn: str) -> str:
    database = Database(dsn)
    with pytest.raises(DatabaseUnreachable) as caught:
        await database.connect()
    said, beginning = str(caught.value), f"cannot reach PostgreSQL at {database.where}: "
    assert said.startswith(beginning)
    assert PASSWORD not in said
    assert "\n" not in said
    return said.removeprefix(beginning)


@pytest.mark.slow
@needs_debian
async def test_each_mode_encrypts_and_verifies_as_it_says(server: TlsServer) -> None:
    root = f"sslrootcert={server.authority.file}"
    for options in (
        "",
        "sslmode=prefer",
        "sslmode=require",
        f"sslmode=require&{root}",
        f"sslmode=verify-ca&{root}",
        f"sslmode=verify-full&{root}",
    ):
        assert await encrypted(server.dsn(options)), options
    # Which the server allows this user alone.
    assert not await encrypted(server.dsn("sslmode=disable", user="plain"))
    assert "no encryption" in await refusal(server.dsn("sslmode=disable"))


@pytest.mark.slow
@needs_debian
async def test_who_is_not_vouched_for_is_refused(server: TlsServer, tmp_path: Path) -> None:
    wrong = authority(tmp_path, "wrong").file
    for mode in ("require", "verify-ca", "verify-full"):
        said = await refusal(server.dsn(f"sslmode={mode}&sslrootcert={wrong}"))
        assert said.startswith("its certificate is not trusted: ")
        assert said.endswith("name the file of its authority (PEM) as sslrootcert in the URL")
    said = await refusal(server.dsn("sslmode=verify-full"))
    assert said.startswith("sslmode asks for sslrootcert in the URL")


@pytest.mark.slow
@needs_debian
async def test_another_host_is_refused_by_verify_full_alone(server: TlsServer) -> None:
    root = f"sslrootcert={server.authority.file}"
    said = await refusal(server.dsn(f"sslmode=verify-full&{root}", host="127.0.0.1"))
    assert said == (
        "its certificate is not trusted: IP address mismatch, certificate is not valid for"
        " '127.0.0.1'; write the host in the URL as the certificate has it"
    )
    assert await encrypted(server.dsn(f"sslmode=verify-ca&{root}", host="127.0.0.1"))


@pytest.mark.slow
@needs_debian
async def test_a_client_shows_its_certificate(server: TlsServer, tmp_path: Path) -> None:
    full = f"sslmode=verify-full&sslrootcert={server.authority.file}"
    own, anothers = server.client("certified"), server.client("somebody")
    assert await encrypted(server.dsn(f"{full}&{own}", user="certified"))
    assert "valid client certificate" in await refusal(server.dsn(full, user="certified"))
    assert "authentication failed" in await refusal(
        server.dsn(f"{full}&{anothers}", user="certified")
    )
    mixed = own.partition("&")[0] + "&" + anothers.partition("&")[2]
    assert await refusal(server.dsn(f"{full}&{mixed}")) == (
        "TLS failed (KEY_VALUES_MISMATCH):"
        " see sslrootcert, sslcert, sslkey and sslpassword in its URL"
    )
    stranger = authority(tmp_path).ca.issue_cert(common_name="certified")
    stranger.private_key_and_cert_chain_pem.write_to_path(tmp_path / "stranger.pem")
    said = await refusal(
        server.dsn(f"{full}&sslcert={tmp_path}/stranger.pem&sslkey={tmp_path}/stranger.pem")
    )
    assert said.startswith("TLS failed (TLSV1_ALERT_UNKNOWN_CA)") or "closed" in said


@pytest.mark.slow
@needs_debian
async def test_an_expired_certificate_is_refused(server: TlsServer) -> None:
    server.use(server.authority.expired())
    try:
        said = await refusal(server.dsn(f"sslmode=verify-full&sslrootcert={server.authority.file}"))
    finally:
        server.use(server.authority.for_host())
    assert said == (
        "its certificate is not trusted: certificate has expired;"
        " renew it, or set the clock of this host"
    )


@asynccontextmanager
async def plain_server(dsn: str) -> AsyncIterator[tuple[int, asyncio.Future[list[bytes]]]]:
    """The tests' own server, on a port without TLS; what the first client sent, to its end."""
    heard: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(8)
        answers, behind = await open_postgres(dsn)
        behind.write(question)
        writer.write(await answers.readexactly(1))
        rest = await reader.read()
        for side in (behind, writer):
            side.close()
            await side.wait_closed()
        heard.set_result([question, rest])

    listener = await asyncio.start_server(serve, HOST, 0)
    try:
        yield listener.sockets[0].getsockname()[1], heard
    finally:
        listener.close()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_gets_nothing_but_the_question(
    server_dsn: str, tmp_path: Path, mode: str
) -> None:
    root = authority(tmp_path).file
    async with plain_server(server_dsn) as (port, heard):
        said = await refusal(
            f"postgresql://u:{PASSWORD}@{HOST}:{port}/d?sslmode={mode}&sslrootcert={root}"
        )
        async with asyncio.timeout(PATIENCE_S):
            question = await heard
    assert (
        said == "the server offers no TLS, or is no PostgreSQL: turn on ssl in its configuration,"
        " or see host and port in the URL"
    )
    assert question == [bytes.fromhex("0000000804d2162f"), b""]


async def test_what_is_no_postgresql_is_told_from_one_without_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    port = listener.sockets[0].getsockname()[1]
    said = await refusal(f"postgresql://u:{PASSWORD}@{HOST}:{port}/d")
    listener.close()
    assert said == "what answers there is no PostgreSQL; see host and port in the URL"


@pytest.mark.parametrize("option", ["sslrootcert", "sslcert", "sslkey"])
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, option: str) -> None:
    known: Authority = authority(tmp_path)
    issued = known.for_host()
    (tmp_path / "crt").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "key").write_bytes(issued.private_key_pem.bytes())
    files = {"sslrootcert": known.file, "sslcert": tmp_path / "crt", "sslkey": tmp_path / "key"}
    files[option] = tmp_path / "absent.pem"
    options = "&".join(f"{name}={path}" for name, path in files.items())
    said = await refusal(f"postgresql://u:{PASSWORD}@{HOST}:1/d?sslmode=verify-full&{options}")
    assert said == f"{option}={tmp_path}/absent.pem cannot be read: No such file or directory"
