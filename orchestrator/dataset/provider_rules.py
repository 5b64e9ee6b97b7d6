"""The requirements of each provider for a training file beyond OpenAI's chat format, as data with its source.

A provider has some rows in `PROVIDER_RULES`. The meaning of a row is given by its `RuleKind`, and
`checks/provider_rule_checker.py` has one check per kind. docs/findings.md lists the rows. The minimum number of
examples is in `core.capabilities`. Limits are the documented ones: the provider refuses a file that exceeds one after
the upload, or the job fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import MB
from orchestrator.core.structs import Struct
from orchestrator.dataset.finding_codes import FindingCode


class RuleKind(Enum):
    """A kind of rule: its name, the code of its finding, and its meaning with placeholders for limit and values."""

    def __init__(self, slug: str, code: FindingCode, meaning: str) -> None:
        self.slug = slug
        self.code = code
        self.meaning = meaning

    ROLES_ALTERNATE = (
        "roles-alternate",
        FindingCode.WRONG_ORDER,
        "User and assistant messages alternate, starting with the user, after at most one system message.",
    )
    SYSTEM_FIRST = (
        "system-first",
        FindingCode.WRONG_ORDER,
        "A system message must be the first message of the chat.",
    )
    TEXT_ANSWER_LAST = (
        "text-answer-last",
        FindingCode.WRONG_ORDER,
        "The last message must be a text answer, not a tool call.",
    )
    TEXT_CONTENT = (
        "text-content",
        FindingCode.CONTENT_IN_PARTS,
        "The content must be one string, not an array of text parts, in messages with the role {values}.",
    )
    KEYS_NOT_ACCEPTED = (
        "keys-not-accepted",
        FindingCode.UNKNOWN_KEY,
        "A chat must not have the key {values}.",
    )
    MESSAGE_KEYS_NOT_ACCEPTED = (
        "message-keys-not-accepted",
        FindingCode.UNKNOWN_KEY,
        "A message must not have the key {values}.",
    )
    IMAGE_TYPES = (
        "picture-types",
        FindingCode.BAD_IMAGE,
        "An image must be of type {values}.",
    )
    IMAGE_BYTES = (
        "picture-bytes",
        FindingCode.BAD_IMAGE,
        "An image may have at most {limit} bytes.",
    )
    IMAGES_PER_EXAMPLE = (
        "pictures-per-example",
        FindingCode.TOO_MANY_IMAGES,
        "An example may have at most {limit} images.",
    )
    PUBLIC_IMAGES = (
        "public-pictures",
        FindingCode.BAD_IMAGE,
        "An image must be embedded as a data: URL or have a URL that is reachable from the internet.",
    )
    EMBEDDED_IMAGES = (
        "embedded-pictures",
        FindingCode.BAD_IMAGE,
        "An image must be embedded in the file as a data: URL; the provider does not fetch URLs.",
    )
    MAXIMUM_EXAMPLES = (
        "maximum-examples",
        FindingCode.TOO_MANY_EXAMPLES,
        "A file may have at most {limit} examples.",
    )
    MAXIMUM_IMAGE_EXAMPLES = (
        "maximum-picture-examples",
        FindingCode.TOO_MANY_EXAMPLES,
        "A file may have at most {limit} examples with images.",
    )


class ProviderRule(Struct, frozen=True):
    """One rule of one provider."""

    provider: ProviderName
    kind: RuleKind
    source: str  # URL of its documentation
    limit: int = 0  # the largest allowed number, if its kind has one
    values: tuple[str, ...] = ()  # the roles, keys or image types that its kind is about

    @property
    def meaning(self) -> str:
        """The rule as one sentence."""
        values = " or ".join(filter(None, (", ".join(self.values[:-1]), *self.values[-1:])))
        return self.kind.meaning.format(limit=f"{self.limit:,}", values=values)


_OPENAI_VISION: Final = "https://developers.openai.com/api/docs/guides/vision-fine-tuning"
_OPENAI_REPORT: Final = "https://community.openai.com/t/965584"  # "key content: Input should be a valid string"
_AZURE_VISION: Final = "https://learn.microsoft.com/azure/foundry/openai/how-to/fine-tuning-vision"
_NEBIUS_DATA: Final = "https://docs.tokenfactory.nebius.com/post-training/datasets"
_TOGETHER_DATA: Final = "https://docs.together.ai/docs/fine-tuning/data-preparation"
_TOGETHER_CLIENT: Final = "https://github.com/togethercomputer/together-py/blob/main/src/together/lib/utils/files.py"
_TOGETHER_VISION: Final = "https://docs.together.ai/docs/fine-tuning/vision"
_FIREWORKS_DATA: Final = "https://docs.fireworks.ai/fine-tuning/fine-tuning-models"
_FIREWORKS_VISION: Final = "https://docs.fireworks.ai/fine-tuning/fine-tuning-vlm"
_DASHSCOPE_DATA: Final = "https://www.alibabacloud.com/help/en/model-studio/fine-tuning-api-guide"
_ANSWER_ROLES: Final = ("assistant", "tool")
_ALL_ROLES: Final = ("system", "user", "assistant", "tool")
_OPENAI, _AZURE, _NEBIUS = ProviderName.OPENAI, ProviderName.AZURE, ProviderName.NEBIUS
_TOGETHER, _FIREWORKS = ProviderName.TOGETHER, ProviderName.FIREWORKS
_DASHSCOPE = ProviderName.DASHSCOPE
_VERTEX_DATA: Final = "https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare"
_VERTEX = ProviderName.VERTEX

PROVIDER_RULES: Final[tuple[ProviderRule, ...]] = (
    ProviderRule(_OPENAI, RuleKind.TEXT_CONTENT, _OPENAI_REPORT, values=_ANSWER_ROLES),
    ProviderRule(_OPENAI, RuleKind.IMAGE_TYPES, _OPENAI_VISION, values=("jpeg", "png", "webp")),
    ProviderRule(_OPENAI, RuleKind.IMAGE_BYTES, _OPENAI_VISION, limit=10 * MB),
    ProviderRule(_OPENAI, RuleKind.IMAGES_PER_EXAMPLE, _OPENAI_VISION, limit=10),
    ProviderRule(_OPENAI, RuleKind.PUBLIC_IMAGES, _OPENAI_VISION),
    ProviderRule(_OPENAI, RuleKind.MAXIMUM_IMAGE_EXAMPLES, _OPENAI_VISION, limit=50_000),
    ProviderRule(_AZURE, RuleKind.TEXT_CONTENT, _OPENAI_REPORT, values=_ANSWER_ROLES),
    ProviderRule(_AZURE, RuleKind.IMAGE_TYPES, _AZURE_VISION, values=("jpeg", "png", "webp")),
    ProviderRule(_AZURE, RuleKind.IMAGE_BYTES, _AZURE_VISION, limit=10 * MB),
    ProviderRule(_AZURE, RuleKind.IMAGES_PER_EXAMPLE, _AZURE_VISION, limit=64),
    ProviderRule(_AZURE, RuleKind.PUBLIC_IMAGES, _AZURE_VISION),
    ProviderRule(_AZURE, RuleKind.MAXIMUM_IMAGE_EXAMPLES, _AZURE_VISION, limit=50_000),
    ProviderRule(_NEBIUS, RuleKind.TEXT_ANSWER_LAST, _NEBIUS_DATA),
    ProviderRule(_TOGETHER, RuleKind.ROLES_ALTERNATE, _TOGETHER_DATA),
    ProviderRule(_TOGETHER, RuleKind.KEYS_NOT_ACCEPTED, _TOGETHER_CLIENT, values=("parallel_tool_calls",)),
    ProviderRule(_TOGETHER, RuleKind.IMAGE_TYPES, _TOGETHER_VISION, values=("jpeg", "png", "webp")),
    ProviderRule(_TOGETHER, RuleKind.IMAGE_BYTES, _TOGETHER_VISION, limit=10 * MB),
    ProviderRule(_TOGETHER, RuleKind.IMAGES_PER_EXAMPLE, _TOGETHER_VISION, limit=10),
    ProviderRule(_TOGETHER, RuleKind.EMBEDDED_IMAGES, _TOGETHER_VISION),
    ProviderRule(_FIREWORKS, RuleKind.SYSTEM_FIRST, _FIREWORKS_DATA),
    ProviderRule(_FIREWORKS, RuleKind.TEXT_CONTENT, _FIREWORKS_DATA, values=_ALL_ROLES),
    ProviderRule(_FIREWORKS, RuleKind.IMAGE_TYPES, _FIREWORKS_VISION, values=("jpeg", "png")),
    ProviderRule(_FIREWORKS, RuleKind.EMBEDDED_IMAGES, _FIREWORKS_VISION),
    ProviderRule(_FIREWORKS, RuleKind.MAXIMUM_EXAMPLES, _FIREWORKS_DATA, limit=3_000_000),
    ProviderRule(_DASHSCOPE, RuleKind.MESSAGE_KEYS_NOT_ACCEPTED, _DASHSCOPE_DATA, values=("name", "weight")),
    ProviderRule(_DASHSCOPE, RuleKind.IMAGES_PER_EXAMPLE, _DASHSCOPE_DATA, limit=0),  # in a format of their own
    ProviderRule(_VERTEX, RuleKind.MAXIMUM_EXAMPLES, _VERTEX_DATA, limit=1_000_000),
)


def list_provider_rules(providers: Iterable[ProviderName]) -> tuple[ProviderRule, ...]:
    """List the rules of these providers, in the order of the table."""
    selected = frozenset(providers)
    return tuple(rule for rule in PROVIDER_RULES if rule.provider in selected)


def list_text_only_roles(providers: Iterable[ProviderName]) -> frozenset[str]:
    """List the roles whose content must be one string at one or more of these providers."""
    rules = list_provider_rules(providers)
    return frozenset(role for rule in rules if rule.kind is RuleKind.TEXT_CONTENT for role in rule.values)
