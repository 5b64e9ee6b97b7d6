"""Body of models: the list of the model ids in every format, and the checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import status as read
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.status import NO_RUN_MESSAGE
from orchestrator.cli.output import is_utf8, write_text
from orchestrator.cli.status_table import print_checkpoints_table, print_models_table
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, find_checkpoint
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.exports import (
    ExportFormat,
    ModelSet,
    convert_to_ascii,
    export,
    left_out_reason,
    select_checkpoints,
    select_models,
)

if TYPE_CHECKING:
    from orchestrator.app import App

NO_CHECKPOINTS_MESSAGE = (
    "No checkpoints. They are read when a job succeeds, where the provider keeps them (docs/providers.md)."
)


async def print_models(
    app: App,
    output_format: ExportFormat,
    *,
    output: Path | None,
    labels: Sequence[str],
    providers: Sequence[str],
    everything: bool,
    name: str | None,
    wide: bool = False,
    run: str | None = None,
    checkpoint: str | None = None,
) -> ExitCode:
    """Print or write the selected models of all current runs or of one. Returns FAILED if any of them is missing.

    Raises ConfigError when no current run has the name, when one model group would have models of several runs, for
    a name in a format without one, and for a checkpoint that no model can have.
    """
    _validate_group_name(name, output_format)
    snapshot = _close_gates(await app.read_status(run), await app.loader.read_gates())
    if snapshot.run is None and _print_no_run(output_format):
        return ExitCode.FAILED
    accounts = await app.loader.load_listed_accounts() if output_format.needs_accounts else {}
    selection = select_models(
        name or (snapshot.run.name if snapshot.run else ""),
        snapshot.jobs,
        accounts,
        labels=labels,
        providers=providers,
        run_names=_get_run_names(snapshot, name),
    )
    if not selection.jobs and _print_no_match(labels, providers) and output_format is ExportFormat.TABLE:
        return ExitCode.FAILED
    if checkpoint is not None:
        _validate_checkpoint(selection, checkpoint)
        selection = select_checkpoints(selection, checkpoint)
    exported = export(output_format, selection, include_unservable=everything)
    if output_format is ExportFormat.TABLE and output is None:
        print_models_table(exported.models, wide=wide)
    else:
        write_text(_encode_for(output, output_format, exported.text), output)
    _print_omitted(exported.models)
    _print_missing_checkpoints(exported.models, checkpoint, output_format)
    is_complete = _has_every_model(selection, checkpoint) and not exported.models.gate_obstacles
    return ExitCode.DONE if is_complete else ExitCode.FAILED


def _encode_for(output: Path | None, output_format: ExportFormat, text: str) -> str:
    """Return the document as it can be written: a file is UTF-8, stdout may have another encoding."""
    return text if output is not None or is_utf8(sys.stdout) else convert_to_ascii(output_format, text)


def _print_no_run(output_format: ExportFormat) -> bool:
    """Print that there is no run; to stderr where the format has an empty document. Returns whether it has none."""
    has_no_document = output_format is ExportFormat.TABLE
    (sys.stdout if has_no_document else sys.stderr).write(f"{NO_RUN_MESSAGE}\n")
    return has_no_document


def _validate_group_name(name: str | None, output_format: ExportFormat) -> None:
    if name is not None and not output_format.has_model_group:
        named = " or ".join(f"--format {each}" for each in ExportFormat if each.has_model_group)
        raise ConfigError(
            f"--name is not used with --format {output_format}, which contains no model group",
            hint=f"Omit --name, or use it with {named}.",
        )


def _has_every_model(models: ModelSet, checkpoint: str | None) -> bool:
    """Return whether there are models, each finished and, with `checkpoint`, with that checkpoint."""
    is_missing = [
        job.state != JobState.SUCCEEDED or (checkpoint is not None and not job.fine_tuned_model)
        for job in models.jobs
    ]
    return bool(is_missing) and not any(is_missing)


def _print_no_match(labels: Sequence[str], providers: Sequence[str]) -> bool:
    """Print to stderr that no account matches the filters. Returns whether there is a filter."""
    options = [f"--label {label}" for label in labels] + [f"--provider {provider}" for provider in providers]
    if options:
        sys.stderr.write(sanitize_line(f"No account matches {' '.join(options)}.") + "\n")
    return bool(options)


def _validate_checkpoint(models: ModelSet, choice: str) -> None:
    """Raise ConfigError unless it is "best", a number from 1 or the id of a checkpoint of one of the models.

    A number or "best" without a checkpoint is no error: the models may still be in training.
    """
    if choice == BEST_CHECKPOINT or (choice.isascii() and choice.isdigit() and not choice.startswith("0")):
        return
    if not any(find_checkpoint(job.checkpoints, choice) for job in models.jobs):
        raise ConfigError(
            f"--checkpoint {choice}: no model has a checkpoint with this number or id",
            hint='Use a number from 1, "best" or the id of a checkpoint; '
            "`orchestrator models --checkpoints` lists them.",
        )


def _print_omitted(models: ModelSet) -> None:
    """Print the accounts without an exported model to stderr, with the reason."""
    for job in models.omitted:
        _print_reason("Omitted", models, job)


def _print_missing_checkpoints(models: ModelSet, choice: str | None, output_format: ExportFormat) -> None:
    """Print to stderr why accounts have no checkpoint, where the list has every account and shows only a gap."""
    if choice is None or not output_format.lists_every_account:
        return
    for job in models.jobs:
        if not job.fine_tuned_model and job.job not in models.gate_obstacles:
            _print_reason("No checkpoint", models, job)


def _print_reason(heading: str, models: ModelSet, job: read.JobView) -> None:
    prefix = f"{models.get_run_name(job)}: " if models.has_several_runs else ""
    sys.stderr.write(sanitize_line(f"{heading}: {prefix}{job.account}: {left_out_reason(job)}") + "\n")


def _close_gates(snapshot: read.StatusSnapshot, gates: Mapping[str, bool]) -> read.StatusSnapshot:
    """Apply the gates that the accounts file has turned on, and that the service has not read yet."""
    gated = {run.id for run in snapshot.runs if gates.get(run.name)}
    jobs = tuple(replace(job, gated=True) if job.run in gated else job for job in snapshot.jobs)
    return replace(snapshot, jobs=jobs)


async def print_checkpoints(
    app: App, *, labels: Sequence[str], providers: Sequence[str], wide: bool = False, run: str | None = None
) -> ExitCode:
    """Print the checkpoints of the selected models with their losses. Returns FAILED if there are none."""
    snapshot = await app.read_status(run)
    name = snapshot.run.name if snapshot.run else ""
    run_names = _get_run_names(snapshot, None)
    selection = select_models(name, snapshot.jobs, {}, labels=labels, providers=providers, run_names=run_names)
    if not selection.jobs and _print_no_match(labels, providers):
        return ExitCode.FAILED
    if not any(job.checkpoints for job in selection.jobs):
        sys.stdout.write(NO_CHECKPOINTS_MESSAGE + "\n")
        return ExitCode.FAILED
    print_checkpoints_table(selection, wide=wide)
    return ExitCode.DONE


def _get_run_names(snapshot: read.StatusSnapshot, group: str | None) -> dict[str, str]:
    """Return the names of several runs by id, nothing for a single run.

    Raises ConfigError if all of them would have the same model group.
    """
    if not snapshot.other_runs:
        return {}
    if group:
        raise ConfigError(
            "--name sets the name of one model group, and there are several runs",
            hint="Choose a run with --run NAME, or omit --name: each run has a group of its own name.",
        )
    return {run.id: run.name for run in snapshot.runs}
