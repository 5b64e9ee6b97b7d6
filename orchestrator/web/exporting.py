"""Exporting: the model ids in the forms that other programs read."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Query
from fastapi.responses import PlainTextResponse, Response

from orchestrator.exports import Form, export, select
from orchestrator.status import Listing
from orchestrator.web.program import Program

MOST: Final = 1_000_000  # accounts: an export has no pages
TextForm = Literal["table", "csv", "env", "toml", "litellm", "sillytavern"]
AsText = Annotated[
    TextForm, Query(alias="format", description="The form, as `orchestrator models --format` writes it.")
]
AsForm = Annotated[Form, Query(alias="format", include_in_schema=False)]
"""Of `/models`, which answers a page of JSON where it is not given. It is not in the document: a client that is made
from the document reads one type of content an operation, so that it failed on every other form."""
Everything = Annotated[bool, Query(alias="all", description="Also models that cannot be called as they are.")]
HiddenEverything = Annotated[bool, Query(alias="all", include_in_schema=False)]


def exported(
    program: Program, listing: Listing | None, form: Form, *, everything: bool, plain: bool = False
) -> Response:
    """The answer in that form, with its own media type or as plain text. Keys are named, never told."""
    name, jobs = (listing.run.name, listing.jobs) if listing else ("", ())
    made = export(form, select(name, jobs, program.listed()), everything=everything)
    if plain:
        return PlainTextResponse(made.text, headers={"Cache-Control": "no-store"})
    return Response(made.text, media_type=made.media_type, headers={"Cache-Control": "no-store"})
