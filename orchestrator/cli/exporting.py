"""The verb that says the model ids, in any form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.files import translate_write_errors
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.cli.views import NO_RUN_MESSAGE
from orchestrator.core.lifecycle import JobState
from orchestrator.core.printable import sanitize_line
from orchestrator.exports import ExportFormat, export, left_out_reason, select_models

if TYPE_CHECKING:
    from orchestrator.app import App


async def print_models(
    app: App,
    output_format: ExportFormat,
    *,
    output: Path | None,
    labels: Sequence[str],
    providers: Sequence[str],
    everything: bool,
    name: str | None,
) -> int:
    """Print or write them; FAILED while one of those asked for is missing."""
    seen = await app.read_status()
    if seen.run is None and output_format is ExportFormat.TABLE:
        sys.stdout.write(NO_RUN_MESSAGE + "\n")
        return EXIT_FAILED
    accounts = await app.read_listed_accounts() if output_format.needs_accounts else {}
    title = name or (seen.run.name if seen.run else "")
    wanted = select_models(title, seen.jobs, accounts, labels=labels, providers=providers)
    exported = export(output_format, wanted, include_unservable=everything)
    _write_text(exported.text, output)
    for job in exported.models.left_out:
        sys.stderr.write(sanitize_line(f"left out: {job.account}: {left_out_reason(job)}") + "\n")
    return EXIT_DONE if wanted.jobs and all(job.state == JobState.SUCCEEDED for job in wanted.jobs) else EXIT_FAILED


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        with translate_write_errors(output):
            output.write_text(text, encoding="utf-8")
