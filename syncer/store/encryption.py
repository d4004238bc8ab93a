"""Why a connection could not be encrypted as the URL asks for, and what to do about it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from syncer.certificates import why_unverified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncer.certificates import Flaw

# Options of the URL that name files, and the variables that the driver takes instead.
_FILES: Final = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
}
_ADVICE: Final[Mapping[Flaw, str]] = {
    "time": "renew it, or set the clock of this host",
    "host": "write the host in the URL as the certificate has it",
    "issuer": "name the file of its authority (PEM) as sslrootcert in the URL",
}


def why_not_encrypted(error: BaseException, dsn: str) -> str | None:
    """Say it in one line without any secret of the URL; None: the error is about something else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {why_unverified(error, _ADVICE)}"
    if "rejected SSL upgrade" in str(error):
        if _mode(dsn) == "prefer":
            # A PostgreSQL without TLS says so, and is talked to without it.
            return "what answers there is no PostgreSQL; see host and port in the URL"
        return (
            "the server offers no TLS, or is no PostgreSQL: turn on ssl in its configuration, or"
            " see host and port in the URL"
        )
    if "root certificate file" in str(error):
        return "sslmode asks for sslrootcert in the URL: the file of the server's authority (PEM)"
    if isinstance(error, ssl.SSLError):
        # Its text names a line of Python's source.
        what = error.reason or "the files cannot be used"
        return f"TLS failed ({what}): see sslrootcert, sslcert, sslkey and sslpassword in its URL"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return _unreadable_file(dsn)
    return None


def _mode(dsn: str) -> str:
    given = dict(parse_qsl(urlsplit(dsn).query)).get("sslmode")
    return given or os.environ.get("PGSSLMODE") or "prefer"


def _unreadable_file(dsn: str) -> str | None:
    """Name the first file that cannot be read; the driver's error does not."""
    options = dict(parse_qsl(urlsplit(dsn).query))
    for option, variable in _FILES.items():
        path = options.get(option) or os.environ.get(variable)
        if path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                return f"{option}={path} cannot be read: {error.strerror}"
    return None
