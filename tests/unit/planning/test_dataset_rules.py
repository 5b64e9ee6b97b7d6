from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.planning.dataset_rules import build_dataset_rules

FIREWORKS, OPENAI = ProviderName.FIREWORKS, ProviderName.OPENAI


@pytest.mark.parametrize(("providers", "minimum"), [([FIREWORKS], 3), ([OPENAI], 10), ([FIREWORKS, OPENAI], 10)])
def test_minimum_is_the_highest_of_all_providers(providers: list[ProviderName], minimum: int) -> None:
    run = RunDefinition(
        options=RunOptions(name="a"),
        dataset=Path("chats"),
        specs={provider: TrainingSpec(base_model="m") for provider in providers},
        accounts=tuple(Account(name=provider, provider=provider, api_key="env:K") for provider in providers),
    )
    rules = build_dataset_rules(run)
    assert (rules.minimum_examples, set(rules.providers)) == (minimum, set(providers))
    assert rules.validation_path is None
    own = replace(run, validation_path=Path("/x/own.jsonl"))
    assert build_dataset_rules(own).validation_path == Path("/x/own.jsonl")


@pytest.mark.parametrize("is_entry", [True, False])
def test_two_methods_in_one_run_are_refused_with_the_names_of_the_blocks(is_entry: bool) -> None:
    run = RunDefinition(
        options=RunOptions(name="tone"),
        dataset=Path("chats"),
        specs={
            OPENAI: TrainingSpec(base_model="m", method="dpo"),
            FIREWORKS: TrainingSpec(base_model="m"),
        },
        accounts=(),
        is_entry=is_entry,
    )
    with pytest.raises(ConfigError) as caught:
        build_dataset_rules(run)
    table = "runs" if is_entry else "run"
    assert f"dpo in [{table}.openai], supervised in [{table}.fireworks]" in caught.value.message
    assert "[[runs]]" in caught.value.hint
