"""What the Compose file mounts and grants is what the program and the documents say."""

from __future__ import annotations

import os
import stat
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from syncer.config import load
from syncer.demo.world import demo_world
from syncer.shutdown import LAST_RESORT_S
from tests.documents import ROOT, blocks, read

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("syncer:")]
MAKE_SECRETS = "deploy/compose/make-secrets"


def make_secrets(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / MAKE_SECRETS, directory],
        env={"PATH": os.environ["PATH"], **environ},
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_secrets_that_are_made_are_those_that_are_mounted(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    assert make_secrets(directory, CLOUDFLARE_API_TOKEN="of-this-test").returncode == 0
    made = {file.name: file.read_text() for file in directory.iterdir()}
    assert made.keys() >= COMPOSE["secrets"].keys()
    assert made["cloudflare_api_token"] == "of-this-test"
    assert len(set(made.values())) == len(made)
    assert {len(made[name]) for name in made if name.endswith("_password")} == {48}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o644}
    assert make_secrets(directory).returncode == 0
    assert {file.name: file.read_text() for file in directory.iterdir()} == made


def test_without_a_token_it_says_so(tmp_path: Path) -> None:
    asked = make_secrets(tmp_path)
    assert asked.returncode == 2
    assert "CLOUDFLARE_API_TOKEN" in asked.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_roles_are_granted_what_the_operations_page_grants() -> None:
    documented = [
        block.text.split("\n", 1)[1]
        for block in blocks("docs/operations.md")
        if block.text.startswith("CREATE ROLE")
    ]
    assert len(documented) == 2
    for_grafana = read("deploy/grafana/grant.sql").splitlines(keepends=True)
    documented.append("".join(line for line in for_grafana if line.startswith("GRANT")))
    granted = read("deploy/compose/database/rights.sql")
    assert granted.split("\n\n", 1)[1] == "\n".join(documented)


@pytest.mark.parametrize("name", ["config", "demo"])
def test_a_configuration_finds_its_secrets_and_leaves_migrating_to_others(
    name: str, tmp_path: Path
) -> None:
    make_secrets(tmp_path, CLOUDFLARE_API_TOKEN="of-this-test")
    file = tmp_path / "config.toml"
    text = read(f"deploy/compose/{name}.toml")
    for secret in SERVICES["syncer"]["secrets"]:
        text = text.replace(f"/run/secrets/{secret}", str(tmp_path / secret))
    file.write_text(text)
    settings = load(file, environ={})
    assert all(account.problem is None for account in settings.read_accounts())
    assert settings.read_database_password() == (tmp_path / "daemon_password").read_text()
    assert settings.database.auto_migrate is False
    assert f"EXPOSE {settings.health.listen[1] if settings.health.listen else None}\n" in read(
        "Dockerfile"
    )


def test_the_demo_has_the_accounts_of_the_simulation() -> None:
    configured = tomllib.loads(read("deploy/compose/demo.toml"))["accounts"]
    assert configured == [
        {"id": account.simulated.id, "name": account.name, "api_token": account.token}
        for account in demo_world()
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.keys() >= {"mem_limit", "cpus", "pids_limit", "restart"}
    # Nobody but the host itself reaches what is published.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name != "postgres":
        assert service["read_only"] is True
        assert "cap_add" not in service


def test_only_the_daemon_gets_the_token() -> None:
    assert [
        name
        for name, service in SERVICES.items()
        if "cloudflare_api_token" in service.get("secrets", ())
    ] == ["syncer"]


def test_the_network_of_the_database_leads_nowhere_else() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if service.get("networks") == ["database"]}
    assert inside == {"postgres", "roles", "rights"}


def test_the_daemon_has_the_time_to_stop() -> None:
    assert int(SERVICES["syncer"]["stop_grace_period"].removesuffix("s")) >= 2 * LAST_RESORT_S


def test_all_of_ours_run_one_image() -> None:
    assert set(OURS) == {"migrate", "syncer", "cloudflare"}
    assert len({SERVICES[name]["image"] for name in OURS}) == 1
