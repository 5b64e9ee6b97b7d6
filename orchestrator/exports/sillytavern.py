"""SillyTavern connection profiles, to be merged into its `settings.json`.

There is one profile per account in each run. Models at OpenAI itself are "external" ones, which SillyTavern lists
when `show_external_models` is set; every other server needs its URL in the profile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from orchestrator.core.account import ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text_sanitizer import sanitize_json
from orchestrator.exports.model_set import ModelSet, find_inference_url, get_model_string

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView


def render_sillytavern(models: ModelSet) -> str:
    """Render a part of `settings.json`. The keys are entered in SillyTavern itself."""
    profiles = [_profile(models, job) for job in models.jobs]
    settings = {
        "oai_settings": {"show_external_models": True},
        "extension_settings": {"connectionManager": {"profiles": profiles}},
    }
    return sanitize_json(json.dumps(settings, indent=2, ensure_ascii=False)) + "\n"


def _profile(models: ModelSet, job: JobView) -> dict[str, Any]:
    own_api = PROVIDERS[ProviderName(job.provider)].sillytavern_api
    url = None if own_api else find_inference_url(models, job)
    return {
        "id": str(uuid5(NAMESPACE_OID, job.job)),
        "mode": "cc",  # chat completion
        "name": f"{models.get_run_name(job)} · {job.account}",
        "api": own_api or ("custom" if url else "oai"),
        **({"api-url": url} if url else {}),
        "model": get_model_string(job),
    }
