"""The registry of provider facts: everything the program knows about a provider without calling it.

`PROVIDERS` has one `ProviderInfo` for every `ProviderName`. The accounts file, the exports, the plan and the proxies
read it, so that no other module has a table or a special case for each provider. The code that calls a provider is
selected in `orchestrator/providers/registry.py`. docs/how-to/add-a-provider.md lists what a new provider needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.structs import Struct, field

CONDITIONAL_ACCOUNT_OPTIONS: Final = frozenset(
    {
        "webhook_secret",
        "send_auto",
        "suffix_length",
        "suffix_required",
        "file_per_job",
        "hyperparameter_format",
        "region",
        "bucket",
        "storage_url",
        "role_arn",
        "management_key",
        "subscription_id",
        "resource_group",
        "resource",
        "management_url",
        "management_api_version",
    }
)
"""Options of `[[accounts]]` that are an error for a provider that does not list them in `account_options`."""


class ConsoleResource(StrEnum):
    """A resource that a provider's web console has a page for."""

    JOB = "job"
    FILE = "file"
    MODEL = "model"


class ConsolePage(Struct, frozen=True):
    """The address of a page of a provider's web console, as the provider itself publishes it."""

    template: str
    """`{id}` stands for the id of the resource, `{name}` for the part after its last slash."""
    source: str
    """Where the provider publishes the address."""
    only_in: str = ""
    """A part that the id must contain, where the page exists for one kind of resource only."""


class ProviderInfo(Struct, frozen=True, kw_only=True):
    """What the program knows about one provider. Fields without a default must be decided for each provider."""

    capabilities: Capabilities
    """What its training API offers: options, limits, how a job is found again (core/capabilities.py)."""

    default_base_url: str | None
    """Base URL of the training API for accounts without `base_url`; None where each account must have one. It may
    contain {region}: `find_base_url` fills in the account's."""

    base_url_needs_path: bool
    """Whether a `base_url` without a path is a mistake, because the API is below a path such as /v1."""

    litellm_prefix: str
    """LiteLLM's name for the provider, the part before the slash in its model names."""

    inference_url: str | None
    """Base URL for calling a model of an account without `base_url`; None where every client knows it, or where
    each account has its own."""

    inference_path: str | None = None
    """The path where models are called, on the host of an account's `base_url`; None: the path of `base_url`."""

    inference_host: tuple[str, str] | None = None
    """The part of the host of `base_url` that differs where models are called, and what it is there."""

    serves_at_base_url: bool = True
    """Whether an account's `base_url` is also where its models are called. False: always `inference_url`."""

    serves_base_models: bool = False
    """Whether the untuned base model is called by its name where the fine-tuned ones are, without a deployment."""

    scores_references: bool = False
    """Whether its chat completions report the log-probabilities of an echoed prompt."""

    required_account_options: Mapping[str, str] = field(default_factory=dict)
    """Options of `[[accounts]]` that are mandatory here. The value is the line that an error message suggests."""

    deployment_account_options: Mapping[str, str] = field(default_factory=dict)
    """Options of `[[accounts]]` that deployments need besides the required ones: with one of them, or with a
    deployment in a run, all are mandatory. The value is the line that an error message suggests."""

    account_options: frozenset[str] = frozenset()
    """Those of `CONDITIONAL_ACCOUNT_OPTIONS` that this provider accepts."""

    accepts_credential_document: bool = False
    """Whether a key may be a JSON document, such as a service account's key file of Google."""

    accepts_google_default: bool = False
    """Whether a key may be `google:default`, the application default credentials of Google."""

    requires_extra: bool = False
    """Whether every account needs the packages of an extra of the program, which has the provider's name."""

    verify_names_project: bool = True
    """Whether the answer that identifies a key also names its project, if the provider has projects at all."""

    litellm_appends_path: bool = False
    """Whether LiteLLM appends the path by itself, so that `api_base` must be only scheme and host."""

    litellm_takes_organization: bool = False
    """Whether LiteLLM sends the account's `organization` to this provider."""

    console: Mapping[ConsoleResource, ConsolePage] = field(default_factory=dict)
    """Pages of the provider's web console. A resource without a published address is left out, never guessed."""

    litellm_options: Mapping[str, str] = field(default_factory=dict)
    """LiteLLM's parameters for this provider, with the option of the account that each one is."""

    sillytavern_api: str | None = None
    """SillyTavern's name of the provider's API; None: the models are called as at OpenAI."""

    litellm_deployed_prefix: str | None = None
    """LiteLLM's name for the provider if the model is called through its deployment; None: `litellm_prefix`."""

    litellm_keys: Mapping[str, str] = field(default_factory=dict)
    """LiteLLM's parameters for a key of several parts, or for one of several kinds of keys, with the beginning of the
    environment variable of each; those that are not set are ignored. Empty: `litellm_key` with the account's key."""

    litellm_key: str = "api_key"
    """LiteLLM's parameter for the account's key."""

    litellm_needs_base_model: bool = False
    """Whether LiteLLM needs the base model to recognise the API of a fine-tuned model."""

    litellm_short_model: bool = False
    """Whether LiteLLM names a fine-tuned model by the last part of its id, the part after the last slash."""


_INFO: Final[Mapping[ProviderName, ProviderInfo]] = {
    ProviderName.OPENAI: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.OPENAI],
        default_base_url="https://api.openai.com/v1",
        base_url_needs_path=True,
        litellm_prefix="openai",
        inference_url=None,  # every client knows it
        serves_base_models=True,
        account_options=frozenset({"webhook_secret"}),
        verify_names_project=False,
        litellm_takes_organization=True,
        console={
            ConsoleResource.JOB: ConsolePage(
                "https://platform.openai.com/finetune/{id}",
                "OpenAI's guide to fine-tuning names /finetune; a job's page is below it",
            ),
            ConsoleResource.FILE: ConsolePage(
                "https://platform.openai.com/storage/files/{id}", "OpenAI's guide to MCP servers"
            ),
            ConsoleResource.MODEL: ConsolePage(
                "https://platform.openai.com/playground/chat?models={id}", "OpenAI's announcements of models"
            ),
        },
    ),
    ProviderName.AZURE: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.AZURE],
        default_base_url=None,
        base_url_needs_path=True,
        litellm_prefix="azure",
        inference_url=None,
        required_account_options={"base_url": 'base_url = "https://RESOURCE.openai.azure.com/openai/v1/"'},
        deployment_account_options={
            "management_key": 'management_key = "cmd:az account get-access-token '
            '--resource https://management.azure.com --query accessToken -o tsv"',
            "subscription_id": 'subscription_id = "…", the id of the Azure subscription',
            "resource_group": 'resource_group = "…", the resource group of the resource',
            "resource": 'resource = "…", the name of the resource in `base_url`',
        },
        account_options=frozenset(
            {
                "management_key",
                "subscription_id",
                "resource_group",
                "resource",
                "management_url",
                "management_api_version",
            }
        ),
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
        serves_base_models=True,
        required_account_options={"base_url": 'base_url = "https://HOST/v1"'},
        account_options=frozenset(
            {"send_auto", "suffix_length", "suffix_required", "file_per_job", "hyperparameter_format"}
        ),
    ),
    ProviderName.TOGETHER: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.TOGETHER],
        default_base_url="https://api.together.ai/v1",
        base_url_needs_path=False,
        litellm_prefix="together_ai",
        inference_url="https://api.together.ai/v1",
        scores_references=True,
        console={
            ConsoleResource.JOB: ConsolePage(
                "https://api.together.ai/fine-tuning/{id}", "output of Together's command line"
            ),
            ConsoleResource.MODEL: ConsolePage(
                "https://api.together.ai/models/{id}", "error message of Together's API for models without endpoint"
            ),
        },
    ),
    ProviderName.FIREWORKS: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.FIREWORKS],
        default_base_url="https://api.fireworks.ai/v1",
        base_url_needs_path=False,
        litellm_prefix="fireworks_ai",
        inference_url="https://api.fireworks.ai/inference/v1",
        inference_path="/inference/v1",  # /v1 trains
        required_account_options={"organization": 'organization = "…", the account\'s id at fireworks'},
        console={
            ConsoleResource.JOB: ConsolePage(
                "https://app.fireworks.ai/dashboard/fine-tuning/supervised/{name}",
                "example of supervised fine-tuning in Fireworks' cookbook",
                only_in="/supervisedFineTuningJobs/",
            ),
            ConsoleResource.FILE: ConsolePage(
                "https://app.fireworks.ai/dashboard/datasets/{name}", "Fireworks' guide to fine-tuning"
            ),
        },
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
    ProviderName.VERTEX: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.VERTEX],
        default_base_url="https://{region}-aiplatform.googleapis.com",
        base_url_needs_path=False,
        litellm_prefix="vertex_ai",
        inference_url=None,  # LiteLLM knows it from project and region
        required_account_options={
            "project": 'project = "…", the project\'s id at Google Cloud',
            "region": 'region = "us-central1", or another region that trains the base model',
            "bucket": 'bucket = "…", a bucket of Google Cloud Storage in this region',
        },
        account_options=frozenset({"region", "bucket", "storage_url"}),
        accepts_credential_document=True,
        accepts_google_default=True,
        litellm_options={"vertex_project": "project", "vertex_location": "region"},
        litellm_key="vertex_credentials",
        litellm_needs_base_model=True,
        litellm_short_model=True,
        sillytavern_api="vertexai",
    ),
    ProviderName.BEDROCK: ProviderInfo(
        capabilities=CAPABILITIES[ProviderName.BEDROCK],
        default_base_url="https://bedrock.{region}.amazonaws.com",
        base_url_needs_path=False,
        litellm_prefix="bedrock",
        litellm_keys={
            "api_key": "BEDROCK_API_KEY_",
            "aws_access_key_id": "AWS_ACCESS_KEY_ID_",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY_",
            "aws_session_token": "AWS_SESSION_TOKEN_",
        },
        litellm_deployed_prefix="bedrock/converse",  # of the ARN alone LiteLLM cannot tell the API
        inference_url=None,  # LiteLLM knows it from the region
        inference_host=("bedrock", "bedrock-runtime"),
        serves_at_base_url=False,
        required_account_options={
            "region": 'region = "us-east-1", or another region that trains the base model',
            "bucket": 'bucket = "…", a bucket of S3 in this region',
            "role_arn": 'role_arn = "arn:aws:iam::…:role/…", with which Bedrock reads and writes the bucket',
        },
        account_options=frozenset({"region", "bucket", "storage_url", "role_arn"}),
        requires_extra=True,
        accepts_credential_document=True,
        litellm_options={"aws_region_name": "region"},
    ),
}

# Built from the enumeration and not from the table: a member without a row fails here, when the program starts, and
# not with a KeyError in the first export or accounts file that names the provider.
PROVIDERS: Final[Mapping[ProviderName, ProviderInfo]] = MappingProxyType({name: _INFO[name] for name in ProviderName})


def find_base_url(account: Account) -> str | None:
    """Return the base URL of an account's training API; None for an account that must have one and has none."""
    url = account.base_url or PROVIDERS[account.provider].default_base_url
    return url.replace("{region}", account.region or "") if url else None


def find_call_url(account: Account) -> str | None:
    """Return the base URL where the models of an account are called; None for an account that has no base URL.

    An account with a `base_url` of its own, such as the one of a proxy or of a fake, is called on the same host.
    """
    info = PROVIDERS[account.provider]
    if account.base_url is None and info.inference_url:
        return info.inference_url
    url = find_base_url(account)
    if url is None:
        return None
    parts = urlsplit(url)
    if info.inference_host:
        ours, theirs = info.inference_host
        parts = parts._replace(netloc=re.sub(rf"(^|\.){ours}(?=[.-])", rf"\1{theirs}", parts.netloc))
    return urlunsplit(parts._replace(path=info.inference_path) if info.inference_path else parts)


def list_providers_with_account_option(option: str) -> list[ProviderName]:
    """Return the providers that accept this option of `CONDITIONAL_ACCOUNT_OPTIONS`."""
    return [name for name, info in PROVIDERS.items() if option in info.account_options]


_CONSOLE_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][\w.:/-]{0,300}", re.ASCII)


def find_console_url(account: Account | None, resource: ConsoleResource, resource_id: str | None) -> str | None:
    """Return the address of a resource in the web console of the account's provider; None if it has no known page.

    Resources at a server of one's own, such as the sandbox, have none: the console of the provider does not know
    them. An id comes from the provider, so an unusual one gets no link, rather than one that leads elsewhere.
    """
    if account is None or resource_id is None:
        return None
    info = PROVIDERS[account.provider]
    page = info.console.get(resource)
    is_own_server = (account.base_url or info.default_base_url or "").rstrip("/") != info.default_base_url
    if page is None or is_own_server or page.only_in not in resource_id:
        return None
    if not _CONSOLE_ID_PATTERN.fullmatch(resource_id) or ".." in resource_id or "//" in resource_id:
        return None
    return page.template.format(id=resource_id, name=resource_id.rpartition("/")[2])
