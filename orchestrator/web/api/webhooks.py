"""Receiver of provider webhooks. It needs no token: each request is authenticated by its signature."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import problem_response


class WebhookRoutes:
    """Returns the same response for an unknown account, a missing secret and a wrong signature.

    A difference would let a stranger find out which accounts exist.
    """

    def __init__(self, backend: WebBackend) -> None:
        self._receive_webhook = backend.receive_webhook
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/webhooks/openai/{account}", self.receive, methods=["POST"])

    async def receive(self, account: str, request: Request) -> Response:
        if await self._receive_webhook(account, request.headers, await request.body()):
            return Response(status_code=204)
        return problem_response(
            400,
            "The webhook signature is invalid, or its timestamp is more than five minutes off.",
            "Set `webhook_secret` of the account to the signing secret of this webhook, and check both clocks.",
        )
