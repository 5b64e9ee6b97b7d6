from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import version

from deploy_files import DOCKERFILE, ROOT, image_command, image_environ, instruction, parse

from orchestrator.settings import load_settings


def pins(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))


def test_image_has_the_tested_versions() -> None:
    everything, image = pins("requirements.lock"), pins("deploy/requirements.lock")
    assert image.items() <= everything.items(), "run: make lock"


def test_the_image_has_every_dependency_and_no_test_tool() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    included = ("postgres", "alerts", "bedrock", "vertex")
    declared = [*project["project"]["dependencies"], *(line for extra in included for line in extras[extra])]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in declared}
    image = set(pins("deploy/requirements.lock"))
    assert names <= image, "run: make lock"
    assert not image & {"pytest", "mypy", "ruff", "hypothesis", "playwright"}


def test_signers_of_providers_are_extras_and_no_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = {re.split(r"[\[<>=]", line)[0].lower() for line in project["dependencies"]}
    assert not base & {"botocore", "boto3", "google-auth", "cryptography"}
    assert {"bedrock", "vertex"} <= project["optional-dependencies"].keys()


def test_image_is_built_with_the_declared_build_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["build-system"]["requires"]) <= set(pins("deploy/build.lock"))


def test_the_label_is_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"ARG VERSION={project['project']['version']}\n" in DOCKERFILE
    assert 'org.opencontainers.image.version="$VERSION"' in instruction("LABEL")
    chart = (ROOT / "deploy/helm/Chart.yaml").read_text(encoding="utf-8")
    assert f'appVersion: "{project["project"]["version"]}"' in chart
    assert version("orchestrator") == project["project"]["version"], "run: make install"


def test_what_is_copied_is_in_the_build_context() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for word in line.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in allowed or (path.endswith(".lock") and "!deploy/*.lock" in allowed)


def test_default_command_exists() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["tini", "--", "orchestrator"]
    assert parse(image_command())["host"] == "0.0.0.0"


def test_image_environment_is_valid() -> None:
    settings = load_settings(image_environ() | {"ORCHESTRATOR_TOKEN": "a-token-of-the-test"})
    assert (str(settings.accounts_file), str(settings.data_dir)) == ("/config/accounts.toml", "/data")
    assert f"VOLUME {settings.data_dir}\n" in DOCKERFILE


def test_dockerfile_needs_no_new_builder() -> None:
    assert not re.search(r"^# *syntax=|RUN --|COPY --(link|chmod|parents|exclude)|<<", DOCKERFILE, re.MULTILINE)
