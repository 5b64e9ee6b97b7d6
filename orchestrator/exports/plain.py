"""Plain: lists of the model ids for scripts and tables."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import TYPE_CHECKING

from orchestrator.core.printable import printable, printable_json
from orchestrator.exports.selection import Models
from orchestrator.exports.words import comments, quoted, variables

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

COLUMNS = ("account", "provider", "base_model", "fine_tuned_model", "servable", "state", "labels", "retires_on")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet would carry out


def as_table(models: Models) -> str:
    """Columns for people."""
    rows = [("account", "provider", "base model", "fine-tuned model", "days left", "callable")]
    for job in models.jobs:
        rows.append((job.account, job.provider, job.base_model, job.fine_tuned_model or "–", _life(job), _able(job)))
    shown = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)
    return "\n".join(lines) + "\n"


def as_json(models: Models) -> str:
    """An object: the model id by account, null where there is none."""
    ids = {job.account: job.fine_tuned_model for job in models.jobs}
    return printable_json(json.dumps(ids, indent=2, ensure_ascii=False)) + "\n"


def as_csv(models: Models) -> str:
    """One line an account."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for job in models.jobs:
        servable = "" if job.servable is None else str(job.servable).lower()
        row = (job.account, job.provider, job.base_model, job.fine_tuned_model or "", servable, job.state)
        table.writerow([_cell(value) for value in (*row, " ".join(job.labels), job.retires_on or "")])
    return text.getvalue()


def as_env(models: Models) -> str:
    """Assignments for a shell: MODEL_ACME_EU=ft:…"""
    names = variables("MODEL_", [job.account for job in models.jobs])
    lines = [f"{names[job.account]}={shlex.quote(job.fine_tuned_model or '')}" for job in models.jobs]
    return "\n".join([*comments(models, "The fine-tuned models"), *lines]) + "\n"


def as_toml(models: Models) -> str:
    """One table an account."""
    lines = comments(models, "The fine-tuned models")
    for job in models.jobs:
        lines += [
            "",
            f"[models.{quoted(job.account)}]",
            f"provider = {quoted(job.provider)}",
            f"base_model = {quoted(job.base_model)}",
            f"fine_tuned_model = {quoted(job.fine_tuned_model or '')}",
            f"servable = {str(bool(job.servable)).lower()}",
        ]
    return "\n".join(lines) + "\n"


def _life(job: JobView) -> str:
    if job.gone_at is not None:
        return "gone"
    return "–" if job.days_left is None else str(job.days_left)


def _able(job: JobView) -> str:
    if job.servable is None:
        return "–"
    return "yes" if job.servable else f"no: {job.serving_hint}"


def _cell(value: str) -> str:
    """A value that neither a spreadsheet carries out nor a terminal."""
    return f"'{printable(value)}" if value.startswith(FORMULA) else printable(value)
