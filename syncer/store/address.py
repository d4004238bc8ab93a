"""Where a database is, in words that are safe to log."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qs, unquote, urlsplit

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?P<port>:\d+)?")


def address_of(dsn: str) -> str:
    """Host, port and database of a libpq-style URL, as `localhost:5432/syncer`.

    What the URL leaves out comes from PGHOST, PGPORT and PGDATABASE, as the driver reads them.
    Raises ValueError, which quotes no part of the URL, where the driver would take the rest of a
    password with an unescaped character for a host, a port or a database.
    """
    try:
        return _address_of(dsn)
    except ValueError:
        raise ValueError(
            "the database URL cannot be read: write postgresql://user@host:port/database,"
            " percent-encode special characters (@ as %40, / as %2F)"
        ) from None


def _address_of(dsn: str) -> str:
    url = urlsplit(dsn)
    _, at, netloc = url.netloc.rpartition("@")
    if url.scheme not in {"postgresql", "postgres"} or dsn.count("@") != len(at) or url.fragment:
        raise ValueError
    query = parse_qs(url.query, strict_parsing=bool(url.query))
    given = {name: values[-1] for name, values in query.items()}
    hosts = netloc or given.get("host") or os.environ.get("PGHOST") or "localhost"
    # The driver takes ?port= for the hosts of ?host= alone.
    port = (not netloc and given.get("port")) or os.environ.get("PGPORT") or "5432"
    database = (
        url.path.removeprefix("/")
        or given.get("dbname")
        or given.get("database")
        or os.environ.get("PGDATABASE")
    )
    named = [_with_port(unquote(host), port) for host in hosts.split(",")]
    return "/".join(filter(None, [",".join(named), unquote(database or "")]))


def _with_port(host: str, port: str) -> str:
    match = _HOST.fullmatch(host)
    if match is None:
        raise ValueError
    return host if match["port"] else f"{host}:{port}"
