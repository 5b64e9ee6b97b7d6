"""LiteLLM router configuration: one model group for each run with one deployment per account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from orchestrator.core.account import ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text import format_time
from orchestrator.exports.config_text import format_header, get_key_variables, quote
from orchestrator.exports.inference_urls import find_inference_url
from orchestrator.exports.model_set import ModelSet, get_model_string, is_deployed, is_servable, left_out_reason

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

HEADER: Final = "For `litellm --config` or `litellm.Router(model_list=…)`: the fine-tuned models"


def render_litellm(models: ModelSet) -> str:
    """Render YAML. Keys are referenced as `os.environ/NAME`."""
    existing, generated = get_key_variables([job.account for job in models.jobs], models.accounts)
    lines = format_header(models, HEADER)
    lines += [
        f"# Set {variable} to the key of {quote(name)}: it is not in the environment."
        for name, variable in generated.items()
    ]
    lines.append("model_list:" if models.jobs else "model_list: []")
    for job in models.jobs:
        lines += _deployment(models, job, (existing | generated)[job.account])
    return "\n".join(lines) + "\n"


def _deployment(models: ModelSet, job: JobView, variable: str) -> Iterator[str]:
    if not is_servable(job):
        yield f"  # It cannot be called as it is: {left_out_reason(job)}."
    info = PROVIDERS[ProviderName(job.provider)]
    if job.serving and job.serving.expires_at is not None and is_deployed(job):
        yield f"  # Callable until {format_time(job.serving.expires_at)}."
    yield f"  - model_name: {quote(models.get_run_name(job))}"
    yield "    litellm_params:"
    model = get_model_string(job)
    model = model.rpartition("/")[2] if info.litellm_short_model else model
    prefix = info.litellm_deployed_prefix if is_deployed(job) else None
    yield f"      model: {quote(f'{prefix or info.litellm_prefix}/{model}')}"
    yield f"      api_key: {quote(f'os.environ/{variable}')}"
    account = models.accounts.get(job.account)
    if url := _api_base(models, job):
        yield f"      api_base: {quote(url)}"
    if account and account.organization and info.litellm_takes_organization:
        yield f"      organization: {quote(account.organization)}"
    for parameter, option in info.litellm_options.items():
        if value := account and getattr(account, option):
            yield f"      {parameter}: {quote(value)}"
    yield "    model_info:"
    # LiteLLM takes deployments with the same id for one, so the id has the run if the account has several models.
    name = f"{models.get_run_name(job)}/{job.account}" if models.has_several_runs else job.account
    yield f"      id: {quote(name)}"
    yield f"      base_model: {quote(job.base_model)}"


def _api_base(models: ModelSet, job: JobView) -> str | None:
    url = find_inference_url(models, job)
    if url and PROVIDERS[ProviderName(job.provider)].litellm_appends_path:
        return "{0.scheme}://{0.netloc}".format(urlsplit(url))
    return url
