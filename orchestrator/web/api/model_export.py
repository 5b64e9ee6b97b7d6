"""Export of the fine-tuned models as text: parameters and response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from fastapi import Query
from fastapi.responses import PlainTextResponse, Response

from orchestrator.exports import ExportFormat, export, select_checkpoints, select_models
from orchestrator.status import JobListing
from orchestrator.web.backend import WebBackend

MAX_EXPORTED_ACCOUNTS: Final = 1_000_000  # far above any run: an export is not paginated
TextFormat = Literal["table", "csv", "env", "toml", "litellm", "sillytavern"]
TextFormatParameter = Annotated[
    TextFormat, Query(alias="format", description="Output format, as of `orchestrator models --format`.")
]
HiddenFormatParameter = Annotated[ExportFormat, Query(alias="format", include_in_schema=False)]
"""The parameter `format` of `/models`, which returns a page of JSON by default.

It is not in the OpenAPI document: a generated client expects one content type per operation and would fail on every
other format.
"""
IncludeUnservable = Annotated[
    bool, Query(alias="all", description="Include models that must be deployed before they can be called.")
]
HiddenIncludeUnservable = Annotated[bool, Query(alias="all", include_in_schema=False)]


CheckpointParameter = Annotated[
    str, Query(alias="checkpoint", description='Instead of the final models a checkpoint: its number, or "best".')
]
HiddenCheckpoint = Annotated[str, Query(alias="checkpoint", include_in_schema=False)]


def export_response(
    backend: WebBackend,
    listings: Sequence[JobListing],
    export_format: ExportFormat,
    *,
    checkpoint: str = "",
    include_unservable: bool = False,
    as_plain_text: bool = False,
    as_file: bool = False,
) -> Response:
    """Return the exported models of one run or of several, with the media type of the format or as plain text.

    `as_file` makes a browser save it as a file. An export names the reference of each API key, never its value.
    """
    models = select_models(
        listings[0].run.name if listings else "",
        [job for listing in listings for job in listing.jobs],
        backend.get_accounts(),
        run_names={each.run.id: each.run.name for each in listings} if len(listings) > 1 else {},
    )
    if checkpoint:
        models = select_checkpoints(models, checkpoint)
    exported = export(export_format, models, include_unservable=include_unservable)
    if as_plain_text:
        return PlainTextResponse(exported.text, headers={"Cache-Control": "no-store"})
    headers = {"Cache-Control": "no-store"}
    if as_file:
        headers["Content-Disposition"] = f'attachment; filename="{exported.file_name}"'
    return Response(exported.text, media_type=exported.media_type, headers=headers)
