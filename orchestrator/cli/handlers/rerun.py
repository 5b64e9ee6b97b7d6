"""Body of `rerun`: generates an accounts file that repeats a run at another provider."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import write_text
from orchestrator.core.account import Account, BudgetPeriod, HyperparameterFormat, ProviderName
from orchestrator.core.plans.rerun import Rerun
from orchestrator.core.spec import RunOptions
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.inputs.accounts_file.editor import format_toml_value
from orchestrator.inputs.paths import resolve_path

if TYPE_CHECKING:
    from orchestrator.app import App


async def print_rerun(
    app: App, run_id: str, provider: ProviderName, *, base_model: str | None, write: Path | None
) -> ExitCode:
    """Print or write the accounts file, and print the next steps. Returns FAILED if something is missing."""
    from orchestrator.app.rerun import prepare_rerun

    plan, options, folder = await prepare_rerun(app, run_id, provider, base_model)
    text = "\n".join(_accounts_file_lines(plan, options, folder)) + "\n"
    write_text(text, write)
    sys.stdout.write("\n".join(_next_step_lines(plan, write)) + "\n")
    return ExitCode.FAILED if plan.missing else ExitCode.DONE


def _accounts_file_lines(plan: Rerun, options: RunOptions, folder: Path) -> Iterator[str]:
    """Yield the lines of the accounts file. A missing value is a comment at its place."""
    training, spec = plan.dataset.training, plan.run.specs[plan.source]
    yield f"# The {training.examples} examples of run {plan.run.id}, trained at {plan.source}, for {plan.provider}"
    yield "[run]"
    yield f"name = {format_toml_value(f'{plan.run.name} at {plan.provider}')}"
    yield f"dataset = {format_toml_value(str(training.path.absolute()))}"
    yield from (
        f"{name} = {format_toml_value(value)}"
        for name, value in (("seed", spec.seed), ("suffix", spec.suffix))
        if value
    )
    if options.max_total_usd is not None:
        yield f"max_total_usd = {options.max_total_usd}"
    if plan.moderation_waived:
        yield f"moderation_waived = {format_toml_value(plan.moderation_waived)}"
    yield from ("", f"[run.{plan.provider}]")
    yield f"base_model = {format_toml_value(plan.base_model)}" if plan.base_model else '# base_model = "…"'
    yield from (f"{name} = {format_toml_value(value)}" for name, value in plan.options.items())
    for account in plan.accounts:
        yield from _account_lines(account, folder)
    if not plan.accounts:
        yield from ("", "# [[accounts]]", '# name = "…"', f'# provider = "{plan.provider}"', '# api_key = "env:…"')


def _account_lines(account: Account, folder: Path) -> Iterator[str]:
    """Yield the entry of an account.

    The path of a key file is made absolute, so that the new file may be anywhere.
    """
    yield from (
        "",
        "[[accounts]]",
        f"name = {format_toml_value(account.name)}",
        f"provider = {format_toml_value(account.provider.value)}",
    )
    yield f"api_key = {format_toml_value(_make_reference_absolute(account.api_key, folder))}"
    for name in (
        "organization",
        "project",
        "base_url",
        "budget_usd",
        "suffix_length",
        "region",
        "bucket",
        "role_arn",
        "storage_url",
        "management_key",
        "subscription_id",
        "resource_group",
        "resource",
        "management_url",
        "management_api_version",
    ):
        if (value := getattr(account, name)) is not None:
            value = _make_reference_absolute(value, folder) if name == "management_key" else value
            yield f"{name} = {format_toml_value(value)}"
    if account.budget_period is not BudgetPeriod.TOTAL:
        yield f"budget_period = {format_toml_value(account.budget_period.value)}"
    yield f"max_running_jobs = {account.max_running_jobs}"
    if not account.send_auto:
        yield "send_auto = false"
    if account.suffix_required:
        yield "suffix_required = true"
    if account.file_per_job:
        yield "file_per_job = true"
    if account.hyperparameter_format is not HyperparameterFormat.METHOD:
        yield f"hyperparameter_format = {format_toml_value(account.hyperparameter_format.value)}"
    if account.labels:
        yield f"labels = {format_toml_value(list(account.labels))}"


def _make_reference_absolute(reference: str, folder: Path) -> str:
    scheme, _, path = reference.partition(":")
    return f"file:{resolve_path(folder, path)}" if scheme == "file" else reference


def _next_step_lines(plan: Rerun, write: Path | None) -> Iterator[str]:
    yield from (f"# note: {sanitize_line(note)}" for note in plan.notes)
    yield from (f"# missing: {item}" for item in plan.missing)
    if not plan.missing:
        file = str(write) if write else "FILE"
        yield from () if write else ("# Next: write the file with --write FILE, then run",)
        yield f"ORCHESTRATOR_DATA_DIR=data-{plan.provider} orchestrator plan --accounts {file}"
        yield f"ORCHESTRATOR_DATA_DIR=data-{plan.provider} orchestrator run --accounts {file}"
