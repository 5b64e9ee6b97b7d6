"""`[run.PROVIDER.deployment]`: explicit, complete, and possible at the provider; without the table there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import ConfigError
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file

ACCOUNT = '[[accounts]]\nname = "a"\nprovider = "fireworks"\napi_key = "env:K"\norganization = "acme"\n'


def read(tmp_path: Path, *lines: str, header: str = "[run.fireworks.deployment]") -> AccountsFile:
    path = tmp_path / "accounts.toml"
    table = "\n".join([header, *lines, ""]) if lines else ""
    path.write_text(f'[run]\nname = "t"\n[run.fireworks]\nbase_model = "m"\n{table}{ACCOUNT}')
    return load_accounts_file(path)


def problems(tmp_path: Path, *lines: str, header: str = "[run.fireworks.deployment]") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *lines, header=header)
    return list(caught.value.problems)


def test_nothing_is_deployed_without_the_table(tmp_path: Path) -> None:
    assert read(tmp_path).runs[0].deployments == {}


def test_table_is_read_and_changes_no_training_spec(tmp_path: Path) -> None:
    without_file = read(tmp_path)
    without = without_file.runs[0]
    file = read(tmp_path, 'kind = "hour"', "keep_hours = 2.5", 'shape = "FULL_PRECISION"', "min_replicas = 0")
    spec = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2.5, shape="FULL_PRECISION", min_replicas=0)
    assert file.runs[0].deployments == {ProviderName.FIREWORKS: spec}
    assert file.runs[0].specs == without.specs
    assert file.warnings == without_file.warnings


def test_kind_and_expiry_are_required_because_both_decide_what_it_costs(tmp_path: Path) -> None:
    kind, keep = sorted(problems(tmp_path, "max_replicas = 1"), key=lambda text: "keep_hours" in text)
    assert kind == (
        'accounts.toml:5: [run.fireworks.deployment]: kind: is missing; add kind = "token" or "hour": '
        "how the deployment is billed"
    )
    assert "keep_hours: is missing; add keep_hours = " in keep


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("keep_hours = 0", "keep_hours: must be greater than 0"),
        ("keep_hours = 9000", "keep_hours: must be less than or equal to 8784"),
        ("keep_hours = 1\nmax_replicas = 0", "max_replicas: must be greater than or equal to 1"),
        ("keep_hours = 1\nreplicas = 2", 'replicas: is not a known option; did you mean "'),
        ('keep_hours = 1\nbase_model = "m"', "base_model: does not belong here but in [run.PROVIDER]"),
        ("keep_hours = 1\nidle_stop_minutes = 1", "idle_stop_minutes: must be from 5 to 10080 at fireworks"),
    ],
)
def test_wrong_value_is_reported_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (found,) = problems(tmp_path, 'kind = "hour"', line)
    place = 7 + line.count("\n")
    assert found.startswith(f"accounts.toml:{place}: [run.fireworks.deployment]: {message}")


def test_kind_that_the_provider_lacks_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, 'kind = "token"', "keep_hours = 1")
    assert 'kind: must be "hour" at fireworks (deployments per token: not available' in found
    (found,) = problems(tmp_path, 'kind = "monthly"', "keep_hours = 1")
    assert "kind: must be 'token' or 'hour'" in found


def test_value_in_place_of_the_table_and_option_in_the_wrong_table(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "deployment = true", header="")
    assert "[run.fireworks]: deployment: must be a table: write [run.fireworks.deployment]" in found
    (found,) = problems(tmp_path, "keep_hours = 2", header="")
    assert "keep_hours: does not belong here but in [run.PROVIDER.deployment]" in found


def test_deployment_of_a_runs_entry(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    table = '[[runs]]\nname = "{}"\n[runs.fireworks]\nbase_model = "m"\n'
    deployment = '[runs.fireworks.deployment]\nkind = "hour"\nkeep_hours = {}\n'
    path.write_text(table.format("one") + deployment.format(1) + table.format("two") + ACCOUNT)
    one, two = load_accounts_file(path).runs
    assert (one.deployments[ProviderName.FIREWORKS].keep_hours, two.deployments) == (1, {})
    path.write_text(table.format("one") + deployment.format(-1) + table.format("two") + ACCOUNT)
    with pytest.raises(ConfigError) as caught:
        load_accounts_file(path)
    assert caught.value.problems[0].startswith("accounts.toml:7: [runs.fireworks.deployment] of one: keep_hours")
