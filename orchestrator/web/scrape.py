"""Scrape: the page that Prometheus fetches."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from orchestrator.status import tally
from orchestrator.web.program import Program

HEADERS: Final = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}


class Scrape:
    """Numbers, for whoever may look."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/metrics", self.metrics, methods=["GET"])

    async def metrics(self) -> Response:
        """How things stand now, and what this process has done, in Prometheus' text format."""
        program = self._program
        return Response(program.metrics(await program.call(tally, program.now())), headers=HEADERS)
