"""A fake of every provider on a port of its own, at which an account trains, deploys and calls its model."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_aws import access_key
from fake_azure_deployments import SUBSCRIPTION, create_azure
from fake_bedrock import MODELS as BEDROCK_MODELS
from fake_bedrock import REGION as BEDROCK_REGION
from fake_bedrock import ROLE, create_bedrock
from fake_dashscope import MODELS as DASHSCOPE_MODELS
from fake_dashscope import create_dashscope
from fake_fireworks import MODELS as FIREWORKS_MODELS
from fake_fireworks import create_fireworks
from fake_google_tokens import FakeGoogleTokens
from fake_nebius_deployments import FakeNebius
from fake_openai_dialects import MantleTranslator, NebiusTranslator
from fake_server import serve_on_free_port
from fake_together import MODELS as TOGETHER_MODELS
from fake_together import create_together
from fake_vertex import MODELS as VERTEX_MODELS
from fake_vertex import REGION, create_vertex
from processes import CHATS
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.sandbox import SandboxSettings, create_app

CLOCK = time.time  # noqa: TID251 - the wall clock of a real provider
START_SECONDS = 0.3
BASE_MODELS = {
    "openai": "sandbox-small",
    "openai-compatible": "sandbox-small",
    "azure": "sandbox-small",
    "nebius": "meta-llama/Llama-3.1-8B-Instruct",
    "together": TOGETHER_MODELS[0],
    "fireworks": FIREWORKS_MODELS[0],
    "bedrock-mantle": "openai.gpt-oss-20b",
    "dashscope": DASHSCOPE_MODELS[0],
    "vertex": VERTEX_MODELS[0],
    "bedrock": BEDROCK_MODELS[0],
}
PATHS = {"azure": "/openai/v1", "dashscope": "/api/v1", "vertex": "", "bedrock": ""}  # others: /v1
DEPLOYMENTS = {
    "azure": 'kind = "token"\nkeep_hours = 2',
    "nebius": 'kind = "token"\nkeep_hours = 2',
    "together": 'kind = "hour"\nkeep_hours = 1',
    "fireworks": 'kind = "hour"\nkeep_hours = 1\nidle_stop_minutes = 5',
    "dashscope": 'kind = "token"\nkeep_hours = 2',
    "bedrock": 'kind = "token"\nkeep_hours = 2',
}
ACCOUNT_OPTIONS = {
    "azure": f"""\
management_key = "file:azure-arm.key"
management_url = "{{url}}"
subscription_id = "{SUBSCRIPTION}"
resource_group = "rg-azure"
resource = "res-azure"
""",
    "vertex": f"""\
project = "proj-vertex"
bucket = "bucket-vertex"
storage_url = "{{url}}"
region = "{REGION}"
""",
    "bedrock": f"""\
bucket = "bucket-bedrock"
storage_url = "{{url}}/s3"
region = "{BEDROCK_REGION}"
role_arn = "{ROLE}"
""",
}


PRICES = {"usd_per_million_input_tokens": 200.0, "usd_per_million_output_tokens": 900.0, "usd_per_hour": 6.0}
MIN_QUESTION_BYTES = 400  # the service also calls a deployment to find out whether it answers, with a short question


@dataclass(eq=False)
class UsageCounter:
    """A fake that adds up the tokens of its answers, whichever dialect they are in."""

    app: ASGIApp
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked, answered = bytearray(), bytearray()

        async def read() -> Message:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def write(message: Message) -> None:
            answered.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, read, write)
        if scope["type"] == "http" and scope["method"] == "POST" and len(asked) >= MIN_QUESTION_BYTES:
            self._add(bytes(answered))

    def _add(self, answered: bytes) -> None:
        document = json.loads(answered) if answered.startswith(b"{") else {}
        usage = document.get("usage") or document.get("usageMetadata")
        if not isinstance(usage, dict):
            return
        self.calls += 1
        self.input_tokens += _get_first(usage, "prompt_tokens", "inputTokens", "promptTokenCount")
        self.output_tokens += _get_first(usage, "completion_tokens", "outputTokens", "candidatesTokenCount")

    def calculate_usd(self) -> float:
        usd = self.input_tokens * PRICES["usd_per_million_input_tokens"]
        return (usd + self.output_tokens * PRICES["usd_per_million_output_tokens"]) / 1_000_000


def _get_first(usage: dict[str, int], *names: str) -> int:
    return next(usage[name] for name in names if name in usage)


@dataclass
class Fakes:
    """The fakes of all providers, and their addresses."""

    urls: dict[str, str] = field(default_factory=dict)
    counters: dict[str, UsageCounter] = field(default_factory=dict)

    def reset_counters(self) -> None:
        for each in self.counters.values():
            each.calls = each.input_tokens = each.output_tokens = 0


@asynccontextmanager
async def serve_every_provider(folder: Path) -> AsyncIterator[Fakes]:
    """Serve a fake of each provider, and write its key into the folder."""
    fakes = Fakes()
    urls = fakes.urls
    async with AsyncExitStack() as stack:
        for name in BASE_MODELS:
            app = create_fake(name)
            fakes.counters[name] = UsageCounter(app)
            urls[name] = await stack.enter_async_context(serve_on_free_port(fakes.counters[name]))
            key = access_key(name) if name == "bedrock" else f"sandbox-{name}"
            if isinstance(app, FakeGoogleTokens):
                app.url = urls[name]
                key = json.dumps(app.create_key())
            (folder / f"{name}.key").write_text(key)
        (folder / "azure-arm.key").write_text("arm-azure_eyJhbGciOiJ")
        yield fakes


def create_fake(name: str) -> ASGIApp:
    """Create the fake of a provider. In it deployments start and are gone at once, not after minutes."""
    settings = SandboxSettings(file_seconds=0.2, validating_seconds=0.1, queue_seconds=0.1, training_seconds=0.5)
    sandbox = create_app(settings)
    create: dict[str, Callable[[Callable[[], float]], tuple[Starlette, Any]]] = {
        "together": create_together,
        "fireworks": create_fireworks,
        "dashscope": create_dashscope,
        "bedrock": create_bedrock,
    }
    match name:
        case "openai" | "openai-compatible":
            return sandbox
        case "bedrock-mantle":
            return MantleTranslator(sandbox)
        case "vertex":
            return FakeGoogleTokens(create_vertex(CLOCK)[0], CLOCK, account=name)
        case "nebius":
            nebius = FakeNebius(sandbox, NebiusTranslator(sandbox), CLOCK)
            hasten(nebius)
            return nebius
        case "azure":
            app = create_azure(sandbox, CLOCK)
        case _:
            app = create[name](CLOCK)[0]
    hasten(app.state.deployments)
    return app


def hasten(fake: Any) -> None:
    fake.start_seconds = START_SECONDS
    if hasattr(fake, "answer_seconds"):
        fake.answer_seconds = 2 * START_SECONDS
    if hasattr(fake, "removal_seconds"):
        fake.removal_seconds = START_SECONDS


def format_prices() -> str:
    """Format a price file with the same price for every base model."""
    rows = []
    for provider, base_model in BASE_MODELS.items():
        prices = "".join(f"{name} = {usd}\n" for name, usd in PRICES.items())
        rows.append(
            f'[[price]]\nprovider = "{provider}"\nbase_model = "{base_model}"\nusd_per_million_tokens = 1.0\n'
            f'as_of = 2026-01-01\nsource = "test"\n{prices}'
        )
    return "\n".join(rows)


def format_accounts(urls: dict[str, str]) -> str:
    """Format an accounts file with one account at each provider, named after it, and deployments where needed."""
    text = f'[run]\nname = "all"\ndataset = "{CHATS}"\nallow_unknown_price = true\nmoderation_waived = "test"\n'
    text += "validation_fraction = 0.25\n"
    for name, url in urls.items():
        text += f'[run.{name}]\nbase_model = "{BASE_MODELS[name]}"\nn_epochs = 3\n'
        if name in DEPLOYMENTS:
            text += f"[run.{name}.deployment]\n{DEPLOYMENTS[name]}\n"
        text += f'[[accounts]]\nname = "{name}"\nprovider = "{name}"\napi_key = "file:{name}.key"\n'
        text += f'base_url = "{url}{PATHS.get(name, "/v1")}"\norganization = "org-{name}"\n'
        text += ACCOUNT_OPTIONS.get(name, "").format(url=url)
    return text
