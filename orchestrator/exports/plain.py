"""Plain lists of the model ids: table, JSON, CSV, shell variables and TOML."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import TYPE_CHECKING, Any

from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, find_checkpoint
from orchestrator.core.text import format_time
from orchestrator.core.text_sanitizer import sanitize_json, sanitize_line
from orchestrator.exports.config_text import build_variable_names, format_header, quote
from orchestrator.exports.model_set import ModelSet, find_inference_url, get_model_string, is_deployed

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

CSV_COLUMNS = (
    "account",
    "provider",
    "base_model",
    "fine_tuned_model",
    "servable",
    "state",
    "labels",
    "retires_on",
    "model_string",
    "base_url",
    "callable_until",
)
GATE_COLUMN = "left_out"  # why the gate leaves out a model; only in the list of a run whose gate is on
TABLE_COLUMNS = ("account", "provider", "base model", "fine-tuned model", "days left", "callable")
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet would execute a cell that begins so; the last four are the full-width forms of the first."""


def render_table(models: ModelSet) -> str:
    """Render a table for the terminal."""
    heading = ("run", *TABLE_COLUMNS) if models.has_several_runs else TABLE_COLUMNS
    rows = [
        (*_list_run_cell(models, job), *row) for job, row in zip(models.jobs, list_table_rows(models), strict=True)
    ]
    shown = [list(map(sanitize_line, row)) for row in (heading, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)
    return "\n".join(lines) + "\n"


def list_table_rows(models: ModelSet) -> list[tuple[str, ...]]:
    """Return the cells of each account's row, in the order of TABLE_COLUMNS."""
    return [
        (
            job.account,
            job.provider,
            job.base_model,
            job.fine_tuned_model or "–",
            _format_days_left(job),
            _format_servable(job, models.gate_obstacles.get(job.job)),
        )
        for job in models.jobs
    ]


def list_checkpoint_rows(models: ModelSet) -> list[tuple[str, ...]]:
    """Return the cells of each checkpoint's row: account, number, epoch, step, both losses, model id.

    A star marks the checkpoint that "best" selects.
    """
    rows: list[tuple[str, ...]] = []
    for job in models.jobs:
        best = find_checkpoint(job.checkpoints, BEST_CHECKPOINT)
        for each in job.checkpoints:
            number = f"{each.number}{' *' if each is best else ''}"
            epoch = "–" if each.epoch is None else str(each.epoch)
            losses = (_format_loss(each.training_loss), _format_loss(each.validation_loss))
            rows.append((job.account, number, epoch, str(each.step), *losses, each.model))
    return rows


def render_json(models: ModelSet) -> str:
    """Render an object with the model id by account, null where there is none; several runs have one object each."""
    ids: dict[str, Any] = {job.account: job.fine_tuned_model for job in models.jobs}
    if models.has_several_runs:
        ids = {name: {} for name in models.run_names.values()}
        for job in models.jobs:
            ids[models.get_run_name(job)][job.account] = job.fine_tuned_model
    return sanitize_json(json.dumps(ids, indent=2, ensure_ascii=False)) + "\n"


def render_csv(models: ModelSet) -> str:
    """Render one row per account in each run."""
    text = io.StringIO()
    table = csv.writer(text)
    columns = (*CSV_COLUMNS, *(GATE_COLUMN,) * models.is_gated)
    table.writerow(("run", *columns) if models.has_several_runs else columns)
    for job in models.jobs:
        servable = "" if job.servable is None else str(job.servable).lower()
        row = (job.account, job.provider, job.base_model, job.fine_tuned_model or "", servable, job.state)
        called = (*_list_call_cells(job), _format_expiry(job))
        gate = (models.gate_obstacles.get(job.job, ""),) * models.is_gated
        cells = (*_list_run_cell(models, job), *row, " ".join(job.labels), job.retires_on or "", *called, *gate)
        table.writerow(map(_escape_cell, cells))
    return text.getvalue()


def render_env(models: ModelSet) -> str:
    """Render shell assignments: MODEL_ACME_EU=ft:…, with several runs MODEL_TONE_ACME_EU=ft:…"""
    keys = ["\0".join((*_list_run_cell(models, job), job.account)) for job in models.jobs]  # NUL is in no name
    names = build_variable_names("MODEL_", keys)
    url_names = build_variable_names("BASE_URL_", keys)
    lines = []
    for key, job in zip(keys, models.jobs, strict=True):
        lines.append(f"{names[key]}={shlex.quote(get_model_string(job))}")
        if is_deployed(job) and (url := find_inference_url(models, job)):
            lines.append(f"{url_names[key]}={shlex.quote(url)}")
    return "\n".join([*format_header(models, "The fine-tuned models"), *lines]) + "\n"


def render_toml(models: ModelSet) -> str:
    """Render one table per account, in each run."""
    lines = format_header(models, "The fine-tuned models")
    for job in models.jobs:
        lines += [
            "",
            f"[{'.'.join(('models', *map(quote, (*_list_run_cell(models, job), job.account))))}]",
            f"provider = {quote(job.provider)}",
            f"base_model = {quote(job.base_model)}",
            f"fine_tuned_model = {quote(job.fine_tuned_model or '')}",
            f"servable = {str(bool(job.servable)).lower()}",
        ]
        if is_deployed(job):
            model, url = _list_call_cells(job)
            lines += [f"model_string = {quote(model)}", f"base_url = {quote(url)}"]
    return "\n".join(lines) + "\n"


def _list_run_cell(models: ModelSet, job: JobView) -> tuple[str, ...]:
    """Return the name of the job's run if the formats name it, otherwise nothing."""
    return (models.get_run_name(job),) if models.has_several_runs else ()


def _list_call_cells(job: JobView) -> tuple[str, str]:
    """Return what a client sends as `model`, and where, if the model is callable through a deployment."""
    if job.serving is None or not is_deployed(job):
        return "", ""
    return job.serving.model or "", job.serving.base_url or ""


def _format_expiry(job: JobView) -> str:
    if job.serving is None or job.serving.expires_at is None or not is_deployed(job):
        return ""
    return format_time(job.serving.expires_at)


def _format_days_left(job: JobView) -> str:
    if job.gone_at is not None:
        return "gone"
    if job.days_left is None or job.fine_tuned_model is None:
        return "–"
    return str(job.days_left) if job.days_left >= 0 else "retired"


def _format_loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}"


def _format_servable(job: JobView, gate_obstacle: str | None) -> str:
    if gate_obstacle is not None:
        return f"no: {gate_obstacle}"
    if job.servable is None:
        return "–"
    if is_deployed(job):
        return f"until {_format_expiry(job)}"
    return "yes" if job.servable else f"no: {job.serving_hint}"


def _escape_cell(value: str) -> str:
    """Escape a value so that neither a spreadsheet nor a terminal executes it."""
    return f"'{sanitize_line(value)}" if value.startswith(FORMULA_PREFIXES) else sanitize_line(value)
