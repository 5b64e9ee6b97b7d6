"""The options of each table of the accounts file, their types and limits.

The defaults are in the core values (`RunOptions`, `TrainingSpec`, `Account`): only options that the file contains are
passed on. An error message never repeats a value that could be a key.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.core.account import BudgetPeriod, HyperparameterFormat, ProviderName
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.deployment.deployment_offers import MAX_KEEP_HOURS
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.notifications.notification import Topic
from orchestrator.core.spec import Auto, Method, TrainingType
from orchestrator.inputs.accounts_file import cron
from orchestrator.inputs.accounts_file.addresses import BaseUrl, ManagementUrl, ProxyAddress, StorageUrl, WebhookUrl
from orchestrator.inputs.accounts_file.cloud_names import (
    ApiVersion,
    BucketName,
    Region,
    ResourceGroup,
    ResourceName,
    RoleArn,
    SubscriptionId,
)
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath, format_suggestion
from orchestrator.inputs.secrets import references

_MISSING_HINTS = {
    "name": 'add name = "…"',
    "provider": f"add provider = one of {', '.join(ProviderName)}",
    "api_key": 'add api_key = "env:NAME", "file:PATH" or "cmd:COMMAND"',
    "kind": 'add kind = "token" or "hour": how the deployment is billed',
    "keep_hours": "add keep_hours = the hours after which the service stops the deployment",
    "base_model": 'add base_model = "…", the model to fine-tune',
    "url": 'add url = "…", the address that notifications are sent to',
    "secret": 'add secret = "env:NAME", "file:PATH" or "cmd:COMMAND"; it signs the notifications',
}


def _validate_not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give it a value or remove the line")
    return value


def _validate_printable(value: str) -> str:
    """Validate a name at the provider: it is sent in a header or a URL as it is."""
    if not _validate_not_blank(value).isprintable():
        raise ValueError("contains a line break or another control character; write it on one line, without escapes")
    return value


def _validate_suffix(value: str) -> str:
    if not 1 <= len(value) <= 64:
        raise ValueError("must have 1 to 64 characters")
    return value


def is_account_name(value: object) -> bool:
    """True for a name that may stand in messages, paths and addresses as it is."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) is not None


def _validate_account_name(value: str) -> str:
    if not is_account_name(value):
        raise ValueError("must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return value


def _parse_provider(value: Any) -> ProviderName:
    try:
        return ProviderName(value)
    except ValueError:
        close = format_suggestion(value, ProviderName) if isinstance(value, str) else ""
        raise ValueError(f"must be one of {', '.join(ProviderName)}{close}") from None


def _reference_validator(option: str) -> AfterValidator:
    def check(value: str) -> str:
        references.parse_reference(value, option)
        return value

    return AfterValidator(check)


def _parse_topics(value: Any) -> frozenset[Topic]:
    known = list(Topic)
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of some of {', '.join(known)}")
    for name in value:
        if name not in known:
            close = format_suggestion(name, known) if isinstance(name, str) else ""
            raise ValueError(f"must hold only {', '.join(known)}{close}")
    return frozenset(Topic(name) for name in value)


def _integer_or_auto(low: int, high: int | None = None) -> PlainValidator:
    expected = f"a whole number from {low} to {high}" if high else f"a whole number of at least {low}"

    def check(value: Any) -> int | Auto:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value == "auto" or (whole and value >= low and (high is None or value <= high)):
            return value  # type: ignore[no-any-return]
        raise ValueError(f'must be {expected}, or "auto"')

    return PlainValidator(check)


def _validate_positive_or_auto(value: Any) -> float | Auto:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == "auto" or (number and 0 < value < float("inf")):
        return value  # type: ignore[no-any-return]
    raise ValueError('must be a number above 0, or "auto"')


NonBlankText = Annotated[str, AfterValidator(_validate_not_blank)]
PrintableName = Annotated[str, AfterValidator(_validate_printable)]
Usd = Annotated[float, Field(gt=0)]


class _OptionsTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=_OptionsTable)


class RunTable(_OptionsTable):
    """`[run]`, without the providers' blocks."""

    name: NonBlankText
    dataset: NonBlankText | None = None
    validation_fraction: Annotated[float, Field(ge=0, le=0.5)] | None = None
    validation: NonBlankText | None = None
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    suffix: Annotated[str, AfterValidator(_validate_suffix)] | None = None
    max_total_usd: Usd | None = None
    allow_unknown_price: bool | None = None
    moderation: NonBlankText | None = None
    moderation_waived: NonBlankText | None = None
    schedule: Annotated[str, AfterValidator(cron.normalise_cron_line)] | None = None


class RunsTable(RunTable):
    """One `[[runs]]` entry, without the providers' blocks."""

    name: Annotated[str, AfterValidator(_validate_account_name)]
    accounts: list[NonBlankText] | None = None
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = None


class SpecTable(_OptionsTable):
    """`[run.PROVIDER]`: the options that are identical in all accounts of a provider.

    This is the union for all providers; `core.capabilities` has the options that each one supports.
    """

    base_model: PrintableName
    method: Method | None = None
    n_epochs: Annotated[int | Auto, _integer_or_auto(1, 50)] | None = None
    batch_size: Annotated[int | Auto, _integer_or_auto(1)] | None = None
    learning_rate_multiplier: Annotated[float | Auto, PlainValidator(_validate_positive_or_auto)] | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    lora: bool | None = None
    lora_rank: Annotated[int, Field(ge=1)] | None = None
    lora_alpha: Annotated[int, Field(ge=1)] | None = None
    context_length: Annotated[int, Field(ge=1)] | None = None
    training_type: TrainingType | None = None
    byte_order_mark: bool | None = None
    tokenizer: NonBlankText | None = None
    pin_auto: bool | None = None


class DeploymentTable(_OptionsTable):
    """`[run.PROVIDER.deployment]`: the union for all providers; `core.deployment` has what each one supports."""

    kind: Annotated[DeploymentKind, Field(strict=False)]
    keep_hours: Annotated[float, Field(gt=0, le=MAX_KEEP_HOURS)]
    hardware: PrintableName | None = None
    shape: PrintableName | None = None
    config: PrintableName | None = None
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    min_replicas: Annotated[int, Field(ge=0)] | None = None
    max_replicas: Annotated[int, Field(ge=1)] | None = None
    idle_stop_minutes: Annotated[int, Field(ge=1)] | None = None
    precision: PrintableName | None = None


class ComparisonTable(_OptionsTable):
    """`[run.comparison]`: how the models of the run are compared."""

    probes: Annotated[int, Field(ge=2, le=2_000)] | None = None
    probes_file: NonBlankText | None = None
    behaviour_probes: bool | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    scoring: Annotated[ScoringMethod, Field(strict=False)] | None = None
    quality_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_usd: Usd | None = None
    store_answers: bool | None = None
    gate: bool | None = None
    deploy: bool | None = None
    schedule: Annotated[str, AfterValidator(cron.normalise_cron_line)] | None = None


class AccountTable(_OptionsTable):
    """One `[[accounts]]` entry."""

    name: Annotated[str, AfterValidator(_validate_account_name)]
    provider: Annotated[ProviderName, PlainValidator(_parse_provider)]
    api_key: Annotated[str, _reference_validator("api_key")]
    organization: PrintableName | None = None
    project: PrintableName | None = None
    allow_http: bool | None = None  # before base_url, whose validation reads it
    base_url: BaseUrl | None = None
    proxy: ProxyAddress | None = None
    webhook_secret: Annotated[str, _reference_validator("webhook_secret")] | None = None
    budget_usd: Usd | None = None
    budget_period: Annotated[BudgetPeriod, Field(strict=False)] | None = None
    max_running_jobs: Annotated[int, Field(ge=1)] | None = None
    send_auto: bool | None = None
    suffix_length: Annotated[int, Field(ge=0, le=64)] | None = None
    suffix_required: bool | None = None
    file_per_job: bool | None = None
    hyperparameter_format: Annotated[HyperparameterFormat, Field(strict=False)] | None = None
    region: Region | None = None
    bucket: BucketName | None = None
    role_arn: RoleArn | None = None
    storage_url: StorageUrl | None = None
    management_key: Annotated[str, _reference_validator("management_key")] | None = None
    subscription_id: SubscriptionId | None = None
    resource_group: ResourceGroup | None = None
    resource: ResourceName | None = None
    management_url: ManagementUrl | None = None
    management_api_version: ApiVersion | None = None
    labels: list[NonBlankText] | None = None


class WebhookTable(_OptionsTable):
    """One `[[webhooks]]` entry: an endpoint that receives signed requests."""

    url: WebhookUrl
    secret: Annotated[str, _reference_validator("secret")]
    events: Annotated[frozenset[Topic], PlainValidator(_parse_topics)] | None = None


class AlertTable(_OptionsTable):
    """One `[[alerts]]` entry: a service that receives messages for people."""

    url: Annotated[str, _reference_validator("url")]
    events: Annotated[frozenset[Topic], PlainValidator(_parse_topics)] | None = None


TABLE_SCHEMAS: tuple[tuple[str, type[_OptionsTable]], ...] = (
    ("[run]", RunTable),
    ("[run.PROVIDER]", SpecTable),
    ("[run.PROVIDER.deployment]", DeploymentTable),
    ("[run.comparison]", ComparisonTable),
    ("[[runs]]", RunsTable),
    ("[[accounts]]", AccountTable),
    ("[[webhooks]]", WebhookTable),
    ("[[alerts]]", AlertTable),
)


def validate_table(kind: type[T], values: dict[str, Any], table: TablePath, problems: ProblemCollector) -> T | None:
    """Return the validated options of a table, or None after adding every problem with them."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            key = str(details["loc"][0])
            problems.add(table, key, _format_error(details, key, kind))
        return None


def _format_error(details: ErrorDetails, key: str, kind: type[_OptionsTable]) -> str:
    if details["type"] == "missing":
        return f"is missing; {_MISSING_HINTS[key]}"
    if details["type"] == "extra_forbidden":
        return format_unknown_option(key, kind)
    return details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def format_unknown_option(key: str, kind: type[_OptionsTable]) -> str:
    """Return the message for an unknown option: the table where it belongs, or the most similar known option."""
    for home, other in TABLE_SCHEMAS:
        if other is not kind and key in other.model_fields and key not in kind.model_fields:
            return f"does not belong here but in {home}; an option belongs to the nearest [header] above it"
    known = [*kind.model_fields, *(ProviderName if issubclass(kind, RunTable) else ())]
    return f"is not a known option{format_suggestion(key, known) or '; known options: ' + ', '.join(known)}"
