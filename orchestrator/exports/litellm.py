"""LiteLLM: a router's configuration with one model group, one deployment an account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from orchestrator.core.account import ProviderName
from orchestrator.exports.addresses import address
from orchestrator.exports.selection import Models, can_be_called, why_left_out
from orchestrator.exports.words import comments, key_variables, quoted

if TYPE_CHECKING:  # half a second that the help of the commands does not need
    from orchestrator.status import JobView

PREFIXES: Final = {
    ProviderName.OPENAI: "openai",
    ProviderName.AZURE: "azure",
    ProviderName.NEBIUS: "nebius",
    ProviderName.OPENAI_COMPATIBLE: "openai",
    ProviderName.TOGETHER: "together_ai",
    ProviderName.FIREWORKS: "fireworks_ai",
}
USE: Final = "For `litellm --config` or `litellm.Router(model_list=…)`: the fine-tuned models"


def as_litellm(models: Models) -> str:
    """YAML. Keys are named by the environment's variables that hold them, `os.environ/NAME`."""
    given, made_up = key_variables([job.account for job in models.jobs], models.accounts)
    lines = comments(models, USE)
    lines += [
        f"# Set {variable} to the key of {quoted(name)}: it is not in the environment."
        for name, variable in made_up.items()
    ]
    lines.append("model_list:" if models.jobs else "model_list: []")
    for job in models.jobs:
        lines += _deployment(models, job, (given | made_up)[job.account])
    return "\n".join(lines) + "\n"


def _deployment(models: Models, job: JobView, variable: str) -> Iterator[str]:
    if not can_be_called(job):
        yield f"  # It cannot be called as it is: {why_left_out(job)}."
    yield f"  - model_name: {quoted(models.name)}"
    yield "    litellm_params:"
    yield f"      model: {quoted(f'{PREFIXES[ProviderName(job.provider)]}/{job.fine_tuned_model}')}"
    yield f"      api_key: {quoted(f'os.environ/{variable}')}"
    account = models.accounts.get(job.account)
    if url := _api_base(models, job):
        yield f"      api_base: {quoted(url)}"
    if account and account.organization and job.provider == ProviderName.OPENAI:
        yield f"      organization: {quoted(account.organization)}"
    yield "    model_info:"
    yield f"      id: {quoted(job.account)}"
    yield f"      base_model: {quoted(job.base_model)}"


def _api_base(models: Models, job: JobView) -> str | None:
    url = address(models, job)
    if url and job.provider == ProviderName.AZURE:  # LiteLLM adds the path
        return "{0.scheme}://{0.netloc}".format(urlsplit(url))
    return url
