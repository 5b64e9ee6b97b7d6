"""The registry of provider facts: everything the program knows about a provider without calling it.

`PROVIDERS` has one `ProviderInfo` for every `ProviderName`. The accounts file, the exports, the plan and the proxies
read it, so that no other module has a table or a special case for each provider. The code that calls a provider is
selected in `orchestrator/providers/registry.py`. docs/how-to/add-a-provider.md lists what a new provider needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities

CONDITIONAL_ACCOUNT_OPTIONS: Final = frozenset(
    {"webhook_secret", "send_auto", "suffix_length", "suffix_required", "hyperparameter_format"}
)
"""Options of `[[accounts]]` that are an error for a provider that does not list them in `account_options`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """What the program knows about one provider. Fields without a default must be decided for each provider."""

    capabilities: Capabilities
    """What its training API offers: options, limits, how a job is found again (core/capabilities.py)."""

    default_base_url: str | None
    """Base URL of the training API for accounts without `base_url`; None where each account must have one."""

    base_url_needs_path: bool
    """Whether a `base_url` without a path is a mistake, because the API is below a path such as /v1."""

    litellm_prefix: str
    """LiteLLM's name for the provider, the part before the slash in its model names."""

    inference_url: str | None
    """Base URL for calling a model of an account without `base_url`; None where every client knows it, or where
    each account has its own."""

    inference_path: str | None = None
    """The path where models are called, on the host of an account's `base_url`; None: the path of `base_url`."""

    serves_at_base_url: bool = True
    """Whether an account's `base_url` is also where its models are called. False: always `inference_url`."""

    required_account_options: Mapping[str, str] = field(default_factory=dict)
    """Options of `[[accounts]]` that are mandatory here. The value is the line that an error message suggests."""

    account_options: frozenset[str] = frozenset()
    """Those of `CONDITIONAL_ACCOUNT_OPTIONS` that this provider accepts."""

    verify_names_project: bool = True
    """Whether the answer that identifies a key also names its project, if the provider has projects at all."""

    litellm_appends_path: bool = False
    """Whether LiteLLM appends the path by itself, so that `api_base` must be only scheme and host."""

    litellm_takes_organization: bool = False
    """Whether LiteLLM sends the account's `organization` to this provider."""


_INFO: Final[Mapping[ProviderName, ProviderInfo]] = {
    ProviderName.OPENAI: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.OPENAI],
        default_base_url="https://api.openai.com/v1",
        base_url_needs_path=True,
        litellm_prefix="openai",
        inference_url=None,  # every client knows it
        account_options=frozenset({"webhook_secret"}),
        verify_names_project=False,
        litellm_takes_organization=True,
    ),
    ProviderName.AZURE: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.AZURE],
        default_base_url=None,
        base_url_needs_path=True,
        litellm_prefix="azure",
        inference_url=None,
        required_account_options={"base_url": 'base_url = "https://RESOURCE.openai.azure.com/openai/v1/"'},
        litellm_appends_path=True,
    ),
    ProviderName.NEBIUS: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.NEBIUS],
        default_base_url="https://api.tokenfactory.nebius.com/v1",
        base_url_needs_path=True,
        litellm_prefix="nebius",
        inference_url="https://api.tokenfactory.nebius.com/v1",
    ),
    ProviderName.OPENAI_COMPATIBLE: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE],
        default_base_url=None,
        base_url_needs_path=True,
        litellm_prefix="openai",
        inference_url=None,
        required_account_options={"base_url": 'base_url = "https://HOST/v1"'},
        account_options=frozenset({"send_auto", "suffix_length", "suffix_required", "hyperparameter_format"}),
    ),
    ProviderName.TOGETHER: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.TOGETHER],
        default_base_url="https://api.together.ai/v1",
        base_url_needs_path=False,
        litellm_prefix="together_ai",
        inference_url="https://api.together.ai/v1",
    ),
    ProviderName.FIREWORKS: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.FIREWORKS],
        default_base_url="https://api.fireworks.ai/v1",
        base_url_needs_path=False,
        litellm_prefix="fireworks_ai",
        inference_url="https://api.fireworks.ai/inference/v1",
        serves_at_base_url=False,  # /v1 trains, /inference/v1 answers
        required_account_options={"organization": 'organization = "…", the account\'s id at fireworks'},
    ),
    ProviderName.DASHSCOPE: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.DASHSCOPE],
        default_base_url="https://dashscope-intl.aliyuncs.com/api/v1",  # Singapore; Beijing is another base_url
        base_url_needs_path=False,
        litellm_prefix="dashscope",
        inference_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        inference_path="/compatible-mode/v1",  # /api/v1 trains, at both sites
        verify_names_project=False,
    ),
    ProviderName.BEDROCK_MANTLE: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.BEDROCK_MANTLE],
        default_base_url=None,
        base_url_needs_path=True,
        litellm_prefix="openai",  # LiteLLM's "bedrock" signs requests to another API
        inference_url=None,
        required_account_options={"base_url": 'base_url = "https://bedrock-mantle.REGION.api.aws/v1"'},
        verify_names_project=False,
    ),
}

# Built from the enumeration and not from the table: a member without a row fails here, when the program starts, and
# not with a KeyError in the first export or accounts file that names the provider.
PROVIDERS: Final[Mapping[ProviderName, ProviderInfo]] = MappingProxyType({name: _INFO[name] for name in ProviderName})


def list_providers_with_account_option(option: str) -> list[ProviderName]:
    """Return the providers that accept this option of `CONDITIONAL_ACCOUNT_OPTIONS`."""
    return [name for name, info in PROVIDERS.items() if option in info.account_options]
