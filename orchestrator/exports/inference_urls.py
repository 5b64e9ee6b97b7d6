"""Addresses: where a model is called, which is not always where it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.account import ProviderName
from orchestrator.exports.model_set import ModelSet

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

INFERENCE_URLS: Final = {
    ProviderName.NEBIUS: "https://api.tokenfactory.nebius.com/v1",
    ProviderName.TOGETHER: "https://api.together.ai/v1",
    ProviderName.FIREWORKS: "https://api.fireworks.ai/inference/v1",
}


def find_inference_url(models: ModelSet, job: JobView) -> str | None:
    """The base URL of the account's models; None for OpenAI's own, which every client knows."""
    provider, account = ProviderName(job.provider), models.accounts.get(job.account)
    if (
        provider is ProviderName.FIREWORKS or account is None
    ):  # `base_url` is where Fireworks trains, not where it answers
        return INFERENCE_URLS.get(provider)
    return account.base_url or INFERENCE_URLS.get(provider)
