"""One run with two accounts at every provider, every one of them troubled, and killed once in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fake_aws import access_key
from fake_bedrock import MODELS as BEDROCK_MODELS
from fake_bedrock import REGION as BEDROCK_REGION
from fake_bedrock import ROLE, create_bedrock
from fake_dashscope import MODELS as DASHSCOPE_MODELS
from fake_dashscope import create_dashscope
from fake_fireworks import MODELS as FIREWORKS_MODELS
from fake_fireworks import create_fireworks
from fake_openai_dialects import AzureTranslator, MantleTranslator, NebiusTranslator
from fake_server import serve_on_free_port
from fake_together import MODELS as TOGETHER_MODELS
from fake_together import create_together
from fake_vertex import MODELS as VERTEX_MODELS
from fake_vertex import REGION, create_vertex
from fake_world import FakeWorld
from machine_speed import scale_seconds
from processes import CHATS, QUICK_POLLING, Result, RunningProgram, clean_environ
from starlette.types import ASGIApp

from orchestrator.core.account import ProviderName
from orchestrator.sandbox import Fault, SandboxSettings, create_app
from orchestrator.sandbox.fault_injector import FaultInjector

TROUBLE = (
    Fault("lose_answer", operations=("files.create",), times=1),
    Fault("lose_answer", operations=("jobs.create",), times=1),
    Fault("truncate", operations=("jobs.create",), times=1),
    Fault("drop", rate=0.05),
    Fault("server_error", rate=0.05),
    Fault("rate_limit", rate=0.1, seconds=0.2),
    Fault("slow", rate=0.2, seconds=0.1),
)
BLOCKS = {
    "openai": ("sandbox-small", "/v1", "n_epochs = 3"),
    "openai-compatible": ("sandbox-small", "/v1", "n_epochs = 3"),
    "azure": ("sandbox-small", "/openai/v1", 'n_epochs = 3\ntraining_type = "Developer"'),
    "nebius": ("meta-llama/Llama-3.1-8B-Instruct", "/v1", "learning_rate = 1e-5\nlora_rank = 8"),
    "together": (TOGETHER_MODELS[0], "/v1", "n_epochs = 3\nlearning_rate = 1e-5"),
    "fireworks": (FIREWORKS_MODELS[0], "/v1", "n_epochs = 3\nlora_rank = 8"),
    "bedrock-mantle": ("openai.gpt-oss-20b", "/v1", "n_epochs = 3"),
    "dashscope": (DASHSCOPE_MODELS[0], "/api/v1", "n_epochs = 3\nbatch_size = 8\ncontext_length = 2048"),
    "vertex": (VERTEX_MODELS[0], "", "n_epochs = 3\nlora_rank = 8"),
    "bedrock": (BEDROCK_MODELS[0], "", "n_epochs = 3\nlearning_rate = 1e-5"),
}
ACCOUNT_OPTIONS = {
    "vertex": 'project = "proj-{name}"\nbucket = "bucket-{name}"\nstorage_url = "{url}"\n' + f'region = "{REGION}"\n',
    "bedrock": 'bucket = "bucket-{name}"\nstorage_url = "{url}/s3"\n'
    + f'region = "{BEDROCK_REGION}"\nrole_arn = "{ROLE}"\n',
}
KEYS: dict[str, Callable[[str], str]] = {"bedrock": access_key}
DEPLOYED = {"azure", "nebius", "together", "fireworks", "dashscope", "bedrock"}
FAKES: dict[str, Callable[[Callable[[], float]], tuple[ASGIApp, FakeWorld]]] = {
    "together": create_together,
    "fireworks": create_fireworks,
    "dashscope": create_dashscope,
    "vertex": create_vertex,
    "bedrock": create_bedrock,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A stand-in on a port: its address, its faults, and the jobs it holds for an account."""

    url: str
    book: FaultInjector
    jobs: Callable[[str], Sized]


@asynccontextmanager
async def serve_all() -> AsyncIterator[dict[str, Provider]]:
    providers: dict[str, Provider] = {}
    async with AsyncExitStack() as stack:
        for name, wrap in {
            "openai": None,
            "openai-compatible": None,
            "azure": AzureTranslator,
            "nebius": NebiusTranslator,
            "bedrock-mantle": MantleTranslator,
        }.items():
            settings = SandboxSettings(
                file_seconds=0.2, validating_seconds=0.1, queue_seconds=0.1, training_seconds=1, seed=len(providers)
            )
            sandbox = create_app(settings)
            url = await stack.enter_async_context(serve_on_free_port(wrap(sandbox) if wrap else sandbox))
            shelf = sandbox.state.sandbox.jobs
            providers[name] = Provider(url, sandbox.state.sandbox.faults, shelf.of)
        for name, create in FAKES.items():
            app, fake = create(time.time)  # noqa: TID251 - the wall clock of a real provider
            url = await stack.enter_async_context(serve_on_free_port(app))
            providers[name] = Provider(url, fake.book, partial(_jobs, fake))
        yield providers


def _jobs(fake: FakeWorld, account: str) -> Sized:
    return fake.account(account).jobs


def accounts_file(providers: dict[str, Provider]) -> str:
    text = f'[run]\nname = "six"\ndataset = "{CHATS}"\nsuffix = "tone.v1"\nallow_unknown_price = true\n'
    text += 'moderation_waived = "test"\n'
    for name, (model, path, options) in BLOCKS.items():
        text += f'[run.{name}]\nbase_model = "{model}"\n{options}\n'
        for number in (1, 2):
            account = f"{name}-{number}"
            text += f'[[accounts]]\nname = "{account}"\nprovider = "{name}"\napi_key = "file:{account}.key"\n'
            text += f'base_url = "{providers[name].url}{path}"\norganization = "org-{account}"\n'
            text += ACCOUNT_OPTIONS.get(name, "").format(name=account, url=providers[name].url)
    return text


async def run(folder: Path, *arguments: str, kill_when: Callable[[], bool] | None = None) -> Result:
    environ = clean_environ() | QUICK_POLLING | {"ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(2):g}"}
    running = RunningProgram(arguments, folder, environ)
    if kill_when is not None:
        async with asyncio.timeout(scale_seconds(120)):
            while not kill_when():  # noqa: ASYNC110 - what it waits for is in another process
                await asyncio.sleep(0.05)
        running.kill()
    return await asyncio.to_thread(running.result, 240)


async def test_two_accounts_at_each_provider_pay_for_one_job_each(tmp_path: Path) -> None:
    async with serve_all() as providers:
        for provider in providers.values():
            provider.book.replace(TROUBLE)
        names = [f"{provider}-{number}" for provider in BLOCKS for number in (1, 2)]
        for name in names:
            (tmp_path / f"{name}.key").write_text(KEYS.get(name.rpartition("-")[0], "sandbox-{}".format)(name))
        (tmp_path / "accounts.toml").write_text(accounts_file(providers))

        def half_created() -> bool:
            jobs = [provider.jobs(f"{name}-{number}") for name, provider in providers.items() for number in (1, 2)]
            return sum(map(len, jobs)) >= len(jobs) / 2

        await run(tmp_path, "run", kill_when=half_created)
        done = await run(tmp_path, "run")
        assert done.code == 0, done.out + done.err[-4000:]
        assert set(BLOCKS) == set(ProviderName)
        status = await run(tmp_path, "status", "--json")
        jobs = {job["account"]: job for job in status.json["jobs"]}

        assert {name: jobs[name]["state"] for name in names} == dict.fromkeys(names, "succeeded")
        assert len({jobs[name]["fine_tuned_model"] for name in names} - {None}) == len(names)
        held = {name: len(providers[jobs[name]["provider"]].jobs(name)) for name in names}
        assert held == dict.fromkeys(names, 1)
        assert {name for name in names if not jobs[name]["servable"]} == {
            name for name in names if name.rpartition("-")[0] in DEPLOYED
        }
        assert all(provider.book.fired[1] and provider.book.fired[2] for provider in providers.values())
