"""Desired: what the operator wants now, read from the accounts file, the key references and the chats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.control import ListedAccount, with_missing_keys
from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Finding
from orchestrator.core.jobs.job import JobId, RunId, job_id, run_id
from orchestrator.core.moderation import Moderation
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings
from orchestrator.core.plans.plan import NO_PROVIDER_FACTS, DatabaseState, Plan, ProviderFacts, build_plan
from orchestrator.core.plans.price import Price, Quote, UnknownPriceReason, quote_from_price_file
from orchestrator.core.plans.retirement import Retirement
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.dataset.build_process import BuildProcess
from orchestrator.dataset.read.source_files import DatasetPaths
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens.encodings import find_encoding_name
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.retirements import RetirementList, load_retirements
from orchestrator.inputs.secrets.references import AccountKeys, resolve_account_keys, resolve_secrets
from orchestrator.system.child_processes import ChildProcesses


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """Everything a plan is made of. `prices` is what one job costs at each provider, by the price file.

    `retirements` is what was published of each provider's base model, for those of which something was.

    `secrets` is what webhooks, alerts and proxies need, by the references of the file.
    """

    accounts_file: AccountsFile
    keys: AccountKeys
    secrets: Mapping[str, Secret]
    dataset: Dataset
    findings: Sequence[Finding]
    counts: Mapping[str, int]
    prices: Mapping[ProviderName, Quote]
    retirements: Mapping[ProviderName, Retirement]

    @property
    def warnings(self) -> list[str]:
        """What the accounts file warns of, and keys that several references lead to."""
        fingerprints = {name: key.fingerprint for name, key in self.keys.by_account.items()}
        return list(
            dict.fromkeys(
                [*self.accounts_file.warnings, *list_shared_key_warnings(self.accounts_file.accounts, fingerprints)]
            )
        )

    @property
    def listed_accounts(self) -> list[ListedAccount]:
        """The accounts with the fingerprints of their keys, or with what they are held for."""
        found, missing = self.keys.by_account, self.keys.missing
        return [
            ListedAccount(
                account, found[account.name].fingerprint if account.name in found else "", missing.get(account.name)
            )
            for account in self.accounts_file.accounts
        ]

    @property
    def job_ids(self) -> list[JobId]:
        """The jobs that are wanted."""
        file = self.accounts_file
        return [job_id(self.dataset.sha256, a.provider, file.specs[a.provider], a.name) for a in file.accounts]

    @property
    def run_id(self) -> RunId:
        """The run that is wanted."""
        return run_id(
            self.dataset.sha256,
            {a.provider: self.accounts_file.specs[a.provider] for a in self.accounts_file.accounts},
        )

    def build_plan(
        self,
        database_state: DatabaseState,
        moderation: Moderation | None = None,
        provider_facts: ProviderFacts = NO_PROVIDER_FACTS,
    ) -> Plan:
        """What is to be done, given what is known."""
        return build_plan(
            self.accounts_file.accounts,
            self.accounts_file.specs,
            self.dataset,
            self.accounts_file.options,
            prices=self.prices,
            database_state=replace(
                database_state, account_states=with_missing_keys(database_state.account_states, self.listed_accounts)
            ),
            moderation=moderation,
            facts=provider_facts,
        )


def load_desired_state(
    accounts_file: Path,
    datasets: Path,
    redact: Redactor,
    *,
    prices_file: Path | None = None,
    retirements_file: Path | None = None,
    memory: int | None = None,
    children: ChildProcesses | None = None,
    before_read: Callable[[DatasetPaths], None] = lambda _paths: None,
) -> DesiredState:
    """Read everything; slow for large chats, so call it from a thread.

    Raises ConfigError or DatasetError with every fault. The canonical JSONL is written into `datasets`. `memory` is
    the limit in bytes for reading the chats. `children` ends what this waits for when the program stops. `begin`
    is called with the paths of the chats before they are read.
    """
    file = load_accounts_file(accounts_file)
    before_read(file.chat_paths)
    rules = build_dataset_rules(file)
    # A second, in which the keys are read.
    with BuildProcess(file.dataset, datasets, rules, memory_bytes=memory, children=children) as build:
        hidden = file.key_variables
        keys = resolve_account_keys(
            file.accounts, base_folder=file.folder, redact=redact, hidden_variables=hidden, children=children
        )
        wanted = [*list_secret_references(file.accounts, file.targets), *list_proxy_references(file.accounts)]
        secrets = resolve_secrets(
            wanted, base_folder=file.folder, redact=redact, hidden_variables=hidden, children=children
        )
        prices, retirements = load_prices(prices_file), load_retirements(retirements_file)
        built = build.result()
    return DesiredState(
        accounts_file=file,
        keys=keys,
        secrets=secrets,
        dataset=built.dataset,
        findings=built.check_result.findings,
        counts=built.check_result.counts,
        prices={
            provider: get_price_file_quote(
                spec,
                built.tokens.get(spec.base_model),
                prices.find(provider, spec.base_model),
                has_tokenizer=provider in file.tokenizers,
            )
            for provider, spec in file.specs.items()
        },
        retirements=find_published_retirements(retirements, file.specs),
    )


def get_price_file_quote(
    spec: TrainingSpec, tokens: int | None, price: Price | None, *, has_tokenizer: bool
) -> Quote:
    """What the price file says of a job with so many tokens; None where they are not known exactly."""
    if tokens is not None:  # what says why reads the table of tiktoken, which takes megabytes
        return quote_from_price_file(tokens, spec.n_epochs, price)
    return quote_from_price_file(
        None, spec.n_epochs, price, uncounted=get_uncounted_reason(spec, has_tokenizer=has_tokenizer)
    )


def get_uncounted_reason(spec: TrainingSpec, *, has_tokenizer: bool) -> UnknownPriceReason:
    """Why the tokens of one epoch are not known exactly, if they are not. `has_tokenizer`: the file names one."""
    if spec.method == "dpo":
        return UnknownPriceReason.DPO_NOT_LISTED
    return (
        UnknownPriceReason.UNCOUNTABLE_CONTENT
        if has_tokenizer or find_encoding_name(spec.base_model)
        else UnknownPriceReason.NO_TOKENIZER
    )


def find_published_retirements(
    retirements: RetirementList, specs: Mapping[ProviderName, TrainingSpec]
) -> dict[ProviderName, Retirement]:
    """What was published of the end of each provider's base model, for those of which something was."""
    found = {provider: retirements.find(provider, spec.base_model) for provider, spec in specs.items()}
    return {provider: retirement for provider, retirement in found.items() if retirement}


def build_dataset_rules(file: AccountsFile) -> DatasetRules:
    """What the check asks for, for these accounts. Raises ConfigError where no dataset could suit them all."""
    methods = {spec.method for spec in file.specs.values()}
    if len(methods) > 1:
        raise ConfigError(
            "the accounts file has more than one `method`: "
            + ", ".join(f"{spec.method} in [run.{provider}]" for provider, spec in file.specs.items()),
            hint="One run has one dataset: pairs for dpo, chats for supervised. Use an accounts file for each.",
        )
    return DatasetRules(
        method=methods.pop(),
        providers=tuple(sorted({account.provider for account in file.accounts})),
        minimum_examples=max(CAPABILITIES[account.provider].minimum_examples for account in file.accounts),
        base_models=tuple(sorted({spec.base_model for spec in file.specs.values()})),
        tokenizers={file.specs[provider].base_model: path for provider, path in file.tokenizers.items()},
        validation_fraction=file.options.validation_fraction,
        validation_path=file.validation_path,
        seed=file.options.seed,
    )
