from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from deploy_files import ROOT, image_command, image_environ, parse, read_yaml

from orchestrator.core.secret import Redactor
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.inputs.secrets.references import resolve_account_keys
from orchestrator.settings import load_settings

COMPOSE = read_yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "orchestrator"}
SERVING = {name: service for name, service in OURS.items() if "command" not in service}


def environ(service: dict[str, Any]) -> dict[str, str]:
    """As the program sees it when nothing is configured: `${NAME:-default}` is the default."""
    given = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in service["environment"].items()}
    return image_environ() | given


def test_default_profile_has_a_sandbox_and_a_service() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"sandbox", "orchestrator"}


def test_postgres_profile_has_a_database_and_two_replicas() -> None:
    names = {name for name, service in SERVICES.items() if service.get("profiles") == ["postgres"]}
    assert names == {"postgres", "replicas-sandbox", "replica-1", "replica-2"}


@pytest.mark.parametrize("name", OURS)
def test_compose_command_exists(name: str) -> None:
    parse(OURS[name].get("command", image_command()))


@pytest.mark.parametrize("name", OURS)
def test_compose_service_has_minimal_privileges(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVING)
def test_compose_settings_are_valid(name: str) -> None:
    service = SERVING[name]
    settings = load_settings(environ(service) | {"ORCHESTRATOR_HOST": "0.0.0.0"})
    network = SERVICES[service["network_mode"].removeprefix("service:")]
    assert f"127.0.0.1:{settings.port}:{settings.port}" in network["ports"], "published on loopback only"
    assert settings.database_url.startswith("postgresql" if "profiles" in service else "sqlite")


@pytest.mark.parametrize("name", SERVING)
def test_compose_service_depends_on_services_of_its_profile(name: str) -> None:
    for other in SERVING[name]["depends_on"]:
        assert SERVICES[other].get("profiles") == SERVING[name].get("profiles")
        assert "healthcheck" in SERVICES[other]


def test_replicas_differ_in_port_and_volume() -> None:
    first, second = (SERVICES[name] for name in ("replica-1", "replica-2"))
    assert environ(first)["ORCHESTRATOR_PORT"] != environ(second)["ORCHESTRATOR_PORT"]
    assert first["volumes"][-1] != second["volumes"][-1]


def test_every_compose_mount_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"]


def test_demo_accounts_use_the_sandbox() -> None:
    path = ROOT / "deploy/demo/accounts.toml"
    accounts = load_accounts_file(path).accounts
    keys = resolve_account_keys(accounts, base_folder=path.parent, redact=Redactor()).by_account
    assert len(accounts) == len(keys) == 5
    for name in ("sandbox", "replicas-sandbox"):
        port = parse(SERVICES[name]["command"])["port"]
        assert {account.base_url for account in accounts} == {f"http://127.0.0.1:{port}/v1"}
    for service in SERVING.values():
        token = environ(service)["ORCHESTRATOR_TOKEN"]
        assert token not in path.read_text(), "a token is blotted out wherever it occurs, in model ids too"
    assert Path("/chats") == load_accounts_file(path).folder / load_accounts_file(path).get_run().options.dataset
