"""Bodies of the commands for an installation: doctor, config and prune."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from orchestrator import log
from orchestrator.app.doctor import Diagnosis, DiagnosisStatus, run_checks
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.tables import Column, create_console, print_table
from orchestrator.core.jobs.unused_resource import UnusedResource
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import asdict
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.settings import list_effective_settings

if TYPE_CHECKING:
    from orchestrator.app import App

VERDICT_WIDTH, MESSAGE_INDENT = 8, 22  # characters: the verdict, and the verdict with the subject
MIN_MESSAGE_WIDTH = 30  # a narrower terminal wraps the lines itself
SETTING_COLUMNS = (
    Column(heading="setting"),
    Column(heading="source", importance=1),
    Column(heading="value", wraps=True),
)
RESOURCE_COLUMNS = (
    Column(heading="kind", importance=2),
    Column(heading="account"),
    Column(heading="id"),
    Column(heading="name", importance=1),
    Column(heading="result", wraps=True),
)
DIAGNOSIS_COLOURS = {DiagnosisStatus.OK: "green", DiagnosisStatus.WARNING: "yellow", DiagnosisStatus.ERROR: "red"}


def print_settings(*, as_json: bool, wide: bool = False) -> None:
    """Print every setting with its value and source."""
    settings = list_effective_settings(os.environ)
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    rows = [(setting.name, setting.source, setting.value or "–") for setting in settings]
    print_table(SETTING_COLUMNS, rows, wide=wide)


async def run_doctor(environ: Mapping[str, str], redact: Redactor, *, online: bool, as_json: bool) -> ExitCode:
    """Print each diagnosis as soon as it is known. Returns FAILED if any of them is an error."""
    log.configure("auto", "error", redact)
    diagnoses = []
    async for diagnosis in run_checks(environ, redact, online=online):
        diagnoses.append(diagnosis)
        if not as_json:
            _print_diagnosis(diagnosis, redact)
    if as_json:
        print_json([{name: redact(value) for name, value in asdict(diagnosis).items()} for diagnosis in diagnoses])
    has_error = any(diagnosis.verdict is DiagnosisStatus.ERROR for diagnosis in diagnoses)
    return ExitCode.FAILED if has_error else ExitCode.DONE


def _print_diagnosis(diagnosis: Diagnosis, redact: Redactor) -> None:
    console = create_console()
    text = _indent_text(f"{diagnosis.thing:<14}{sanitize_line(redact(diagnosis.message))}", VERDICT_WIDTH, console)
    line = Text(f"{diagnosis.verdict:<{VERDICT_WIDTH}}", style=DIAGNOSIS_COLOURS[diagnosis.verdict])
    line.append(text.lstrip(), style="default")
    if diagnosis.fix:
        fix = _indent_text(f"fix: {sanitize_line(redact(diagnosis.fix))}", MESSAGE_INDENT, console)
        line.append(f"\n{fix}", style="default")
    console.print(line, soft_wrap=True)
    sys.stdout.flush()


def _indent_text(text: str, indent: int, console: Console) -> str:
    """Indent a text, and wrap it on a terminal so that its following lines align with the messages."""
    if not console.is_terminal:
        return " " * indent + text
    return textwrap.fill(
        text,
        max(console.width, MESSAGE_INDENT + MIN_MESSAGE_WIDTH),
        initial_indent=" " * indent,
        subsequent_indent=" " * MESSAGE_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


async def delete_unused_resources(app: App, *, yes: bool, as_json: bool, wide: bool = False) -> ExitCode:
    """List the unused resources; with `yes` also delete them. Returns FAILED if a deletion did not succeed."""
    cleaner = await app.create_resource_cleaner()
    resources: Sequence[UnusedResource] = await cleaner.list_unused()
    deletable_count = sum(not resource.problem for resource in resources)
    if yes:
        by, now = get_operator_name(), app.clock.now()
        resources = await asyncio.gather(*(cleaner.delete(resource, by=by, now=now) for resource in resources))
    if as_json:
        print_json([asdict(resource) for resource in resources])
    else:
        _print_unused_resources(resources, yes=yes, wide=wide)
    deleted_count = sum(resource.deleted for resource in resources)
    return ExitCode.FAILED if yes and deleted_count < deletable_count else ExitCode.DONE


def _print_unused_resources(resources: Sequence[UnusedResource], *, yes: bool, wide: bool) -> None:
    if not resources:
        sys.stdout.write("No unused resources of finished runs.\n")
        return
    rows = [(item.kind, item.account or "–", item.id, item.name, _describe_resource(item)) for item in resources]
    print_table(RESOURCE_COLUMNS, rows, wide=wide)
    if not yes:
        sys.stdout.write("Nothing was deleted. Run `orchestrator prune --yes` to delete what can be deleted.\n")


def _describe_resource(resource: UnusedResource) -> str:
    if resource.problem:
        return f"kept: {resource.problem}"
    return "deleted" if resource.deleted else "can be deleted"
