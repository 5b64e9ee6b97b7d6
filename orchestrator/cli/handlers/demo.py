"""Body of `demo`: a whole run against a sandbox in the same process, in a temporary folder, free of charge."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from orchestrator import log
from orchestrator.app import App, open_app
from orchestrator.cli import foreground
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.session import print_errors
from orchestrator.core.secret import Redactor
from orchestrator.sandbox import SandboxSettings, serve
from orchestrator.settings import Settings, load_settings

DEMO_ACCOUNTS = ("acme-eu", "acme-us", "blue-harbour", "green-valley", "sunrise-school")
RUN_TEMPLATE = """\
[run]
name = "demo"
dataset = "{chats}"
suffix = "demo"
max_total_usd = 5.0
[run.openai]
base_model = "sandbox-small"
n_epochs = 3
"""
ACCOUNT_TEMPLATE = """
[[accounts]]
name = "{name}"
provider = "openai"
api_key = "file:keys/{name}"
organization = "org-{name}"
base_url = "http://127.0.0.1:{port}/v1"
budget_usd = 1.0
"""


def run_demo(*, keep: bool) -> int:
    """Fine-tune a model in five sandbox accounts. With `keep` the dashboard runs until interrupted."""
    redact = Redactor()
    with print_errors(redact), tempfile.TemporaryDirectory(prefix="orchestrator-demo-") as folder:
        return asyncio.run(_run_with_sandbox(Path(folder), redact, keep=keep))


async def _run_with_sandbox(folder: Path, redact: Redactor, *, keep: bool) -> int:
    async with _running_sandbox() as port:
        settings = _load_demo_settings(folder, _write_accounts_file(folder, port))
        log.configure(settings.log_format, settings.log_level, redact)
        async with open_app(settings, redact) as app:
            return await _run_service(app, port, keep=keep)


async def _run_service(app: App, sandbox_port: int, *, keep: bool) -> int:
    stopping = foreground.install_stop_signals()
    service = app.create_service(start=True, observer=app.metrics, deploys=True)
    web = app.create_web_server(service, stopping)
    url = f"http://127.0.0.1:{await web.start()}/"
    try:
        await service.start()
        sys.stdout.write(
            f"sandbox    http://127.0.0.1:{sandbox_port}/v1 (simulated provider, free of charge)\n"
            f"dashboard  {url}\n"
            f"status     {url}status\n\n"
        )
        sys.stdout.flush()
        status = await foreground.follow_status(app, foreground.is_settled, stopping)
        if keep:
            sys.stdout.write(f"\nThe dashboard keeps running at {url} until you press Ctrl-C.\n")
            sys.stdout.flush()
            await stopping.wait()
        return ExitCode.DONE if status.succeeded else ExitCode.FAILED
    finally:
        stopping.set()
        await service.stop()  # before the web server, so that the dashboard shows the end
        await web.stop()


@contextlib.asynccontextmanager
async def _running_sandbox() -> AsyncIterator[int]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = SandboxSettings(file_seconds=1.0, validating_seconds=1.0, queue_seconds=1.0, training_seconds=8.0)
    serving = asyncio.create_task(serve("127.0.0.1", 0, settings, port.set_result))
    try:
        yield await port
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def _write_accounts_file(folder: Path, port: int) -> Path:
    keys = folder / "keys"
    keys.mkdir()
    for name in DEMO_ACCOUNTS:
        (keys / name).write_text(f"sandbox-{name}\n")
    path = folder / "accounts.toml"
    entries = "".join(ACCOUNT_TEMPLATE.format(name=name, port=port) for name in DEMO_ACCOUNTS)
    path.write_text(RUN_TEMPLATE.format(chats=get_sample_chats_folder()) + entries)
    return path


def get_sample_chats_folder() -> Path:
    """Return the folder of the sample chats: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "chats"
    return installed if installed.is_dir() else package.parent / "chats"


def _load_demo_settings(folder: Path, accounts_file: Path) -> Settings:
    return load_settings(
        {
            "ORCHESTRATOR_ACCOUNTS_FILE": str(accounts_file),
            "ORCHESTRATOR_DATA_DIR": str(folder / "data"),
            "ORCHESTRATOR_PORT": "0",
            "ORCHESTRATOR_POLL_MIN_SECONDS": "0.5",
            "ORCHESTRATOR_POLL_MAX_SECONDS": "2",
            "ORCHESTRATOR_LOG_LEVEL": "warning",
        }
    )
