"""The route `/metrics`, which Prometheus scrapes."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from orchestrator.status import get_metrics_snapshot
from orchestrator.web.backend import WebBackend

METRICS_HEADERS: Final = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}


class MetricsRoutes:
    """Serves the metrics to any authenticated client."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/metrics", self.metrics, methods=["GET"])

    async def metrics(self) -> Response:
        """Return the current gauges and this process's counters in the Prometheus text format."""
        backend = self._backend
        return Response(
            backend.render_metrics(await backend.call_with_database(get_metrics_snapshot, backend.now())),
            headers=METRICS_HEADERS,
        )
