"""The desired state of one run: what the accounts file and the chats describe, and the plan that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.control import ListedAccount, with_missing_keys
from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset
from orchestrator.core.finding import Finding
from orchestrator.core.jobs.job import JobId, RunId, job_id, run_id
from orchestrator.core.moderation import Moderation
from orchestrator.core.plans.plan import NO_PROVIDER_FACTS, DatabaseState, Plan, ProviderFacts, build_plan
from orchestrator.core.plans.price import Price, Quote, UnknownPriceReason, quote_from_price_file
from orchestrator.core.plans.retirement import Retirement
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct, replace
from orchestrator.dataset.tokens.encodings import find_encoding_name
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.inputs.prices import PriceList
from orchestrator.inputs.retirements import RetirementList
from orchestrator.inputs.secrets.references import AccountKeys


class DesiredState(Struct, frozen=True, kw_only=True):
    """Everything from which a plan is built, except what the database and the providers report."""

    accounts_file: AccountsFile
    run: RunDefinition  # the run of the accounts file that this state is for
    keys: AccountKeys  # the keys of the accounts, and why others are missing
    dataset: Dataset  # the canonical JSONL that is uploaded to every account
    findings: Sequence[Finding]  # of the check; of each code only the first ones
    counts: Mapping[str, int]  # the true number of findings, by code
    prices: Mapping[ProviderName, Quote]  # of one job, from the price file
    retirements: Mapping[ProviderName, Retirement]  # published dates of the base models; no entry: none published

    @property
    def listed_accounts(self) -> list[ListedAccount]:
        """The accounts, each with the fingerprint of its key or the hold for its missing key."""
        return list_accounts_with_keys(self.accounts_file, self.keys)

    @property
    def job_ids(self) -> list[JobId]:
        """The ids of the desired jobs, one for each account of the run."""
        run = self.run
        return [job_id(self.dataset.sha256, a.provider, run.specs[a.provider], a.name) for a in run.accounts]

    @property
    def run_id(self) -> RunId:
        """The id of the desired run."""
        return run_id(
            self.dataset.sha256,
            {account.provider: self.run.specs[account.provider] for account in self.run.accounts},
        )

    def build_plan(
        self,
        database_state: DatabaseState,
        moderation: Moderation | None = None,
        provider_facts: ProviderFacts = NO_PROVIDER_FACTS,
    ) -> Plan:
        """Return the plan that leads from the state of the database to this one."""
        return build_plan(
            self.run.accounts,
            self.run.specs,
            self.dataset,
            self.run.options,
            prices=self.prices,
            database_state=replace(
                database_state, account_states=with_missing_keys(database_state.account_states, self.listed_accounts)
            ),
            moderation=moderation,
            facts=provider_facts,
        )


def list_accounts_with_keys(file: AccountsFile, keys: AccountKeys) -> list[ListedAccount]:
    """Return the accounts of the file, each with the fingerprint of its key or the hold for its missing key."""
    return [
        ListedAccount(
            account,
            keys.by_account[account.name].fingerprint if account.name in keys.by_account else "",
            keys.missing.get(account.name),
        )
        for account in file.accounts
    ]


def list_price_file_quotes(
    run: RunDefinition, prices: PriceList, tokens: Mapping[str, int | None]
) -> dict[ProviderName, Quote]:
    """Return the price of one job at each provider. `tokens` are those of one epoch, by base model."""
    return {
        provider: get_price_file_quote(
            spec,
            tokens.get(spec.base_model),
            prices.find(provider, spec.base_model),
            has_tokenizer=provider in run.tokenizers,
        )
        for provider, spec in run.specs.items()
    }


def get_price_file_quote(
    spec: TrainingSpec, tokens: int | None, price: Price | None, *, has_tokenizer: bool
) -> Quote:
    """Return the price of a job with `tokens` per epoch by the price file; None: the exact number is not known."""
    if tokens is not None:  # `get_uncounted_reason` loads tiktoken's table, which takes megabytes
        return quote_from_price_file(tokens, spec.n_epochs, price)
    return quote_from_price_file(
        None, spec.n_epochs, price, uncounted=get_uncounted_reason(spec, has_tokenizer=has_tokenizer)
    )


def get_uncounted_reason(spec: TrainingSpec, *, has_tokenizer: bool) -> UnknownPriceReason:
    """Return why the tokens of one epoch cannot be counted exactly.

    `has_tokenizer`: the accounts file names a tokenizer for the provider.
    """
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
    """Return the published retirement of each provider's base model, without those that have none."""
    published = {provider: retirements.find(provider, spec.base_model) for provider, spec in specs.items()}
    return {provider: retirement for provider, retirement in published.items() if retirement}
