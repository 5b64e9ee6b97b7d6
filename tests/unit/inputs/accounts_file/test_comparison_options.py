"""`[run.comparison]`: optional, checked, and no part of a run's identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import replace
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file

ACCOUNT = '[[accounts]]\nname = "a"\nprovider = "openai"\napi_key = "env:K"\n'


def read(
    tmp_path: Path, table: str, run: str = '[run]\nname = "t"\n[run.openai]\nbase_model = "m"\n'
) -> AccountsFile:
    path = tmp_path / "accounts.toml"
    path.write_text(f"{run}{table}\n{ACCOUNT}")
    return load_accounts_file(path)


def test_options_and_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "").runs[0].comparison == ComparisonSettings()
    table = '[run.comparison]\nprobes = 60\nscoring = "json"\nmax_usd = 2.5\nstore_answers = false'
    file = read(tmp_path, table)
    assert file.runs[0].comparison == ComparisonSettings(
        probes=60, scoring=ScoringMethod.JSON, max_usd=2.5, store_answers=False
    )
    assert file.runs[0].specs == read(tmp_path, "").runs[0].specs
    assert file.runs[0].options == read(tmp_path, "").runs[0].options


def test_gate_is_an_option_of_the_run_and_no_part_of_its_identity(tmp_path: Path) -> None:
    plain, gated = read(tmp_path, ""), read(tmp_path, "[run.comparison]\ngate = true")
    assert not plain.runs[0].options.gate
    assert gated.runs[0].options == replace(plain.runs[0].options, gate=True)
    assert (gated.runs[0].comparison, gated.runs[0].specs) == (plain.runs[0].comparison, plain.runs[0].specs)


def test_schedule_is_no_part_of_the_settings(tmp_path: Path) -> None:
    file = read(tmp_path, '[run.comparison]\nmax_usd = 2\nschedule = "0 6 * * 1"')
    assert file.runs[0].comparison_schedule == "0 6 * * mon"
    assert file.runs[0].comparison == ComparisonSettings(max_usd=2)
    assert file.runs[0].options == read(tmp_path, "").runs[0].options


def test_own_probes_are_a_path_beside_the_accounts_file(tmp_path: Path) -> None:
    file = read(tmp_path, '[run.comparison]\nprobes_file = "own/probes.jsonl"')
    assert file.runs[0].comparison.probes_file == str(tmp_path / "own" / "probes.jsonl")


def test_each_of_several_runs_has_its_own(tmp_path: Path) -> None:
    text = "".join(
        f'[[runs]]\nname = "{name}"\n[runs.openai]\nbase_model = "m"\n[runs.comparison]\nprobes = {probes}\n'
        for name, probes in (("one", 50), ("two", 70))
    )
    assert [run.comparison.probes for run in read(tmp_path, "", text).runs] == [50, 70]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[run.comparison]\nprobes = 1", "probes: must be greater than or equal to 2"),
        ('[run.comparison]\nprobes_file = "a\\u0000b"', "probes_file: "),
        ("[run.comparison]\nprobs = 10", 'probs: is not a known option; did you mean "probes"?'),
        ('[run.comparison]\nscoring = "judge"', "scoring: must be"),
        ('[run.comparison]\ngate = "yes"', "gate: must be a valid boolean"),
        ('[run.comparison]\nschedule = "0 6 * * 1"', "schedule: needs max_usd in the same table"),
        ('[run.comparison]\nmax_usd = 2\nschedule = "6 * *"', "schedule: "),
        ("[run.comparison]\nmax_usd = 0", "max_usd: must be greater than 0"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, table: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, table)
    assert f"[run.comparison]: {problem}" in error.value.problems[0]


def test_it_is_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "", '[run]\nname = "t"\ncomparison = true\n[run.openai]\nbase_model = "m"\n')
    assert "write [run.comparison] on a line of its own" in error.value.problems[0]
