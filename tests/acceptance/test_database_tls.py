"""The program with a database behind TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.program import program
from tests.certificates import authority
from tests.integration.tls_server import PASSWORD, debian_binaries, tls_server

if TYPE_CHECKING:
    from pathlib import Path

BINARIES = debian_binaries()


@pytest.mark.slow
@pytest.mark.skipif(BINARIES is None, reason="no PostgreSQL of Debian's, which speaks TLS")
async def test_it_syncs_with_certificates_on_both_sides_or_not_at_all(tmp_path: Path) -> None:
    assert BINARIES is not None
    with tls_server(BINARIES) as server:
        wrong = authority(tmp_path, "wrong").file
        right = f"sslmode=verify-full&sslrootcert={server.authority.file}"
        dsn = server.dsn(f"{right}&{server.client('certified')}", user="certified")
        async with program(tmp_path, dsn) as syncer:
            syncer.add("production", 3)
            assert (await syncer.run("sync")).code == 0
            url = server.dsn(f"sslmode=verify-full&sslrootcert={wrong}")
            syncer.settings["database"] = {"url": url}
            refused = await syncer.run("sync")
            checked = await syncer.run("check")
            assert (refused.code, checked.code) == (3, 3)
            (line,) = refused.stderr.splitlines()
            assert "its certificate is not trusted: " in line
            assert "sslrootcert in the URL" in line
            (found,) = (line for line in checked.stdout.splitlines() if " database: " in line)
            assert "its certificate is not trusted: " in found
            assert PASSWORD not in refused.stderr + checked.stdout + checked.stderr
