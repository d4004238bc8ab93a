"""From the image of the last revision but one, with invoices, to this one; then a backup."""

from __future__ import annotations

import dataclasses
import tarfile
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

from syncer.store.migrate import migration_config
from tests.container.stack import Stack, build, call, until
from tests.documents import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.container

SCRIPTS = ScriptDirectory.from_config(migration_config())
DIGEST = "SELECT count(*), md5(string_agg(id || amount_due, ',' ORDER BY id)) FROM invoices"


def former_commit() -> str:
    """The commit before that which brought the last migration, or a reason to skip the test."""
    head = SCRIPTS.get_revision("head")
    listed = call("git", "ls-files", "--", f"alembic/versions/{head.revision}_*.py").split()
    added = call("git", "log", "--diff-filter=A", "--format=%H", "--", *listed, check=False).split()
    if len(listed) != 1 or not added:
        pytest.skip("needs the repository with its history")
    found = call("git", "rev-parse", "--verify", f"{added[-1]}^", check=False).strip()
    return found or pytest.skip("needs more of the repository's history")


@pytest.fixture(scope="module")
def former(project: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The version of the image that the repository made before its last migration."""
    commit = former_commit()
    directory = tmp_path_factory.mktemp("former")
    archive = directory / "former.tar"
    call("git", "archive", f"--output={archive}", commit)
    with tarfile.open(archive) as tar:
        tar.extractall(directory / "tree", filter="data")
    version = f"{project}-former"
    build(directory / "tree", f"syncer:{version}")
    print(f"\nthe former image is built from {commit}")  # noqa: T201
    yield version
    call("docker", "image", "rm", "--force", f"syncer:{version}")


def test_the_new_image_migrates_what_the_former_one_has_stored(
    former: str, stack: Stack, secrets: Path
) -> None:
    old = dataclasses.replace(stack, version=former)
    old.compose("up", "--detach", "--no-build", "postgres", "cloudflare")
    until(lambda: old.healthy("postgres"), "PostgreSQL to be healthy")
    until(lambda: old.healthy("cloudflare"), "the simulated API to be healthy")
    old.compose("run", "--rm", "-T", "migrate")
    # As the owner: the other role has its rights from scripts that know the new tables.
    as_owner = (
        *("-e", "SYNCER_DATABASE__URL=postgresql://syncer@postgres:5432/syncer"),
        *("-e", "SYNCER_DATABASE__PASSWORD_FILE=/run/owner_password"),
        *("-v", f"{secrets / 'owner_password'}:/run/owner_password:ro"),
    )
    accounts = ("production", "staging", "tokyo", "kuwait")
    chosen = [part for name in accounts for part in ("--account", name)]
    old.compose("run", "--rm", "-T", "--no-deps", *as_owner, "syncer", "sync", *chosen)
    before = SCRIPTS.get_revision("head").down_revision
    assert old.sql("SELECT version_num FROM alembic_version") == before
    stored = old.sql(DIGEST)
    assert stored.startswith("450|")

    stack.up()
    until(stack.ready, "the daemon to be ready")
    stack.syncs_again()
    print(f"\nmigrated from {before} to {SCRIPTS.get_current_head()}, 450 invoices kept")  # noqa: T201
    assert stack.sql("SELECT version_num FROM alembic_version") == SCRIPTS.get_current_head()
    assert stack.sql(DIGEST) == stored
    assert stack.sql("SELECT count(*) FROM invoice_history") == "0"


def test_a_backup_is_restored_as_the_page_says(stack: Stack, tmp_path: Path) -> None:
    [making] = [line for line in commands() if " pg_dump " in line]
    [restoring] = [block for block in written() if " pg_restore " in block]
    dump = tmp_path / "syncer.dump"
    stack.up()
    until(stack.ready, "the daemon to be ready")
    stack.syncs_again()
    stored = stack.sql(DIGEST)
    stack.as_written(making.replace("syncer.dump", str(dump)))
    # What a newer version might bring: a table, and a view for which no old one can be dropped.
    stack.sql("CREATE TABLE newer (); CREATE VIEW newer_view AS SELECT * FROM invoices")
    stack.as_written(restoring.replace("syncer.dump", str(dump)))
    until(stack.ready, "the daemon to be ready")
    assert stack.sql(DIGEST) == stored
    assert stack.sql("SELECT to_regclass('newer'), to_regclass('newer_view')") == "|"
    assert stack.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == (
        "syncer"
    )
    stack.syncs_again()


def written() -> list[str]:
    return [block.text for block in blocks("docs/containers.md") if block.language == "console"]


def commands() -> list[str]:
    return [line for block in written() for line in block.splitlines()]
