"""The image: how much it is, what is in it, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.container.stack import call

pytestmark = pytest.mark.container

MOST_BYTES = 60_000_000


def config_of(image: str) -> dict[str, Any]:
    [found] = json.loads(call("docker", "image", "inspect", image))
    config = found["Config"]
    assert isinstance(config, dict)
    return config


def test_its_own_layers_are_small(image: str) -> None:
    base = json.loads(call("docker", "image", "inspect", "python:3.13-slim-bookworm"))[0]
    built = json.loads(call("docker", "image", "inspect", image))[0]
    print()  # noqa: T201 - a figure that people want
    print(call("docker", "history", "--format", "{{.Size}}\t{{.CreatedBy}}", image))  # noqa: T201
    print(f"over the base: {built['Size'] - base['Size']} bytes")  # noqa: T201
    assert built["Size"] - base["Size"] < MOST_BYTES


def test_it_says_what_it_is_and_how_it_runs(image: str) -> None:
    config = config_of(image)
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "syncer", "health"]
    assert config["Entrypoint"] == ["syncer"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == "of-a-test"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_nothing_of_its_making_is_in_it(image: str) -> None:
    found = call(
        # As root, who sees into /root.
        *("docker", "run", "--rm", "--user=0", "--entrypoint=sh", image, "-c"),
        "find /opt/syncer -name tests -o -name testing;"
        "find / -xdev \\( -name pip -o -name 'pip-*' -o -name ensurepip \\);"
        "find / -xdev -type f \\( -name strip -o -name gcc -o -name cc1 \\);"
        # What extension modules are compiled from.
        "find /opt/syncer -regextype posix-extended -regex '.*[.](c|cpp|h|hpp|pyx|pxd|pxi)';"
        "ls -A /src /dist /root/.cache; true",
    )
    assert found == ""


def test_it_needs_neither_a_writable_file_system_nor_a_right(image: str) -> None:
    said = call(
        *("docker", "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none"),
        *("--security-opt=no-new-privileges:true", "--entrypoint=sh", image, "-c"),
        "id -u; id -g; grep -E '^(CapEff|NoNewPrivs):' /proc/self/status; syncer --version;"
        " touch /etc/syncer/x 2>&1 | grep -o 'Read-only file system'",
    )
    lines = said.split("\n")
    assert lines[:2] == ["10001", "10001"]
    assert lines[2].split() == ["CapEff:", "0" * 16]
    assert lines[3].split() == ["NoNewPrivs:", "1"]
    assert lines[4].startswith("syncer ")
    assert lines[5] == "Read-only file system"
