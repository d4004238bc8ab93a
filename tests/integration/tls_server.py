"""A PostgreSQL of Debian's that speaks TLS; the embedded one is built without."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.certificates import HOST, Authority, authority
from tests.places import server_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme

PASSWORD = "of-this-test"
# Nobody gets in without TLS but by sslmode=disable's user; one user only with a certificate.
_HBA = """
local all postgres trust
hostssl all certified all scram-sha-256 clientcert=verify-full
hostssl all postgres all scram-sha-256
host all plain all scram-sha-256
"""


def debian_binaries() -> Path | None:
    """The newest that is installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max(
        (path.parent for path in found), key=lambda path: int(path.parent.name), default=None
    )


@dataclass(frozen=True)
class TlsServer:
    """A server on localhost, the authority of its certificate, and that of its clients'."""

    home: Path
    binaries: Path
    port: int
    authority: Authority
    clients: Authority

    def dsn(self, options: str = "", *, user: str = "postgres", host: str = HOST) -> str:
        return f"postgresql://{user}:{PASSWORD}@{host}:{self.port}/postgres?{options}".rstrip("?")

    def client(self, name: str) -> str:
        """Issue a client its certificate and key; the options that name them."""
        issued = self.clients.ca.issue_cert(common_name=name)
        certificate, key = self.home / f"{name}.crt", self.home / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return f"sslcert={certificate}&sslkey={key}"

    def use(self, certificate: trustme.LeafCert) -> None:
        """Restart with another certificate."""
        self._install(certificate)
        self._run("pg_ctl", "restart", "--wait", "--mode=immediate")

    def start(self) -> None:
        # Whatever the locale here is: no other encoding is accepted.
        encoding = ("--encoding=UTF8", "--locale=C")
        self._run("initdb", "--username=postgres", "--no-sync", "--pwfile=../password", *encoding)
        data = self.home / "data"
        (data / "pg_hba.conf").write_text(_HBA)
        self._install(self.authority.for_host())
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.home),
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": "server.crt",
            "ssl_key_file": "server.key",
            "ssl_ca_file": str(self.clients.file),
        }
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._run("pg_ctl", "start", "--wait", "--log=../log")
        for user in ("certified", "plain"):
            role = f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{PASSWORD}'"
            self._run(
                "psql", f"--host={self.home}", f"--port={self.port}", "--user=postgres", "-c", role
            )

    def stop(self) -> None:
        if (self.home / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def _install(self, certificate: trustme.LeafCert) -> None:
        key = self.home / "data" / "server.key"
        key.unlink(missing_ok=True)
        certificate.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        shutil.chown(key, _owner().pw_uid, _owner().pw_gid)
        certificate.cert_chain_pems[0].write_to_path(self.home / "data" / "server.crt")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.home / "data",
            env={"PGDATA": str(self.home / "data"), "LC_ALL": "C", "PATH": os.environ["PATH"]},
            # PostgreSQL refuses to run as root.
            user=_owner().pw_uid if os.geteuid() == 0 else None,
            group=_owner().pw_gid if os.geteuid() == 0 else None,
            extra_groups=() if os.geteuid() == 0 else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _owner() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


@contextmanager
def tls_server(binaries: Path) -> Iterator[TlsServer]:
    with server_place("syncer-tls-") as home:
        home.chmod(0o755)
        (home / "data").mkdir(mode=0o700)
        (home / "password").write_text(PASSWORD)
        for place in (home, home / "data", home / "password"):
            shutil.chown(place, _owner().pw_uid, _owner().pw_gid)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        server = TlsServer(home, binaries, port, authority(home, "ca"), authority(home, "clients"))
        try:
            server.start()
            yield server
        finally:
            server.stop()
