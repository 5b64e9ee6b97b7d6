"""Every table of the command line at 80 and 120 columns, compared with the files in `snapshots/`.

After an intended change, renew the files and look at the difference:

    RENEW_SNAPSHOTS=1 .venv/bin/pytest tests/unit/cli/test_table_snapshots.py && git diff tests/unit/cli/snapshots
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from status_values import JOB, a_deployment_view
from web_values import run

from orchestrator.cli.deployments_table import PLAN_COLUMNS, build_deployments_table
from orchestrator.cli.handlers import admin, conformance, deliveries, status, tokens
from orchestrator.cli.plan_table import build_plan_table
from orchestrator.cli.status_table import MODELS_COLUMNS, build_models_table, build_run_tables, build_status_table
from orchestrator.cli.tables import Column, fit_table
from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.structs import replace
from orchestrator.exports import list_table_rows, select_models
from orchestrator.status import DeploymentListing, DeploymentTotals, StatusSnapshot

FOLDER = Path(__file__).with_name("snapshots")
MODELS = (
    "ft:gpt-4.1-mini-2025-04-14:acme:support:8182aefb",
    "ft:gpt-4.1-mini-2025-04-14:sunrise:support:Cb1xQp2Z",
    "acme-eu/Meta-Llama-3.1-8B-Instruct-support-7f3a9c21",
)
ACCOUNTS = ("acme-production-eu", "sunrise-school", "nebius-eu")
REMOTE_JOB = "ftjob-6beb645c600f46c993d5d5f0"
REFUSED = Failure("bad_key", "The provider refuses the key of the account", "Replace the key in the accounts file.")
JOBS = (
    *(
        replace(JOB, account=account, fine_tuned_model=model, base_model="gpt-4.1-mini-2025-04-14", servable=True)
        for account, model in zip(ACCOUNTS, MODELS, strict=True)
    ),
    replace(JOB, account="blue", state="running", progress=0.42, fine_tuned_model=None, base_model="gpt-4.1-mini"),
    replace(JOB, account="red", state="failed", fine_tuned_model=None, error=REFUSED, base_model="gpt-4.1-mini"),
)
BLOCK_MODEL = "ft:gpt-4.1-mini-2025-04-14:sunrise-school:support:8182aefb"
Build = Callable[[int], RenderableType]


def table_of(columns: Sequence[Column], *rows: Sequence[str]) -> Build:
    return lambda width: fit_table(columns, rows, width).place_between((), ())


def build_status(*, model: str | None = None) -> Build:
    jobs = tuple(replace(job, fine_tuned_model=model or job.fine_tuned_model) for job in JOBS)
    snapshot = StatusSnapshot(run=None, jobs=jobs, counts={"failed": 1, "running": 1, "succeeded": 3}, at=9000.0)
    return lambda width: build_status_table(snapshot, width)


def build_status_of_runs(width: int) -> RenderableType:
    runs = (run(id="7f3a9c21d0e4b586", name="support-tone", priority=5), run(id="0c9d1e2f3a4b5c6d", name="facts"))
    jobs = tuple(replace(job, run=each.id) for each in runs for job in JOBS[:2])
    return build_run_tables(StatusSnapshot(run=runs[0], other_runs=runs[1:], jobs=jobs, at=9000.0), width)


def build_models_of_runs() -> Build:
    names = {"run-1": "support-tone", "run-2": "facts"}
    jobs = [replace(job, run=run_id) for run_id in names for job in JOBS]
    models = select_models("", jobs, {}, run_names=names)
    return lambda width: build_models_table(models, width)


def build_plan(width: int) -> RenderableType:
    line = PlanLine(
        account=ACCOUNTS[0],
        provider=ProviderName.OPENAI,
        base_model="gpt-4.1-mini-2025-04-14",
        job_id=JobId("job-1"),
        step=PlanStep.NEW,
        usd=0.08,
        price_source="price file, 2026-11-28",
    )
    hold = Hold("unsafe_plan", "the price is above the budget of the account", "Raise budget_usd.")
    part = DatasetPart(path=Path("x.jsonl"), sha256="ab" * 32, bytes=1000, examples=14, tokens=5200)
    held = replace(line, account=ACCOUNTS[1], step=PlanStep.HELD, hold=hold)
    plan = Plan(
        run_id=RunId("7f3a9c21d0e4b586"), name="tone", dataset=Dataset(training=part), specs={}, lines=(line, held)
    )
    return build_plan_table(plan, width)


TIME = "2026-11-29 02:23:49 UTC"
RESOURCES = (
    ("file", ACCOUNTS[0], "file-6beb645c600f46c993d5d5f0", "orchestrator-7f3a9c21d0e4b586.jsonl", "can be deleted"),
    ("dataset", "–", "7f3a9c21d0e4b586", "7f3a9c21d0e4b586.jsonl", "kept: a run in progress uses it"),
)
EVENTS = (
    (TIME, "scheduler", "remote job created", "queued", REMOTE_JOB, ""),
    (
        TIME,
        "operator:root",
        "hold requested",
        "",
        "",
        "The operator wants to compare the first results with the old.",
    ),
)
SETTINGS = (
    ("ORCHESTRATOR_ACCOUNTS_FILE", "environment", "/srv/orchestrator/accounts.toml"),
    ("ORCHESTRATOR_RETIREMENT_WARNING_DAYS", "default", "500"),
)
DELIVERIES = (
    ("17", TIME, "job.succeeded", ACCOUNTS[0], "https://hooks.example.org/training", "delivered, 1 attempt", ""),
    ("18", TIME, "job.failed", "red", "ops-mail", "failed, 8 attempts", "HTTP 503: the server is being restarted"),
)
TOKENS = (
    ("ci", "reader", TIME, "operator:root", TIME, "–"),
    ("dashboard-of-the-team", "operator", TIME, "operator:root", "–", "–"),
)
VERIFIED = (
    (ACCOUNTS[0], "openai", "org-Kq3vN8sVYp0aXcB4dE5fG6hJ", "1a2b3c4d", "ok"),
    ("red", "openai", "–", "5e6f7a8b", "bad_key: The provider refuses the key. Replace it in the accounts file."),
)
CHECKS = (
    ("key", "works", "accepted"),
    ("create job", "missing", "400: suffix is required. Add to the account: suffix_length = 18, send_auto = false."),
    ("find job", "works", "by the tag in its suffix; the server stores no metadata"),
    ("events", "limited", f"404: there is no job {REMOTE_JOB}; the job works without events, but shows no losses"),
)
MODEL_STRINGS = (
    "accounts/acme/models/support-tone#accounts/acme/deployments/orch-00112233445566aa-0",
    "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/a1b2c3d4e5f6",
)
DEPLOYMENTS = (
    a_deployment_view(
        account=ACCOUNTS[0],
        state="ready",
        model_string=MODEL_STRINGS[0],
        base_url="https://api.fireworks.ai/inference/v1",
        started_at=5400.0,
        expires_at=19800.0,
        usd_per_hour=5.8,
        so_far_usd=5.8,
        until_end_usd=23.2,
        earlier_usd=8.13,
    ),
    a_deployment_view(
        account=ACCOUNTS[1],
        provider="bedrock",
        id="99112233445566bb",
        kind="token",
        state="ready",
        comparison="0123456789abcdef",
        model_string=MODEL_STRINGS[1],
        base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
        started_at=5400.0,
        expires_at=95400.0,
        usd_per_hour=0.0,
        so_far_usd=0.0,
        until_end_usd=0.0,
    ),
    a_deployment_view(
        account="red",
        id="77112233445566cc",
        held=True,
        error=Failure(
            "price_unknown", "the price per hour of the deployment is unknown", "Look it up, then approve it."
        ),
    ),
)
PLANNED_DEPLOYMENTS = (
    (
        ACCOUNTS[0],
        "accounts/acme/models/support-tone",
        "hour",
        "4",
        "$5.80",
        "$23.20",
        "price: price page of fireworks",
    ),
    (ACCOUNTS[1], "–", "–", "–", "–", "–", "it has no model yet: its job is running"),
)


def build_deployments(width: int) -> RenderableType:
    totals = DeploymentTotals(count=2, usd_per_hour=5.8, so_far_usd=5.8, until_end_usd=23.2)
    return build_deployments_table(
        DeploymentListing(deployments=DEPLOYMENTS, counts={}, totals=totals), 9000.0, width
    )


MODEL_ROWS = list_table_rows(select_models("tone", JOBS, {}, labels=(), providers=()))
CASES: dict[str, tuple[Build, tuple[str, ...]]] = {
    "status": (build_status(), (*ACCOUNTS, *MODELS)),
    "status-blocks": (build_status(model=BLOCK_MODEL), (*ACCOUNTS, BLOCK_MODEL)),
    "status-runs": (build_status_of_runs, ("support-tone", "facts", *ACCOUNTS[:2], *MODELS[:1])),
    "models-runs": (build_models_of_runs(), ("support-tone", "facts", *ACCOUNTS, *MODELS)),
    "models": (table_of(MODELS_COLUMNS, *MODEL_ROWS), (*ACCOUNTS, *MODELS)),
    "plan": (build_plan, (*ACCOUNTS[:2], "gpt-4.1-mini-2025-04-14", "7f3a9c21d0e4b586")),
    "accounts": (table_of(status.ACCOUNT_COLUMNS, *VERIFIED), (ACCOUNTS[0], "red")),
    "history": (table_of(status.EVENT_COLUMNS, *EVENTS), (TIME, REMOTE_JOB)),
    "deliveries": (
        table_of(deliveries.DELIVERY_COLUMNS, *DELIVERIES),
        ("17", "18", DELIVERIES[0][4], DELIVERIES[1][5]),
    ),
    "deployments": (build_deployments, (*ACCOUNTS[:2], "red")),
    "deploy": (table_of(PLAN_COLUMNS, *PLANNED_DEPLOYMENTS), ACCOUNTS[:2]),
    "tokens": (table_of(tokens.TOKEN_COLUMNS, *TOKENS), ("ci", "dashboard-of-the-team")),
    "config": (table_of(admin.SETTING_COLUMNS, *SETTINGS), (SETTINGS[0][0], SETTINGS[1][0])),
    "conformance": (table_of(conformance.CONFORMANCE_COLUMNS, *CHECKS), ("create job", "find job", REMOTE_JOB)),
    "prune": (table_of(admin.RESOURCE_COLUMNS, *RESOURCES), (RESOURCES[0][2], RESOURCES[1][2], ACCOUNTS[0])),
}


def render(build: Build, width: int) -> str:
    output = StringIO()
    Console(file=output, width=width, highlight=False, markup=False).print(build(width), crop=False)
    return "\n".join(map(str.rstrip, output.getvalue().splitlines())) + "\n"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", CASES)
def test_table_fits_the_terminal_and_keeps_each_id_whole(name: str, width: int) -> None:
    build, ids = CASES[name]
    text = render(build, width)
    assert max(map(cell_len, text.splitlines())) <= width
    lines = text.splitlines()
    assert not [each for each in ids if not any(each in line for line in lines)]
    path = FOLDER / f"{name}-{width}.txt"
    if os.environ.get("RENEW_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "see the docstring of this file"


def test_each_snapshot_belongs_to_a_table() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {f"{name}-{width}" for name in CASES for width in (80, 120)}
