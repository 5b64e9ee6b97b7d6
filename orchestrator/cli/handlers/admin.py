"""The verbs that look after an installation, printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator import log
from orchestrator.app.doctor import Diagnosis, DiagnosisStatus, run_checks
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.cli.tables import build_simple_table, create_console
from orchestrator.core.jobs.unused_resource import UnusedResource
from orchestrator.core.secret import Redactor
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.settings import list_effective_settings

DIAGNOSIS_COLOURS = {DiagnosisStatus.OK: "green", DiagnosisStatus.WARNING: "yellow", DiagnosisStatus.ERROR: "red"}


def print_settings(*, as_json: bool) -> None:
    """Every setting, its value and its source."""
    settings = list_effective_settings(os.environ)
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    rows = [(setting.name, setting.value or "–", setting.source) for setting in settings]
    create_console().print(build_simple_table(("setting", "value", "from"), rows))


async def run_doctor(environ: Mapping[str, str], redact: Redactor, *, online: bool, as_json: bool) -> int:
    """Each diagnosis as it is made; FAILED when there is an error among them."""
    log.configure("auto", "error", redact)
    found = []
    async for diagnosis in run_checks(environ, redact, online=online):
        found.append(diagnosis)
        if not as_json:
            _print_diagnosis(diagnosis, redact)
    if as_json:
        print_json([{name: redact(value) for name, value in asdict(diagnosis).items()} for diagnosis in found])
    return EXIT_FAILED if any(diagnosis.verdict is DiagnosisStatus.ERROR for diagnosis in found) else EXIT_DONE


def _print_diagnosis(diagnosis: Diagnosis, redact: Redactor) -> None:
    line = Text(f"{diagnosis.verdict:<8}", style=DIAGNOSIS_COLOURS[diagnosis.verdict])
    line.append(f"{diagnosis.thing:<14}{sanitize_line(redact(diagnosis.message))}", style="default")
    if diagnosis.fix:
        line.append(f"\n{'':22}fix: {sanitize_line(redact(diagnosis.fix))}", style="default")
    create_console().print(line, soft_wrap=True)
    sys.stdout.flush()


if TYPE_CHECKING:
    from orchestrator.app import App


async def delete_unused_resources(app: App, *, yes: bool, as_json: bool) -> int:
    """List the leftovers; with `yes` delete them. FAILED when one that should have gone is still there."""
    pruning = await app.create_resource_cleaner()
    found: Sequence[UnusedResource] = await pruning.list_unused()
    wanted = [leftover for leftover in found if not leftover.problem]
    if yes:
        by, now = get_operator_name(), app.clock.now()
        found = await asyncio.gather(*(pruning.delete(leftover, by=by, now=now) for leftover in found))
    if as_json:
        print_json([asdict(leftover) for leftover in found])
    else:
        _print_unused_resources(found, yes=yes)
    return EXIT_FAILED if yes and sum(leftover.deleted for leftover in found) < len(wanted) else EXIT_DONE


def _print_unused_resources(found: Sequence[UnusedResource], *, yes: bool) -> None:
    if not found:
        sys.stdout.write("nothing is left of finished runs\n")
        return
    rows = [(left.kind, left.account or "–", left.id, left.name, _describe_resource(left)) for left in found]
    create_console().print(build_simple_table(("what", "account", "id", "name", "verdict"), rows))
    if not yes:
        sys.stdout.write("nothing has been deleted; `orchestrator prune --yes` deletes what can be\n")


def _describe_resource(leftover: UnusedResource) -> str:
    if leftover.problem:
        return f"left alone: {leftover.problem}"
    return "deleted" if leftover.deleted else "can be deleted"
