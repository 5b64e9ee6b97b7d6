"""LiteLLM router configuration: one model group for each run with one deployment per account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from orchestrator.core.account import ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text import format_time
from orchestrator.exports.config_text import build_variable_names, format_header, get_key_variables, quote
from orchestrator.exports.model_set import (
    ModelSet,
    find_inference_url,
    get_model_string,
    is_deployed,
    is_servable,
    left_out_reason,
)

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

HEADER: Final = "For `litellm --config` or `litellm.Router(model_list=…)`: the fine-tuned models"


def render_litellm(models: ModelSet) -> str:
    """Render YAML. Keys are referenced as `os.environ/NAME`."""
    keys, instructions = _build_key_parameters(models)
    lines = [*format_header(models, HEADER), *instructions]
    lines.append("model_list:" if models.jobs else "model_list: []")
    for job in models.jobs:
        lines += _deployment(models, job, keys[job.account])
    return "\n".join(lines) + "\n"


def _build_key_parameters(models: ModelSet) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return LiteLLM's parameters for the key of each account, with their variables, and which of these to set."""
    infos = {job.account: PROVIDERS[ProviderName(job.provider)] for job in models.jobs}
    existing, generated = get_key_variables(
        [name for name, info in infos.items() if not info.litellm_keys], models.accounts
    )
    keys = {name: {infos[name].litellm_key: variable} for name, variable in (existing | generated).items()}
    lines = [
        f"# Set {variable} to the key of {quote(name)}: it is not in the environment."
        for name, variable in generated.items()
    ]
    parted = [name for name, info in infos.items() if info.litellm_keys]
    starts = {start for name in parted for start in infos[name].litellm_keys.values()}
    variables = {start: build_variable_names(start, parted) for start in starts}
    for name in parted:
        keys[name] = {parameter: variables[start][name] for parameter, start in infos[name].litellm_keys.items()}
        lines.append(f"# Set what the key of {quote(name)} consists of:")
        lines += [f"#   {variable}" for variable in keys[name].values()]
    return keys, lines


def _deployment(models: ModelSet, job: JobView, keys: Mapping[str, str]) -> Iterator[str]:
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
    for parameter, variable in keys.items():
        yield f"      {parameter}: {quote(f'os.environ/{variable}')}"
    if info.litellm_needs_base_model:
        yield f"      base_model: {quote(job.base_model)}"
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
