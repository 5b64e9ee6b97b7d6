"""The rules that a dataset must satisfy so that every account of a run can train it.

`orchestrator check` needs nothing else of this package, so this module imports no database: that would take as long
as the check of a small dataset.
"""

from __future__ import annotations

from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.errors import ConfigError
from orchestrator.core.spec import Method
from orchestrator.dataset.rules import DatasetRules
from orchestrator.inputs.accounts_file.runs import RunDefinition


def build_dataset_rules(run: RunDefinition) -> DatasetRules:
    """Return the rules that the dataset must satisfy for all accounts. Raises ConfigError if none could.

    All accounts get the same bytes. So each rule is the strictest one of the providers, and providers and base models
    are sorted: the order of the accounts file must not change the order of the findings.
    """
    return DatasetRules(
        method=_get_method(run),
        providers=tuple(sorted({account.provider for account in run.accounts})),
        minimum_examples=max(CAPABILITIES[account.provider].minimum_examples for account in run.accounts),
        base_models=tuple(sorted({spec.base_model for spec in run.specs.values()})),
        tokenizers={run.specs[provider].base_model: path for provider, path in run.tokenizers.items()},
        validation_fraction=run.options.validation_fraction,
        validation_path=run.validation_path,
        seed=run.options.seed,
    )


def _get_method(run: RunDefinition) -> Method:
    """Return the training method of all providers. Raises ConfigError if they have more than one."""
    methods = {spec.method for spec in run.specs.values()}
    if len(methods) > 1:
        raise ConfigError(
            f"run {run.options.name} of the accounts file has more than one `method`: "
            + ", ".join(f"{spec.method} in {run.format_block(provider)}" for provider, spec in run.specs.items()),
            hint="A run has one dataset: pairs for dpo, chats for supervised. Use a [[runs]] entry for each method.",
        )
    return methods.pop()
