"""Exporting: the model ids in the forms that other programs read."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query
from fastapi.responses import Response

from orchestrator.exports import MEDIA_TYPES, Form, export, select
from orchestrator.status import Listing
from orchestrator.web.program import Program

Answers = dict[int | str, dict[str, Any]]
MOST: Final = 1_000_000  # accounts: an export has no pages

AsForm = Annotated[
    Form,
    Query(
        alias="format",
        description="Every model in this form, as `orchestrator models --format` says it; `json` is a page of them.",
    ),
]
Everything = Annotated[
    bool, Query(alias="all", description="With `format`: also models that cannot be called as they are.")
]
ANSWERS: Final[Answers] = {200: {"content": {kind: {"schema": {}} for kind in sorted(MEDIA_TYPES)}}}


def exported(program: Program, listing: Listing | None, form: Form, *, everything: bool) -> Response:
    """The answer in that form. Keys are named, never told."""
    name, jobs = (listing.run.name, listing.jobs) if listing else ("", ())
    made = export(form, select(name, jobs, program.listed()), everything=everything)
    return Response(made.text, media_type=made.media_type, headers={"Cache-Control": "no-store"})
