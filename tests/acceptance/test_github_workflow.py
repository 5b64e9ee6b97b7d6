"""The example of a GitHub workflow: its commands run against the sandbox, and it grants no more than it needs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from machine_speed import scale_seconds
from processes import SandboxProcess, Site, shell_path

WORKFLOW = Path(__file__).parents[2] / "docs" / "examples" / "fine-tune.yml"
INSTALL = 'python -m pip install "$PACKAGE_TO_INSTALL"'
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
SECRET = re.compile(r"\$\{\{ secrets\.(\w+) \}\}")
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")  # as GitHub runs a step with `shell: bash`


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return loaded


class Runner:
    """Runs the commands of a workflow in the folder of a site, as GitHub's runner does after the checkout."""

    def __init__(self, workflow: Mapping[str, Any], site: Site, secrets: Mapping[str, str], path: str) -> None:
        self._workflow = workflow
        self._site = site
        self._secrets = secrets
        self._path = path
        self.summary = site.folder / "summary.md"

    def run_job(self, name: str) -> list[int]:
        """Run the job's commands except the installation; return their exit codes. A failure skips what follows."""
        job = self._workflow["jobs"][name]
        codes: list[int] = []
        for step in job["steps"]:
            if step.get("run") in (None, INSTALL) or (any(codes) and "!cancelled()" not in step.get("if", "")):
                continue
            codes.append(self._run_command(step["run"], {**self._workflow["env"], **job.get("env", {})}))
        return codes

    def _run_command(self, command: str, variables: Mapping[str, str]) -> int:
        values = {name: SECRET.sub(lambda found: self._secrets[found[1]], text) for name, text in variables.items()}
        environ = self._site.environ | values | {"GITHUB_STEP_SUMMARY": str(self.summary)}
        environ["PATH"] = self._path
        done = subprocess.run(
            [*BASH, command],
            cwd=self._site.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=scale_seconds(240),
        )
        print(command, done.stdout[-2000:], done.stderr[-2000:])
        return done.returncode


@pytest.fixture
def runner(workflow: dict[str, Any], site: Site, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    site.write_accounts("acme-eu", run="allow_unknown_price = true", keys={"acme-eu": "env:ACME_EU_KEY"})
    database = f"sqlite:///{site.folder / 'shared.db'}"
    secrets = {"ACME_EU_KEY": "sandbox-acme-eu", "ORCHESTRATOR_DATABASE_URL": database}
    return Runner(workflow, site, secrets, shell_path(tmp_path_factory.mktemp("bin")))


def test_workflow_checks_plans_trains_once_and_exports_the_model_ids(
    runner: Runner, site: Site, sandbox: SandboxProcess
) -> None:
    assert runner.run_job("check") == [0, 0]
    assert json.loads((site.folder / "chats.sarif").read_text())["version"] == "2.1.0"
    assert runner.run_job("plan") == [0]
    assert "new job" in runner.summary.read_text()
    for _ in range(2):  # a repeated job pays nothing
        assert runner.run_job("train") == [0, 0]
        models = json.loads((site.folder / "models.json").read_text())
        assert models["acme-eu"].startswith("ft:sandbox-small:")
        assert len(sandbox.jobs("acme-eu")) == 1
    assert runner.run_job("plan") == [0]


def test_refused_chat_fails_the_check_and_is_in_the_sarif_file(runner: Runner, site: Site) -> None:
    (site.chats / "broken.json").write_text("[{")
    assert runner.run_job("check") == [1, 1]
    sarif = json.loads((site.folder / "chats.sarif").read_text())
    assert "broken.json" in json.dumps(sarif["runs"][0]["results"])


def test_plan_of_a_run_that_would_be_held_fails_and_is_shown(runner: Runner, site: Site) -> None:
    site.write_accounts("acme-eu", run="max_total_usd = 0.000001", keys={"acme-eu": "env:ACME_EU_KEY"})
    assert runner.run_job("plan") == [1]
    assert "would be held" in runner.summary.read_text()
    assert runner.run_job("train") == [1, 1]
    assert json.loads((site.folder / "models.json").read_text()) == {"acme-eu": None}


def test_each_job_installs_the_program_and_every_command_is_executed_here(workflow: dict[str, Any]) -> None:
    assert set(workflow["jobs"]) == {"check", "plan", "train"}
    for job in workflow["jobs"].values():
        assert next(step["run"] for step in job["steps"] if "run" in step) == INSTALL
    verbs = re.findall(r"^\s*orchestrator ([\w-]+)", "\n".join(list_commands(workflow)), re.MULTILINE)
    assert verbs == ["check", "check", "plan", "run", "models"]


def test_actions_are_pinned_and_permissions_are_minimal(workflow: dict[str, Any]) -> None:
    uses = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert uses
    assert [name for name in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
    assert workflow["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert granted == {"check": {"contents": "read", "security-events": "write"}}


def test_secrets_reach_no_pull_request_of_a_fork_and_no_command_line(workflow: dict[str, Any]) -> None:
    triggers = dict[Any, Any](workflow)[True]  # YAML 1.1 reads the key `on` as true
    assert set(triggers) == {"pull_request", "push"}
    for name, job in workflow["jobs"].items():
        assert "secrets." not in json.dumps(job["steps"]), name
        if "secrets." in json.dumps(job):
            assert SAME_REPOSITORY in job["if"] or job["if"] == "github.event_name == 'push'", name
            assert job["environment"], name
    assert [command for command in list_commands(workflow) if "${{" in command] == []


def list_commands(workflow: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands of all jobs."""
    for job in workflow["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)
