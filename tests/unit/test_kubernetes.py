"""The manifests are what Kubernetes takes, and agree with each other, the image and the program."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes_validate import utils as kubernetes_validate

from syncer.config import Settings, load
from syncer.shutdown import LAST_RESORT_S
from tests.documents import ROOT, read

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = ROOT / "deploy" / "kubernetes"
OLDEST = "1.31"
NEWEST = kubernetes_validate.latest_version()
Manifest = dict[str, Any]


@cache
def manifests() -> tuple[Manifest, ...]:
    """Every object of the directory; kustomize's own file is none."""
    files = sorted(DIRECTORY.glob("*.yaml"))
    found = (one for file in files for one in yaml.safe_load_all(file.read_text()))
    return tuple(one for one in found if one["kind"] != "Kustomization")


def only(kind: str, name: str = "syncer") -> Manifest:
    [found] = [
        one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name
    ]
    return found


WORKLOADS = [("Deployment", "syncer"), ("Job", "syncer-migrate")]
workloads = pytest.mark.parametrize(("kind", "name"), WORKLOADS)


def pod(kind: str, name: str) -> Manifest:
    template: Manifest = only(kind, name)["spec"]["template"]
    return template


def container(kind: str, name: str) -> Manifest:
    [found] = pod(kind, name)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.major_minor(NEWEST)])
def test_kubernetes_knows_every_field(version: str) -> None:
    assert len(manifests()) == 9
    for manifest in manifests():
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_the_oldest_version_is_the_one_that_is_promised() -> None:
    assert f"Kubernetes {OLDEST}" in read("docs/kubernetes.md")


def test_a_field_that_is_misspelt_is_found() -> None:
    wrong = json.loads(json.dumps(only("Deployment")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_kustomize_takes_all_but_the_example_of_secrets() -> None:
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    files = {file.name for file in DIRECTORY.glob("*.yaml")}
    assert set(listed) == files - {"kustomization.yaml", "secrets.example.yaml"}
    assert listed[0] == "namespace.yaml"


def test_everything_is_in_one_namespace() -> None:
    [namespace] = [one for one in manifests() if one["kind"] == "Namespace"]
    found = {one["metadata"].get("namespace") for one in manifests() if one is not namespace}
    assert found == {namespace["metadata"]["name"]}


@workloads
def test_a_pod_is_restricted(kind: str, name: str) -> None:
    spec, inner = pod(kind, name)["spec"], container(kind, name)["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", read("Dockerfile"), re.MULTILINE)
    assert user is not None
    outer = spec["securityContext"]
    assert outer["runAsNonRoot"] is True
    assert (outer["runAsUser"], outer["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert outer["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert only("ServiceAccount", spec["serviceAccountName"])["automountServiceAccountToken"] is (
        False
    )


@workloads
def test_what_a_pod_mounts_is_there_and_can_be_read(kind: str, name: str) -> None:
    spec = pod(kind, name)["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes.keys() == {mount["name"] for mount in container(kind, name)["volumeMounts"]}
    # A mounted file does not follow its secret with a subPath.
    assert all("subPath" not in mount for mount in container(kind, name)["volumeMounts"])
    assert "config.toml" in only("ConfigMap", volumes["config"]["configMap"]["name"])["data"]
    secret = volumes["secrets"]["secret"]
    assert only("Secret", secret["secretName"])
    assert secret["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


def configured(kind: str, name: str, directory: Path) -> Settings:
    """The configuration as the pod's container finds it, with its own secrets alone."""
    inner, spec = container(kind, name), pod(kind, name)["spec"]
    places = {mount["name"]: mount["mountPath"] for mount in inner["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    secrets = directory / "secrets"
    secrets.mkdir()
    given = only("Secret", volumes["secrets"]["secret"]["secretName"])["stringData"]
    for key, value in given.items():
        (secrets / key).write_text(value)
    # The image's working directory, where the program looks for the file.
    assert f"WORKDIR {places['config']}\n" in read("Dockerfile")
    text = only("ConfigMap")["data"]["config.toml"].replace(places["secrets"], str(secrets))
    assert str(secrets) in text
    file = directory / "config.toml"
    file.write_text(text)
    return load(file, environ={one["name"]: one["value"] for one in inner.get("env", ())})


def test_the_daemon_finds_all_that_it_needs(tmp_path: Path) -> None:
    settings = configured("Deployment", "syncer", tmp_path)
    assert settings.warnings == ()
    assert [account.credential.token for account in settings.read_accounts()] == ["replace-me"]
    assert settings.read_database_password() == "replace-me"
    assert settings.database.auto_migrate is False
    assert settings.health.listen == ("0.0.0.0", 8080)  # noqa: S104 - of the pod
    # What the replicas send together is what one would.
    replicas = only("Deployment")["spec"]["replicas"]
    assert settings.cloudflare.rate_limit.requests * replicas == 1000


def test_the_migration_has_the_owners_role_and_no_token(tmp_path: Path) -> None:
    settings = configured("Job", "syncer-migrate", tmp_path)
    assert settings.read_database_password() == "replace-me"
    assert [account.problem is None for account in settings.read_accounts()] == [False]
    daemon = configured("Deployment", "syncer", _made(tmp_path / "daemon"))
    assert str(daemon.database.url).replace("//syncer_daemon@", "//syncer@") == (
        settings.database.url
    )


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_both_run_the_same_image() -> None:
    assert container(*WORKLOADS[0])["image"] == container(*WORKLOADS[1])["image"]


def test_probes_ask_the_port_that_is_opened() -> None:
    inner = container("Deployment", "syncer")
    [port] = inner["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in read("Dockerfile")
    assert 'listen = "0.0.0.0:8080"' in only("ConfigMap")["data"]["config.toml"]
    asked = {kind: inner[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")}
    assert {one["path"] for one in asked.values()} == {"/healthz"}
    assert inner["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {inner[f"{kind}Probe"]["httpGet"]["port"] for kind in (*asked, "readiness")} == {
        port["name"]
    }
    [ingress] = only("NetworkPolicy")["spec"]["ingress"]
    assert [one["port"] for one in ingress["ports"]] == [port["name"]]


def test_stopping_has_more_time_than_it_takes() -> None:
    grace_s = pod("Deployment", "syncer")["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= 2 * LAST_RESORT_S


def test_every_selector_finds_the_daemons_pods_alone() -> None:
    deployment = only("Deployment")["spec"]
    selectors = [
        deployment["selector"],
        only("PodDisruptionBudget")["spec"]["selector"],
        *(
            spread["labelSelector"]
            for spread in deployment["template"]["spec"]["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert matches(selector, deployment["template"])
        assert not matches(selector, pod("Job", "syncer-migrate"))
    policy = only("NetworkPolicy")["spec"]["podSelector"]
    assert all(matches(policy, pod(kind, name)) for kind, name in WORKLOADS)


def matches(selector: Manifest, template: Manifest) -> bool:
    wanted = selector["matchLabels"].items()
    return bool(wanted <= template["metadata"]["labels"].items())


def test_a_node_can_be_drained_and_a_new_version_rolled_out() -> None:
    deployment = only("Deployment")["spec"]
    budget = only("PodDisruptionBudget")["spec"]
    assert deployment["replicas"] > budget["maxUnavailable"] > 0
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] > 0


def test_no_real_secret_is_among_them() -> None:
    secrets = [one for one in manifests() if one["kind"] == "Secret"]
    assert {value for one in secrets for value in one["stringData"].values()} == {"replace-me"}
