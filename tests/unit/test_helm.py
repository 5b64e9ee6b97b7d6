"""The rendered copies of the chart; `deploy/helm/render.sh --check` says whether they are what the chart makes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from deploy_files import ROOT, image_environ, instruction

from orchestrator.settings import FROM_FILE, PREFIX, load_settings

RENDERED = sorted((ROOT / "deploy/helm/rendered").glob("*.yaml"))


def objects(name: str) -> dict[str, Any]:
    """The rendered objects by kind."""
    text = (ROOT / "deploy/helm/rendered" / f"{name}.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects(name)["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(path: Any) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes are not installed")
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        schemas.validate(document, "1.33", strict=True)


def test_what_there_is() -> None:
    always = {"ConfigMap", "Deployment", "NetworkPolicy", "Service"}
    assert set(objects("one")) == always | {"PersistentVolumeClaim"}
    assert set(objects("three")) == always | {"PodDisruptionBudget"}


@pytest.mark.parametrize("name", ["one", "three"])
def test_the_settings_are_in_order(name: str) -> None:
    (container,) = pod(name)["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    files = {f"{PREFIX}{option}_FILE" for option in FROM_FILE}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for variable in files & set(environ):
        assert environ.pop(variable).rpartition("/")[0] in mounts
        environ[variable.removesuffix("_FILE")] = f"postgresql://{variable}"
    settings = load_settings(image_environ() | environ | {"ORCHESTRATOR_HOST": "0.0.0.0"})
    assert settings.database_url.startswith("sqlite" if name == "one" else "postgresql")
    assert settings.token is not None
    assert {str(settings.data_dir), str(settings.accounts_file.parent), "/chats", "/keys"} <= mounts
    assert container["ports"][0]["containerPort"] == settings.port == int(instruction("EXPOSE"))


@pytest.mark.parametrize("name", ["one", "three"])
def test_the_pod_may_do_little(name: str) -> None:
    spec = pod(name)
    (container,) = spec["containers"]
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" == instruction("USER")
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "data")


def test_sqlite_never_has_two_owners() -> None:
    spec = objects("one")["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_replicas_are_replaced_one_by_one() -> None:
    spec = objects("three")["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]) == (3, 1)
    assert objects("three")["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", ["one", "three"])
def test_the_parts_find_each_other(name: str) -> None:
    found = objects(name)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert pod(name)["volumes"][1]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
