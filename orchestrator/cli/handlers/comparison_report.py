"""Writes the report of a comparison as one HTML file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import status
from orchestrator.app.probe_reader import ProbeReader
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.errors import ConfigError
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.system.atomic_file import replace_file

if TYPE_CHECKING:
    from orchestrator.app import App


def check_report_file(path: Path) -> None:
    """Raise ConfigError if the file cannot be created, before a model is called for it."""
    if not path.parent.is_dir():
        raise ConfigError(
            f"the report cannot be written to {path}: the folder {path.parent} does not exist",
            hint="Create the folder, or choose another file with --report.",
        )


async def write_report(app: App, comparison: Comparison, path: Path) -> None:
    """Write the report, or say why there is none. Raises ConfigError if the file cannot be written."""
    if comparison.result is None:
        sys.stderr.write("No report was written, because the comparison has no result.\n")
        return
    from orchestrator.web.dashboard.comparisons.report import list_reported_probes, render_report  # Jinja2: lazy

    found = await status.find_run_comparisons(app.database, run_id=comparison.run_id, comparison_id=comparison.id)
    answers = await status.list_comparison_answers(app.database, comparison.id, list_reported_probes(comparison))
    probes = await ProbeReader(app.database, app.dataset_folder).find_probes(comparison)
    name = found.run_name if found else comparison.run_id
    text = await asyncio.to_thread(render_report, comparison, name, probes, answers, app.clock.now())
    try:
        await asyncio.to_thread(replace_file, path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"the report cannot be written to {path}: {error.strerror or error}",
            hint="Choose another file; `orchestrator compare --latest --report FILE` needs no model.",
        ) from error
    sys.stderr.write(f"{sanitize_line(f'Report written to {path}.')}\n")
