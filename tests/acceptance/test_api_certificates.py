"""The API behind TLS: whom the program trusts, and what it says of whom it does not."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.certificates import HOST, Authority, authority, tls_front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme

    from tests.acceptance.program import Program


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@asynccontextmanager
async def behind_tls(syncer: Program, certificate: trustme.LeafCert) -> AsyncIterator[None]:
    """Put the simulated API behind TLS; the program is told its https URL."""
    syncer.add("production", 60)
    url = urlsplit(syncer.api.base_url)
    assert url.hostname
    assert url.port
    async with tls_front(certificate, url.hostname, url.port) as port:
        syncer.settings["cloudflare"] = {"base_url": f"https://{HOST}:{port}{url.path}"}
        yield


@pytest.mark.slow
async def test_without_its_authority_the_api_is_unavailable_and_asked_once(
    syncer: Program, trusted: Authority
) -> None:
    async with behind_tls(syncer, trusted.for_host()):
        synced = await syncer.run("sync")
        checked = await syncer.run("check")
    assert (synced.code, checked.code) == (1, 1)
    assert syncer.api.requests == []
    (failed,) = (event for event in synced.events if event["event"] == "account.failed")
    assert (failed["reason"], failed["requests"], failed["retries"]) == ("unavailable", 1, 0)
    assert failed["error"].startswith("the API's certificate is not trusted: ")
    assert failed["error"].endswith("name its authority's file in [cloudflare].ca_file")
    assert re.search(r"^error +account production: .*ca_file$", checked.stdout, re.MULTILINE)


@pytest.mark.parametrize("way", ["ca_file", pytest.param("SSL_CERT_FILE", marks=pytest.mark.slow)])
async def test_with_its_authority_the_account_is_complete(
    syncer: Program, trusted: Authority, way: str
) -> None:
    environment = {} if way == "ca_file" else {way: str(trusted.file)}
    async with behind_tls(syncer, trusted.for_host()):
        if way == "ca_file":
            # Relative to the configuration's directory, not to the present one.
            syncer.settings["cloudflare"]["ca_file"] = trusted.file.name
        synced = await syncer.run("sync", **environment)
    assert synced.code == 0
    (done,) = (event for event in synced.events if event["event"] == "account.synced")
    assert (done["fetched"], done["requests"]) == (60, 2)


@pytest.mark.parametrize("command", [pytest.param("sync", marks=pytest.mark.slow), "check"])
async def test_a_file_without_certificates_is_a_mistake_in_the_configuration(
    syncer: Program, tmp_path: Path, command: str
) -> None:
    syncer.add("production", 3)
    file = tmp_path / "empty.pem"
    file.touch()
    syncer.settings["cloudflare"] = {"ca_file": file.name}
    finished = await syncer.run(command)
    assert finished.code == 2
    said = finished.stdout if command == "check" else finished.stderr
    assert f"cloudflare.ca_file: {file} holds no certificates" in said
    assert "Traceback" not in finished.stderr
    assert syncer.api.requests == []
