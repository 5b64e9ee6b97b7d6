"""Desired: what the operator wants now, read from the accounts file, the key references and the chats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.control import Listed, with_missing_keys
from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Finding
from orchestrator.core.job import JobId, RunId, job_id, run_id
from orchestrator.core.moderation import Moderation
from orchestrator.core.plan import SILENCE, Heard, Known, Plan, make_plan
from orchestrator.core.price import Price, Quote, Unpriced, by_price_file
from orchestrator.core.retirement import Retirement
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.twins import same_keys
from orchestrator.dataset.apart import building
from orchestrator.dataset.encodings import encoding_of
from orchestrator.dataset.files import Paths
from orchestrator.dataset.prices import load_prices
from orchestrator.dataset.retirements import Retirements, load_retirements
from orchestrator.dataset.rules import Rules
from orchestrator.sources.accounts import AccountsFile, read_accounts
from orchestrator.sources.secrets import Keys, follow, resolve_all
from orchestrator.sources.targets import proxy_references, references
from orchestrator.system.child_processes import ChildProcesses


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything a plan is made of. `prices` is what one job costs at each provider, by the price file.

    `retirements` is what was published of each provider's base model, for those of which something was.

    `secrets` is what webhooks, alerts and proxies need, by the references of the file.
    """

    file: AccountsFile
    keys: Keys
    secrets: Mapping[str, Secret]
    dataset: Dataset
    findings: Sequence[Finding]
    counts: Mapping[str, int]
    prices: Mapping[ProviderName, Quote]
    retirements: Mapping[ProviderName, Retirement]

    @property
    def warnings(self) -> list[str]:
        """What the accounts file warns of, and keys that several references lead to."""
        fingerprints = {name: key.fingerprint for name, key in self.keys.found.items()}
        return list(dict.fromkeys([*self.file.warnings, *same_keys(self.file.accounts, fingerprints)]))

    @property
    def listed(self) -> list[Listed]:
        """The accounts with the fingerprints of their keys, or with what they are held for."""
        found, missing = self.keys.found, self.keys.missing
        return [
            Listed(
                account, found[account.name].fingerprint if account.name in found else "", missing.get(account.name)
            )
            for account in self.file.accounts
        ]

    @property
    def job_ids(self) -> list[JobId]:
        """The jobs that are wanted."""
        file = self.file
        return [job_id(self.dataset.sha256, a.provider, file.specs[a.provider], a.name) for a in file.accounts]

    @property
    def run_id(self) -> RunId:
        """The run that is wanted."""
        return run_id(self.dataset.sha256, {a.provider: self.file.specs[a.provider] for a in self.file.accounts})

    def plan(self, known: Known, moderation: Moderation | None = None, heard: Heard = SILENCE) -> Plan:
        """What is to be done, given what is known."""
        return make_plan(
            self.file.accounts,
            self.file.specs,
            self.dataset,
            self.file.options,
            prices=self.prices,
            known=replace(known, standings=with_missing_keys(known.standings, self.listed)),
            moderation=moderation,
            heard=heard,
        )


def read_desired(
    accounts_file: Path,
    datasets: Path,
    redact: Redactor,
    *,
    prices_file: Path | None = None,
    retirements_file: Path | None = None,
    memory: int | None = None,
    children: ChildProcesses | None = None,
    begin: Callable[[Paths], None] = lambda _paths: None,
) -> Desired:
    """Read everything; slow for large chats, so call it from a thread.

    Raises ConfigError or DatasetError with every fault. The canonical JSONL is written into `datasets`. `memory` is
    the limit in bytes for reading the chats. `children` ends what this waits for when the program stops. `begin`
    is called with the paths of the chats before they are read.
    """
    file = read_accounts(accounts_file)
    begin(file.chat_paths)
    rules = rules_of(file)
    # A second, in which the keys are read.
    with building(file.dataset, datasets, rules, memory=memory, children=children) as result:
        hidden = file.key_variables
        keys = resolve_all(file.accounts, base=file.folder, redact=redact, hidden=hidden, children=children)
        wanted = [*references(file.accounts, file.targets), *proxy_references(file.accounts)]
        secrets = follow(wanted, base=file.folder, redact=redact, hidden=hidden, children=children)
        prices, retirements = load_prices(prices_file), load_retirements(retirements_file)
        built = result()
    return Desired(
        file=file,
        keys=keys,
        secrets=secrets,
        dataset=built.dataset,
        findings=built.checked.findings,
        counts=built.checked.counts,
        prices={
            provider: price_of(
                spec,
                built.tokens.get(spec.base_model),
                prices.find(provider, spec.base_model),
                has_tokenizer=provider in file.tokenizers,
            )
            for provider, spec in file.specs.items()
        },
        retirements=published(retirements, file.specs),
    )


def price_of(spec: TrainingSpec, tokens: int | None, price: Price | None, *, has_tokenizer: bool) -> Quote:
    """What the price file says of a job with so many tokens; None where they are not known exactly."""
    if tokens is not None:  # what says why reads the table of tiktoken, which takes megabytes
        return by_price_file(tokens, spec.n_epochs, price)
    return by_price_file(None, spec.n_epochs, price, uncounted=why_uncounted(spec, has_tokenizer=has_tokenizer))


def why_uncounted(spec: TrainingSpec, *, has_tokenizer: bool) -> Unpriced:
    """Why the tokens of one epoch are not known exactly, if they are not. `has_tokenizer`: the file names one."""
    if spec.method == "dpo":
        return Unpriced.PAIRS
    return Unpriced.CONTENT if has_tokenizer or encoding_of(spec.base_model) else Unpriced.TOKENIZER


def published(retirements: Retirements, specs: Mapping[ProviderName, TrainingSpec]) -> dict[ProviderName, Retirement]:
    """What was published of the end of each provider's base model, for those of which something was."""
    found = {provider: retirements.find(provider, spec.base_model) for provider, spec in specs.items()}
    return {provider: retirement for provider, retirement in found.items() if retirement}


def rules_of(file: AccountsFile) -> Rules:
    """What the check asks for, for these accounts. Raises ConfigError where no dataset could suit them all."""
    methods = {spec.method for spec in file.specs.values()}
    if len(methods) > 1:
        raise ConfigError(
            "the accounts file has more than one `method`: "
            + ", ".join(f"{spec.method} in [run.{provider}]" for provider, spec in file.specs.items()),
            hint="One run has one dataset: pairs for dpo, chats for supervised. Use an accounts file for each.",
        )
    return Rules(
        method=methods.pop(),
        providers=tuple(sorted({account.provider for account in file.accounts})),
        minimum_examples=max(CAPABILITIES[account.provider].minimum_examples for account in file.accounts),
        base_models=tuple(sorted({spec.base_model for spec in file.specs.values()})),
        tokenizers={file.specs[provider].base_model: path for provider, path in file.tokenizers.items()},
        validation_fraction=file.options.validation_fraction,
        validation_path=file.validation,
        seed=file.options.seed,
    )
