"""The verb that says the model ids, in any form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.files import writing
from orchestrator.cli.session import DONE, FAILED
from orchestrator.cli.views import NOTHING
from orchestrator.core.lifecycle import State
from orchestrator.core.printable import printable
from orchestrator.exports import Form, export, select, why_left_out

if TYPE_CHECKING:
    from orchestrator.app import App


async def models(
    app: App,
    form: Form,
    *,
    output: Path | None,
    labels: Sequence[str],
    providers: Sequence[str],
    everything: bool,
    name: str | None,
) -> int:
    """Print or write them; FAILED while one of those asked for is missing."""
    seen = await app.look()
    if seen.run is None and form is Form.TABLE:
        sys.stdout.write(NOTHING + "\n")
        return FAILED
    accounts = await app.listed() if form.names_keys else {}
    title = name or (seen.run.name if seen.run else "")
    wanted = select(title, seen.jobs, accounts, labels=labels, providers=providers)
    exported = export(form, wanted, everything=everything)
    _put(exported.text, output)
    for job in exported.models.left_out:
        sys.stderr.write(printable(f"left out: {job.account}: {why_left_out(job)}") + "\n")
    return DONE if wanted.jobs and all(job.state == State.SUCCEEDED for job in wanted.jobs) else FAILED


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        with writing(output):
            output.write_text(text, encoding="utf-8")
