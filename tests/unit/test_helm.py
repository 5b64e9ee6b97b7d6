"""The rendered copies of the chart; `deploy/helm/render.sh --check` says whether they are what the chart makes."""

from __future__ import annotations

from typing import Any, cast

import kubernetes_validate
import pytest
import yaml
from deploy_files import ROOT, image_environ, instruction

from orchestrator.settings import OPTIONS_WITH_FILE, PREFIX, load_settings
from orchestrator.web.api.metrics import MetricsRoutes

FOREIGN = {"ScaledObject", "ServiceMonitor", "TriggerAuthentication"}  # of operators, not of Kubernetes
RENDERED = sorted((ROOT / "deploy/helm/rendered").glob("*.yaml"))


def objects(name: str) -> dict[str, Any]:
    """The rendered objects by kind."""
    text = (ROOT / "deploy/helm/rendered" / f"{name}.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects(name)["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_manifests_match_the_kubernetes_schema(path: Any) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if document["kind"] not in FOREIGN:
            kubernetes_validate.validate(document, "1.33", strict=True)


def test_chart_renders_the_expected_objects() -> None:
    always = {"ConfigMap", "Deployment", "NetworkPolicy", "Service"}
    assert set(objects("one")) == always | {"PersistentVolumeClaim"}
    assert set(objects("three")) == always | {"PodDisruptionBudget"}
    assert set(objects("scaled")) == set(objects("three")) | FOREIGN


@pytest.mark.parametrize("name", ["one", "three", "scaled"])
def test_chart_settings_are_valid(name: str) -> None:
    (container,) = pod(name)["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    files = {f"{PREFIX}{option}_FILE" for option in OPTIONS_WITH_FILE}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for variable in files & set(environ):
        assert environ.pop(variable).rpartition("/")[0] in mounts
        environ[variable.removesuffix("_FILE")] = f"postgresql://{variable}"
    settings = load_settings(image_environ() | environ | {"ORCHESTRATOR_HOST": "0.0.0.0"})
    assert settings.database_url.startswith("sqlite" if name == "one" else "postgresql")
    assert settings.token is not None
    assert {str(settings.data_dir), str(settings.accounts_file.parent), "/chats", "/keys"} <= mounts
    assert container["ports"][0]["containerPort"] == settings.port == int(instruction("EXPOSE"))


@pytest.mark.parametrize("name", ["one", "three", "scaled"])
def test_pod_has_minimal_privileges(name: str) -> None:
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


def test_sqlite_deployment_has_one_replica() -> None:
    spec = objects("one")["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_replicas_are_replaced_one_by_one() -> None:
    spec = objects("three")["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]) == (3, 1)
    assert objects("three")["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", ["one", "three", "scaled"])
def test_selectors_match_the_pod_labels(name: str) -> None:
    found = objects(name)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert pod(name)["volumes"][1]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]


def test_service_monitor_scrapes_an_existing_port() -> None:
    found = objects("scaled")
    monitor = found["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= found["Service"]["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in found["Service"]["spec"]["ports"]]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["name"] in [volume["secret"]["secretName"] for volume in secrets("scaled")]
    assert MetricsRoutes(cast(Any, None)).router.url_path_for("metrics") == endpoint["path"]


def test_autoscaler_controls_the_replica_count() -> None:
    found = objects("scaled")
    assert "replicas" not in found["Deployment"]["spec"]
    scaling = found["ScaledObject"]["spec"]
    assert scaling["scaleTargetRef"] == {"name": found["Deployment"]["metadata"]["name"]}
    assert 2 <= scaling["minReplicaCount"] < scaling["maxReplicaCount"]
    (trigger,) = scaling["triggers"]
    assert int(trigger["metadata"]["targetQueryValue"]) > 0
    assert trigger["authenticationRef"]["name"] == found["TriggerAuthentication"]["metadata"]["name"]
    (reference,) = found["TriggerAuthentication"]["spec"]["secretTargetRef"]
    (database,) = [volume["secret"] for volume in secrets("scaled") if volume["name"] == "database"]
    assert (reference["name"], reference["key"]) == (database["secretName"], "url")


def secrets(name: str) -> list[dict[str, Any]]:
    return [volume for volume in pod(name)["volumes"] if "secret" in volume]
