"""Roles that the operations page makes, by its own SQL, for the tests that act as them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from tests.documents import blocks, section
from tests.servers import administer, dsn_of

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = "docs/operations.md"
RIGHTS = "## Rights in the database"
PASSWORD = "of-this-test"


def sql_of(heading: str, part: str) -> str:
    """Find the one statement below a heading of the operations that holds this text."""
    (text,) = (
        block.text
        for block in blocks(OPERATIONS)
        if part in block.text and block.text in section(OPERATIONS, heading)
    )
    return text


def dsn_as(role: str, dsn: str) -> str:
    url = urlsplit(dsn)
    host = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{role}:{PASSWORD}@{host}{url.path}?{url.query}".rstrip("?")


@contextmanager
def documented_role(documented: str, dsn: str, *, schema: str = "public") -> Iterator[str]:
    """Make the role that the page calls so, under a name of its own; its DSN."""
    name = f"syncer_test_{uuid4().hex}"
    quoted = '"' + schema.replace('"', '""') + '"'
    statements = sql_of(RIGHTS, f"CREATE ROLE {documented}").replace(documented, name)
    statements = statements.replace("SCHEMA public", f"SCHEMA {quoted}")
    try:
        administer(dsn, f"SET search_path TO {quoted}; {statements}")
        administer(dsn, f"ALTER ROLE {name} PASSWORD '{PASSWORD}'")
        yield dsn_as(name, dsn)
    finally:
        administer(dsn, f"DROP OWNED BY {name}")
        administer(dsn, f"DROP ROLE {name}")


@contextmanager
def owned_database(server_dsn: str) -> Iterator[tuple[str, str]]:
    """A database of a plain role's own, as `createdb --owner`: the owner's DSN and an admin's."""
    name = f"syncer_test_{uuid4().hex}"
    admin = dsn_of(server_dsn, name)
    plain = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION"
    administer(server_dsn, f"CREATE ROLE {name} {plain} PASSWORD '{PASSWORD}'")
    try:
        administer(server_dsn, f"CREATE DATABASE {name} OWNER {name}")
        try:
            yield dsn_as(name, admin), admin
        finally:
            administer(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        administer(server_dsn, f"DROP ROLE {name}")
