"""Benches: one fake provider each, in-process, with time that stands still until it is moved."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx2
from fake_aws import access_key
from fake_azure_deployments import SUBSCRIPTION, AzureDeployments, create_azure
from fake_bedrock import MODELS as BEDROCK_MODELS
from fake_bedrock import REGION as BEDROCK_REGION
from fake_bedrock import ROLE, FakeBedrock, create_bedrock
from fake_dashscope import MODELS as DASHSCOPE_MODELS
from fake_dashscope import create_dashscope
from fake_fireworks import MODELS as FIREWORKS_MODELS
from fake_fireworks import create_fireworks
from fake_nebius_deployments import FakeNebius
from fake_openai_dialects import AzureTranslator, MantleTranslator, NebiusTranslator, Translator
from fake_together import MODELS as TOGETHER_MODELS
from fake_together import create_together
from fake_vertex import MODELS as VERTEX_MODELS
from fake_vertex import REGION, FakeVertex, create_vertex
from machine_speed import scale_seconds
from starlette.types import ASGIApp

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import remote_filename
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.providers.azure import azure_provider
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, Provider, ProviderFactory
from orchestrator.providers.bedrock import bedrock_provider
from orchestrator.providers.dashscope import dashscope_provider
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.nebius import nebius_provider
from orchestrator.providers.openai import openai_provider
from orchestrator.providers.openai.dialects import DIALECTS
from orchestrator.providers.openai.openai_provider import OpenAIProvider
from orchestrator.providers.together import together_provider
from orchestrator.providers.vertex import vertex_provider
from orchestrator.sandbox import Fault, SandboxSettings, create_app

START = 1_800_000_000.0
TAG = "0123456789abcdef.0"
PART = 100  # bytes
CREATION = re.compile(
    r"/fine_tuning/jobs$|/fine-tunes$|/(supervisedFineTuningJobs|dpoJobs)$|/tuningJobs$|/model-customization-jobs$"
)
LINES = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": "It."}]})
    + "\n"
    for n in range(12)
)
PAIRS = "".join(
    json.dumps(
        {
            "input": {"messages": [{"role": "user", "content": f"What is {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": "It."}],
            "non_preferred_output": [{"role": "assistant", "content": "That."}],
        }
    )
    + "\n"
    for n in range(12)
)


class Wire(httpx2.ASGITransport):
    """What a stand-in does to the connection is what an HTTP client sees on a real one.

    While `instead` is set, every read is answered with it; while `created` is, every creation of a job. The stand-in
    sees nothing of either. `change` is what becomes of the JSON of other answers.
    """

    instead: httpx2.Response | None = None
    created: httpx2.Response | None = None
    change: Callable[[httpx2.Request, Any], Any] | None = None
    creation: re.Pattern[str] = CREATION

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.instead is not None and request.method in ("GET", "HEAD"):
            return self.instead
        is_write = request.method in ("POST", "PUT", "PATCH", "DELETE")
        if self.created is not None and is_write and self.creation.search(request.url.path):
            return self.created
        try:
            answer = await super().handle_async_request(request)
        except ConnectionResetError as cut:
            raise httpx2.ReadError("the connection was cut") from cut
        if self.change is None or request.method != "GET":
            return answer
        changed = self.change(request, json.loads(await answer.aread()))
        return httpx2.Response(200, content=changed if isinstance(changed, bytes) else json.dumps(changed).encode())


class ProviderBench(ABC):
    """What the contract suite asks of a provider's stand-in."""

    name: ClassVar[ProviderName]
    base_url: ClassVar[str]
    base_model: ClassVar[str]
    names_organization: ClassVar[bool] = True
    lists_models: ClassVar[bool] = True
    pages: ClassVar[bool] = True
    account_options: ClassVar[Mapping[str, str]] = {}  # `{name}` is the account's
    names_files: ClassVar[bool] = True  # whether the answer about a file has its id
    empty_list_is_empty_object: ClassVar[bool] = False  # an empty list has no key at all
    checks_files: ClassVar[bool] = True  # False: a file that was stored can be used at once

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.folder = folder
        self.redact = Redactor()
        self.wire = Wire(self.application())
        self.http = HttpClient(self.wire)
        self.connect = self.connector()(self.http, self.redact)

    @abstractmethod
    def application(self) -> ASGIApp:
        """The stand-in."""

    @abstractmethod
    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        """The dialect under test."""

    @abstractmethod
    def faults(self, *rules: Fault) -> None:
        """Put these faults in force, and no others."""

    @abstractmethod
    def jobs(self, account: str = "acme") -> int:
        """How many jobs the stand-in holds."""

    @abstractmethod
    def contents(self, account: str = "acme") -> list[bytes]:
        """The bytes of the files it holds."""

    @contextmanager
    def answering(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Iterator[None]:
        """Reads are answered with this: bytes as they are, any other value as JSON."""
        self.wire.instead = _response(body, status, headers)
        yield
        self.wire.instead = None

    @contextmanager
    def answering_creates(
        self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        """Creations of jobs are answered with this, and nothing is created."""
        self.wire.created = _response(body, status, headers)
        yield
        self.wire.created = None

    @contextmanager
    def changing(self, change: Callable[[httpx2.Request, Any], Any]) -> Iterator[None]:
        """What reads are answered with is changed before it arrives."""
        self.wire.change = change
        yield
        self.wire.change = None

    def provider(self, account: str = "acme", *, key: str = "", organization: str | None = None) -> Provider:
        secret = Secret(key or self.key_of(account))
        self.redact.add(secret)
        entry = Account(
            name=account,
            provider=self.name,
            api_key="env:KEY",
            base_url=self.base_url,
            organization=organization or f"org-{account}",
            **{option: value.format(name=account) for option, value in self.account_options.items()},  # type: ignore[arg-type]
        )
        return self.connect(entry, secret)

    def key_of(self, account: str) -> str:
        """The key of an account."""
        return f"sandbox-{account}"

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        """The answer about one object with another id."""
        name = "id" if "id" in body else "name"
        return body | {name: change(body[name])}

    def file(self, content: str = LINES, *, mark: bool = False, tag: str = TAG) -> DatasetFile:
        """A file as the daemon names it: the tag is part of it where each job has a file of its own."""
        digest = hashlib.sha256(content.encode()).hexdigest()
        path = self.folder / f"{digest[:16]}.jsonl"
        path.write_text(content, encoding="utf-8")
        return DatasetFile(
            path=path,
            filename=remote_filename(digest, tag=tag if CAPABILITIES[self.name].has_file_per_job else None),
            bytes=len(content.encode()),
            sha256=digest,
            examples=content.count("\n"),
            byte_order_mark=mark,
        )

    def spec(self, **options: Any) -> TrainingSpec:
        values: dict[str, Any] = {"base_model": self.base_model, "n_epochs": 3, "suffix": "tone.v1"}
        return TrainingSpec(**(values | options))

    def order(self, file: RemoteFile, tag: str = TAG, **options: Any) -> JobOrder:
        return JobOrder(tag=tag, spec=self.spec(**options), training_file=file.id, validation_file=None)

    def deadline(self, seconds: float = scale_seconds(60)) -> Deadline:
        return Deadline(seconds, boottime=lambda: 0.0)

    async def ready_file(self, provider: Provider, content: str = LINES, tag: str = TAG) -> RemoteFile:
        file = await provider.upload_file(self.file(content, tag=tag), self.deadline())
        self.now += 10
        file = await provider.get_file(file.id)
        assert file.status is RemoteFileStatus.READY
        return file

    async def job(self, provider: Provider, **options: Any) -> RemoteJob:
        file = await self.ready_file(provider)
        return await provider.create_job(self.order(file, **options), self.deadline())


class OpenAIBench(ProviderBench):
    """The sandbox as it is, and with the faults that are this provider's way."""

    name = ProviderName.OPENAI
    base_url = "http://localhost/v1"
    base_model = "sandbox-small"
    always: ClassVar[tuple[Fault, ...]] = ()

    def application(self) -> ASGIApp:
        settings = SandboxSettings(
            file_seconds=5, validating_seconds=1, queue_seconds=1, training_seconds=60, faults=self.always
        )
        self.sandbox = create_app(settings, clock=lambda: self.now)
        return self.sandbox

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return openai_provider.build_provider_factory

    def faults(self, *rules: Fault) -> None:
        self.sandbox.state.sandbox.faults.replace((*rules, *self.always))

    def jobs(self, account: str = "acme") -> int:
        return len(self.sandbox.state.sandbox.jobs.of(account))

    def contents(self, account: str = "acme") -> list[bytes]:
        world = self.sandbox.state.sandbox
        return [world.blobs.path(file.sha256).read_bytes() for file in world.files.of(account).values()]


class SmallBench(OpenAIBench):
    """OpenAI's dialect with small limits: what is larger than a part goes in parts."""

    part_bytes: ClassVar[int] = PART

    def provider(self, account: str = "acme", *, key: str = "", organization: str | None = None) -> Provider:
        made = super().provider(account, key=key, organization=organization)
        assert isinstance(made, OpenAIProvider)
        usual = DIALECTS[ProviderName.OPENAI]
        capabilities = replace(usual.capabilities, multipart_threshold_bytes=self.part_bytes)
        made._dialect = replace(usual, part_bytes=self.part_bytes, capabilities=capabilities)
        return made

    def parts(self) -> int:
        """How many parts the sandbox has taken."""
        outcomes = self.sandbox.state.sandbox.counts.outcomes
        return sum(count for (_, what, _), count in outcomes.items() if what == "uploads.part")


class CompatibleBench(OpenAIBench):
    """The sandbox again: a compatible server that keeps metadata."""

    name = ProviderName.OPENAI_COMPATIBLE


class TranslatedBench(OpenAIBench):
    """The sandbox behind a translator."""

    translator: type[Translator]

    def application(self) -> ASGIApp:
        self.translated = self.translator(super().application())
        return self.translated


class AzureBench(TranslatedBench):
    name = ProviderName.AZURE
    base_url = "http://localhost/openai/v1"
    names_organization = False
    translator = AzureTranslator
    always = (Fault("file_not_ready"),)
    account_options: ClassVar[Mapping[str, str]] = {
        "management_key": "file:arm-{name}",
        "subscription_id": SUBSCRIPTION,
        "resource_group": "rg-{name}",
        "resource": "res-{name}",
        "management_url": "http://localhost",
    }

    def application(self) -> ASGIApp:
        """The resource manager before the sandbox. A reference leads to the token that it names."""
        OpenAIBench.application(self)
        self.azure = create_azure(self.sandbox, lambda: self.now)
        self.translated = self.azure.state.translator
        self.deployments: AzureDeployments = self.azure.state.deployments
        self.tokens: dict[str, str] = {}  # others than the usual ones, by reference
        self.loaded: list[str] = []  # the references that were read
        return self.azure

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return lambda http, redact: azure_provider.build_provider_factory(http, redact, self.load_token)

    async def load_token(self, reference: str) -> Secret:
        self.loaded.append(reference)
        token = Secret(self.tokens.get(reference, f"{reference.removeprefix('file:')}_eyJhbGciOiJ"))
        self.redact.add(token)
        return token

    def provider(self, account: str = "acme", *, key: str = "", organization: str | None = None) -> Provider:
        """A wrong key is wrong in both places."""
        self.tokens["file:other"] = key
        reference = "file:other" if key else AzureBench.account_options["management_key"]
        self.account_options = {**self.account_options, "management_key": reference}  # type: ignore[misc]
        return super().provider(account, key=key, organization=organization)

    def faults(self, *rules: Fault) -> None:
        super().faults(*rules)
        self.azure.state.world.faults(*rules)

    def contents(self, account: str = "acme") -> list[bytes]:
        files = self.sandbox.state.sandbox.files.of(account)
        mark = b"\xef\xbb\xbf"
        whole = zip(files, super().contents(account), strict=True)
        return [mark + content if name in self.translated.marked else content for name, content in whole]


class NebiusBench(TranslatedBench):
    name = ProviderName.NEBIUS
    base_model = "meta-llama/Llama-3.1-8B-Instruct"
    names_organization = False
    translator = NebiusTranslator

    def application(self) -> ASGIApp:
        """The custom models before the translated sandbox."""
        translated = super().application()
        self.nebius = FakeNebius(self.sandbox, translated, lambda: self.now)
        return self.nebius

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return nebius_provider.build_provider_factory


class MantleBench(TranslatedBench):
    name = ProviderName.BEDROCK_MANTLE
    base_model = "openai.gpt-oss-20b"
    names_organization = False
    translator = MantleTranslator


class TogetherBench(ProviderBench):
    name = ProviderName.TOGETHER
    base_url = "http://localhost/v1"
    base_model = TOGETHER_MODELS[0]
    pages = False

    def application(self) -> ASGIApp:
        app, self.world = create_together(lambda: self.now, file_seconds=5, training_seconds=60)
        return app

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return together_provider.build_provider_factory

    def faults(self, *rules: Fault) -> None:
        self.world.faults(*rules)

    def jobs(self, account: str = "acme") -> int:
        return len(self.world.account(account).jobs)

    def contents(self, account: str = "acme") -> list[bytes]:
        files = self.world.account(account).files.values()
        return [file.content for file in files if file.content is not None]


class FireworksBench(TogetherBench):
    name = ProviderName.FIREWORKS
    base_model = FIREWORKS_MODELS[0]

    def application(self) -> ASGIApp:
        app, self.world = create_fireworks(lambda: self.now, file_seconds=5, training_seconds=60)
        return app

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return fireworks_provider.build_provider_factory


class DashScopeBench(TogetherBench):
    name = ProviderName.DASHSCOPE
    base_url = "http://localhost/api/v1"
    base_model = DASHSCOPE_MODELS[0]
    names_organization = False
    lists_models = False
    pages = True
    checks_files = False

    def application(self) -> ASGIApp:
        app, self.world = create_dashscope(lambda: self.now, training_seconds=60)
        return app

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return dashscope_provider.build_provider_factory

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        part, name = ("output", "job_id") if "output" in body else ("data", "file_id")
        return body | {part: body[part] | {name: change(body[part][name])}}


class VertexBench(TogetherBench):
    name = ProviderName.VERTEX
    base_url = "http://localhost"
    base_model = VERTEX_MODELS[0]
    names_organization = False
    lists_models = False
    pages = True
    checks_files = False
    empty_list_is_empty_object = True
    account_options: ClassVar[Mapping[str, str]] = {
        "project": "proj-{name}",
        "region": REGION,
        "bucket": "bucket-{name}",
        "storage_url": "http://localhost",
    }

    def application(self) -> ASGIApp:
        app, self.world = create_vertex(lambda: self.now, training_seconds=60, reads_lines=False)
        self.vertex: FakeVertex = app.state.vertex
        return app

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return vertex_provider.build_provider_factory

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        if "size" not in body:
            return super().change_id(body, change)
        return body | {"name": change(f"gs://bucket-acme/{body['name']}").removeprefix("gs://bucket-acme/")}


class BedrockBench(VertexBench):
    name = ProviderName.BEDROCK
    base_model = BEDROCK_MODELS[0]
    lists_models = True
    pages = False
    names_files = False
    empty_list_is_empty_object = False
    account_options: ClassVar[Mapping[str, str]] = {
        "region": BEDROCK_REGION,
        "bucket": "bucket-{name}",
        "role_arn": ROLE,
        "storage_url": "http://localhost/s3",
    }

    def application(self) -> ASGIApp:
        app, self.world = create_bedrock(lambda: self.now, training_seconds=60, reads_lines=False)
        self.bedrock: FakeBedrock = app.state.bedrock
        return app

    def connector(self) -> Callable[[HttpClient, Redactor], ProviderFactory]:
        return bedrock_provider.build_provider_factory

    def key_of(self, account: str) -> str:
        return access_key(account)

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        return body | {"jobArn": change(body["jobArn"])}


def _response(body: Any, status: int, headers: Mapping[str, str] | None) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.Response(status, content=content, headers={"content-type": "application/json", **(headers or {})})


def oversized(file: DatasetFile, provider: Provider) -> DatasetFile:
    """One byte too many, which is known before the file is opened."""
    return replace(file, path=Path("/nowhere"), bytes=provider.capabilities.maximum_bytes + 1)
