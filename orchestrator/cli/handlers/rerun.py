"""Body of `rerun`: generates an accounts file that repeats a run at another provider."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import write_text
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.plans.rerun import Rerun, plan_rerun
from orchestrator.core.spec import RunOptions
from orchestrator.core.structs import fields
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.inputs.accounts_file.editor import format_toml_value
from orchestrator.inputs.paths import resolve_path

if TYPE_CHECKING:
    from orchestrator.app import App


OPTIONS_ALWAYS_SHOWN: Final = frozenset({"max_running_jobs"})
"""Options that are written with their default value, too: an operator wants to see what starts at once."""

OPTIONS_NOT_COPIED: Final[Mapping[str, str]] = {
    "webhook_secret": "the provider sends its webhooks to the service that has the account already",
}
"""Options of an account that the generated file leaves out, with the reason."""


async def print_rerun(
    app: App, run_id: str, provider: ProviderName, *, base_model: str | None, write: Path | None
) -> ExitCode:
    """Print or write the accounts file, and print the next steps. Returns FAILED if something is missing.

    Raises ConfigError if it would be written over the accounts file in use.
    """
    if write is not None:
        _check_target(write, app.settings.accounts_file)
    plan, options, folder = await _prepare_rerun(app, run_id, provider, base_model)
    text = "\n".join(_accounts_file_lines(plan, options, folder)) + "\n"
    write_text(text, write)
    sys.stdout.write("\n".join(_next_step_lines(plan, write)) + "\n")
    return ExitCode.FAILED if plan.missing else ExitCode.DONE


def _check_target(target: Path, accounts_file: Path) -> None:
    if target.exists() and target.samefile(accounts_file):
        raise ConfigError(
            f"--write {target} would replace the accounts file in use",
            hint="Choose another file; the next steps use it with --accounts.",
        )


async def _prepare_rerun(
    app: App, run_id: str, provider: ProviderName, base_model: str | None
) -> tuple[Rerun, RunOptions, Path]:
    """Return the plan, and the options and the folder of the accounts file.

    Raises ConfigError if the run or its dataset is not stored any more.
    """
    from orchestrator import control
    from orchestrator.inputs.accounts_file.loader import load_accounts_file

    file = await asyncio.to_thread(load_accounts_file, app.settings.accounts_file)
    run, dataset = await control.get_run_with_dataset(app.database, run_id, app.settings.data_dir / "datasets")
    target_accounts = [account for account in file.accounts if account.provider is provider]
    same_name = (definition for definition in file.runs if definition.options.name == run.name)
    current = next(same_name, file.runs[0])
    configured = current.specs[provider].base_model if provider in current.specs else None
    plan = plan_rerun(run, dataset, provider, base_model or configured, target_accounts)
    return plan, current.options, file.folder


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
    """Yield the entry of an account: every option that differs from its default, in the order of `Account`."""
    yield from ("", "[[accounts]]")
    for field in fields(Account):
        value = getattr(account, field.name)
        if field.name not in OPTIONS_NOT_COPIED and (value != field.default or field.name in OPTIONS_ALWAYS_SHOWN):
            yield f"{field.name} = {format_toml_value(_to_toml_value(value, folder))}"


def _to_toml_value(value: object, folder: Path) -> object:
    """Return an option as the accounts file has it. The path of a `file:` reference is made absolute.

    So the new file may be anywhere.
    """
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{resolve_path(folder, value.removeprefix('file:').strip())}"
    return value


def _next_step_lines(plan: Rerun, write: Path | None) -> Iterator[str]:
    yield from (f"# note: {sanitize_line(note)}" for note in plan.notes)
    yield from (f"# missing: {item}" for item in plan.missing)
    if not plan.missing:
        file = shlex.quote(str(write)) if write else "FILE"
        yield from () if write else ("# Next: write the file with --write FILE, then run",)
        yield f"ORCHESTRATOR_DATA_DIR=data-{plan.provider} orchestrator plan --accounts {file}"
        yield f"ORCHESTRATOR_DATA_DIR=data-{plan.provider} orchestrator run --accounts {file}"
