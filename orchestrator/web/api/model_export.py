"""Exporting: the model ids in the forms that other programs read."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Query
from fastapi.responses import PlainTextResponse, Response

from orchestrator.exports import ExportFormat, export, select_models
from orchestrator.status import JobListing
from orchestrator.web.backend import WebBackend

MAX_EXPORTED_ACCOUNTS: Final = 1_000_000  # accounts: an export has no pages
TextFormat = Literal["table", "csv", "env", "toml", "litellm", "sillytavern"]
TextFormatParameter = Annotated[
    TextFormat, Query(alias="format", description="The form, as `orchestrator models --format` writes it.")
]
HiddenFormatParameter = Annotated[ExportFormat, Query(alias="format", include_in_schema=False)]
"""Of `/models`, which answers a page of JSON where it is not given. It is not in the document: a client that is made
from the document reads one type of content an operation, so that it failed on every other form."""
IncludeUnservable = Annotated[bool, Query(alias="all", description="Also models that cannot be called as they are.")]
HiddenIncludeUnservable = Annotated[bool, Query(alias="all", include_in_schema=False)]


def export_response(
    backend: WebBackend,
    listing: JobListing | None,
    export_format: ExportFormat,
    *,
    include_unservable: bool,
    as_plain_text: bool = False,
) -> Response:
    """The answer in that form, with its own media type or as plain text. Keys are named, never told."""
    name, jobs = (listing.run.name, listing.jobs) if listing else ("", ())
    made = export(
        export_format, select_models(name, jobs, backend.get_accounts()), include_unservable=include_unservable
    )
    if as_plain_text:
        return PlainTextResponse(made.text, headers={"Cache-Control": "no-store"})
    return Response(made.text, media_type=made.media_type, headers={"Cache-Control": "no-store"})
