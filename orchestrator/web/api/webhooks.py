"""Webhooks: the door for providers. It is open to everyone; what comes in without a valid signature is refused."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import problem_response


class WebhookRoutes:
    """Answers alike whether the account is unknown, has no secret, or the signature is wrong."""

    def __init__(self, backend: WebBackend) -> None:
        self._receive_webhook = backend.receive_webhook
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/webhooks/openai/{account}", self.receive, methods=["POST"])

    async def receive(self, account: str, request: Request) -> Response:
        if await self._receive_webhook(account, request.headers, await request.body()):
            return Response(status_code=204)
        return problem_response(
            400,
            "this webhook is not signed with the account's secret, or not of the last five minutes",
            "Give the account the secret of this webhook as `webhook_secret`, and check both clocks.",
        )
