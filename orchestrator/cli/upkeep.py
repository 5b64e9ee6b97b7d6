"""The verbs that look after an installation, printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict

from rich.text import Text

from orchestrator import log
from orchestrator.app.doctor import Diagnosis, Verdict, examine
from orchestrator.cli.render import print_json
from orchestrator.cli.session import DONE, FAILED
from orchestrator.cli.tables import console, simple_table
from orchestrator.core.printable import printable
from orchestrator.core.secret import Redactor
from orchestrator.settings import in_force

COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.ERROR: "red"}


def config(*, as_json: bool) -> None:
    """Every setting, its value and its source."""
    settings = in_force(os.environ)
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    rows = [(setting.name, setting.value or "–", setting.source) for setting in settings]
    console().print(simple_table(("setting", "value", "from"), rows))


async def doctor(environ: Mapping[str, str], redact: Redactor, *, online: bool, as_json: bool) -> int:
    """Each diagnosis as it is made; FAILED when there is an error among them."""
    log.configure("auto", "error", redact)
    found = []
    async for diagnosis in examine(environ, redact, online=online):
        found.append(diagnosis)
        if not as_json:
            _print(diagnosis, redact)
    if as_json:
        print_json([{name: redact(value) for name, value in asdict(diagnosis).items()} for diagnosis in found])
    return FAILED if any(diagnosis.verdict is Verdict.ERROR for diagnosis in found) else DONE


def _print(diagnosis: Diagnosis, redact: Redactor) -> None:
    line = Text(f"{diagnosis.verdict:<8}", style=COLOURS[diagnosis.verdict])
    line.append(f"{diagnosis.thing:<14}{printable(redact(diagnosis.message))}", style="default")
    if diagnosis.fix:
        line.append(f"\n{'':22}fix: {printable(redact(diagnosis.fix))}", style="default")
    console().print(line, soft_wrap=True)
    sys.stdout.flush()
