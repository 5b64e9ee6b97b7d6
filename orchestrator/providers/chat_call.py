"""The call that shows that a deployment answers: a chat completion of one token, in the format of OpenAI's API."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import DeploymentNotReady, ProviderError
from orchestrator.providers.chat.openai_chat import CHAT_DECODER, CHAT_PATH
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.rest_client import RestClient

NOT_READY_STATUSES: Final = frozenset({404, 425, 503})
"""What providers answer while a deployment that exists is starting, waking or not routed yet."""


async def call_chat_model(client: RestClient, model: str) -> None:
    """Request one token of the model. Raises DeploymentNotReady for the statuses of a deployment that is starting."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    async with client.read_call():
        try:
            await client.post_decoded(CHAT_DECODER, CHAT_PATH, body)
        except UnsuccessfulResponse as refusal:
            if refusal.status not in NOT_READY_STATUSES:
                raise
            raise _to_not_ready(client.to_provider_error(refusal), model) from refusal


def _to_not_ready(error: ProviderError, model: str) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"{model} does not answer yet: {error.message}",
        account=error.account,
        request_id=error.request_id,
        code=error.code,
        retry_after=error.retry_after,
    )
