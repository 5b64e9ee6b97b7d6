"""Scrape: the page that Prometheus fetches."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from orchestrator.status import get_metrics_snapshot
from orchestrator.web.backend import WebBackend

METRICS_HEADERS: Final = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}


class MetricsRoutes:
    """Numbers, for whoever may look."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/metrics", self.metrics, methods=["GET"])

    async def metrics(self) -> Response:
        """How things stand now, and what this process has done, in Prometheus' text format."""
        program = self._backend
        return Response(
            program.render_metrics(await program.call_with_database(get_metrics_snapshot, program.now())),
            headers=METRICS_HEADERS,
        )
