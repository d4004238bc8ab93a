"""The image, built once, and the demo that all tests here share in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.container.stack import Stack, build, call, has
from tests.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def project() -> str:
    """A name that nothing else on this machine has."""
    if not has("docker", "info"):
        pytest.skip("needs a Docker engine that answers")
    if not has("docker", "compose", "version") and not has("docker-compose", "version"):
        pytest.skip("needs Compose, as `docker compose` or as docker-compose")
    return f"syncer-test-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def image(project: str) -> Iterator[str]:
    tag = f"syncer:{project}"
    build(ROOT, tag)
    yield tag
    call("docker", "image", "rm", "--force", tag)


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("container") / "secrets"
    call("env", "CLOUDFLARE_API_TOKEN=none", ROOT / "deploy/compose/make-secrets", directory)
    return directory


@pytest.fixture(scope="module")
def stack(project: str, image: str, secrets: Path) -> Iterator[Stack]:
    """The demo's project, with nothing up yet; all of it is gone afterwards."""
    assert image == f"syncer:{project}"
    demo = Stack(project, secrets, project)
    try:
        yield demo
    finally:
        demo.down()
