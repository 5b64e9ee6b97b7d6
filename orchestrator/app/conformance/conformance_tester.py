"""Prepares a conformance test from the accounts file, and runs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from orchestrator.app.clock import SystemClock
from orchestrator.app.conformance.contract_checks import check_contract
from orchestrator.app.conformance.report import ConformanceReport
from orchestrator.app.conformance.trial import Trial
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account
from orchestrator.core.capabilities import CAPABILITIES, WireFormat
from orchestrator.core.dataset import DatasetPart, remote_filename
from orchestrator.core.errors import ConfigError
from orchestrator.core.loopback import is_in_private_network
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct, replace
from orchestrator.dataset.canonical_jsonl import encode_canonical
from orchestrator.dataset.convert.converted_file import get_converted_file
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.accounts_file.problems import format_suggestion
from orchestrator.inputs.accounts_file.targets import list_proxy_references
from orchestrator.inputs.secrets.references import accepts_document, resolve_reference, resolve_secrets
from orchestrator.providers.base import DatasetFile, Provider
from orchestrator.providers.redaction import redact_provider
from orchestrator.providers.registry import ProviderRegistry
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.providers.http.client import HttpClient

MIN_EXAMPLES: Final = 10
MAX_CONNECTIONS: Final = 2


class ConformanceOptions(Struct, frozen=True, kw_only=True):
    """The options of the command."""

    base_model: str | None = None  # instead of the run's
    train: bool = False  # follow the job to its end instead of cancelling it
    timeout_seconds: float = 60.0  # for a file or the job to reach the expected status
    may_cost_money: bool = False  # whether the operator accepts that the server may charge for the job


class ConformanceTester(Struct, frozen=True, kw_only=True):
    """A test that is ready to run."""

    account: Account
    spec: TrainingSpec
    options: ConformanceOptions
    key: Secret
    proxy_secrets: Mapping[str, Secret]
    network: OutboundNetwork
    redact: Redactor

    def describe(self) -> str:
        """Describe what the test will do, as one sentence."""
        host = urlsplit(self.account.base_url or "").netloc or self.account.provider
        ending = "trains it to its end" if self.options.train else "cancels it"
        return (
            f"The test uploads {_count_examples(self.account)} tiny chats to {host}, creates one job on "
            f"{self.spec.base_model}, {ending}, and deletes the file."
        )

    async def run(self) -> ConformanceReport:
        """Run the test, and end what it started."""
        from orchestrator.providers.http.client import create_http_client
        from orchestrator.providers.http.network import NetworkConfig

        rules = self.network.get_proxy_rules(self.account.proxy, self.proxy_secrets)
        http = create_http_client(MAX_CONNECTIONS, NetworkConfig(rules, self.network.ssl_context))
        try:
            with write_dataset(self.account, self.spec, token_hex(8)) as (file, tag):
                return await check_contract(self._build_trial(http, file, tag), train=self.options.train)
        finally:
            await http.aclose()

    def _build_trial(self, http: HttpClient, file: DatasetFile, tag: str) -> Trial:
        registry = ProviderRegistry(http, self.redact)

        def connect(account: Account) -> Provider:
            return redact_provider(registry.get_factory(account.provider)(account, self.key), self.redact)

        return Trial(
            account=self.account,
            connect=connect,
            spec=self.spec,
            tag=tag,
            file=file,
            boottime=SystemClock().boottime,
            sleep=asyncio.sleep,
            max_wait_seconds=self.options.timeout_seconds,
        )


def prepare_conformance_test(
    file: AccountsFile, name: str, options: ConformanceOptions, settings: Settings, redact: Redactor
) -> ConformanceTester:
    """Prepare the test of an account. Blocks while the key is read. Raises ConfigError."""
    account = _get_account(file, name)
    _check_cost(account, options)
    spec = _build_spec(file, account, options)
    key = resolve_reference(
        account.api_key,
        base_folder=file.folder,
        redact=redact,
        hidden_variables=file.key_variables,
        accepts_document=accepts_document(account),
    )
    return ConformanceTester(
        account=account,
        spec=spec,
        options=options,
        key=key,
        proxy_secrets=resolve_secrets(list(list_proxy_references([account])), base_folder=file.folder, redact=redact),
        network=OutboundNetwork(os.environ, settings.ca_file, redact),
        redact=redact,
    )


def _get_account(file: AccountsFile, name: str) -> Account:
    names = [account.name for account in file.accounts]
    if name not in names:
        raise ConfigError(
            f'there is no account "{name}" in {file.path}{format_suggestion(name, names)}',
            hint=f"The accounts are: {', '.join(names)}.",
        )
    return file.accounts[names.index(name)]


def _check_cost(account: Account, options: ConformanceOptions) -> None:
    """Raise ConfigError for a server that may charge for the job, unless the operator accepts that."""
    address = account.base_url or PROVIDERS[account.provider].default_base_url or ""
    host = urlsplit(address).hostname or account.provider
    if options.may_cost_money or is_in_private_network(host):
        return
    raise ConfigError(
        f"the test creates one job at {host}, which is outside of this network and may charge for it",
        hint="Add --yes to accept that. The job trains 10 tiny chats for one epoch; without --train it is cancelled.",
    )


def _build_spec(file: AccountsFile, account: Account, options: ConformanceOptions) -> TrainingSpec:
    """Build the smallest training with the base model of the first run that has one for this provider."""
    specs = (run.specs[account.provider] for run in file.runs if account.provider in run.specs)
    spec = next(specs, None)
    if options.base_model:
        spec = replace(spec or TrainingSpec(base_model=""), base_model=options.base_model)
    if spec is None:
        raise ConfigError(
            f"no run of {file.path} names a base model for {account.provider}",
            hint="Name one with --base-model, or add it to the accounts file.",
        )
    return replace(spec, method="supervised", n_epochs=1, batch_size="auto", learning_rate_multiplier="auto")


@contextmanager
def write_dataset(account: Account, spec: TrainingSpec, nonce: str) -> Iterator[tuple[DatasetFile, str]]:
    """Write the dataset to a temporary folder, as the provider reads it. Yields it with the tag of the job.

    The content contains the nonce: a file that an earlier test left at the server must not be found.
    """
    examples = _count_examples(account)
    content = b"".join(_encode_chat(nonce, number) for number in range(examples))
    capabilities, tag = CAPABILITIES[account.provider], f"{nonce}.1"
    # Also where the account does not have the option `file_per_job`: the test then shows whether it would help.
    has_tag = capabilities.has_file_per_job or "file_per_job" in PROVIDERS[account.provider].account_options
    with TemporaryDirectory(prefix="orchestrator-") as folder:
        part = DatasetPart(
            path=Path(folder) / "conformance.jsonl",
            sha256=sha256(content).hexdigest(),
            bytes=len(content),
            examples=examples,
            tokens=None,
        )
        part.path.write_bytes(content)
        is_converted = capabilities.wire_format is not WireFormat.CHAT_LINES
        converted = get_converted_file(part, capabilities.wire_format) if is_converted else None
        sent = converted or part
        yield (
            DatasetFile(
                path=sent.path,
                filename=remote_filename(
                    part.sha256,
                    converted_sha256=converted.sha256 if converted else None,
                    tag=tag if has_tag else None,
                ),
                bytes=sent.bytes,
                sha256=sent.sha256,
                examples=examples,
                wire_format=capabilities.wire_format,
                byte_order_mark=bool(spec.byte_order_mark),
            ),
            tag,
        )


def _encode_chat(nonce: str, number: int) -> bytes:
    question = f"Conformance test {nonce}: what is {number} plus one?"
    answer = f"It is {number + 1}."
    return encode_canonical(
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    )


def _count_examples(account: Account) -> int:
    return max(MIN_EXAMPLES, CAPABILITIES[account.provider].minimum_examples)
