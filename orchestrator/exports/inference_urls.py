"""Finds the base URL where a model is called, which is not always where it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.core.account import ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.exports.model_set import ModelSet, is_deployed

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView


def find_inference_url(models: ModelSet, job: JobView) -> str | None:
    """Return the base URL where the model is called; None for OpenAI's own, which every client knows."""
    if job.serving and job.serving.base_url and is_deployed(job):
        return job.serving.base_url
    info, account = PROVIDERS[ProviderName(job.provider)], models.accounts.get(job.account)
    own_url = account.base_url if account and info.serves_at_base_url else None
    if own_url and info.inference_path:
        return "{0.scheme}://{0.netloc}".format(urlsplit(own_url)) + info.inference_path
    return own_url or info.inference_url
