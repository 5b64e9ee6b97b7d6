"""The registry of provider code: which dialect connects the accounts of which provider.

The facts about each provider are in `orchestrator/core/providers.py`. Dialects are imported when the first account of
theirs is connected: the SDKs take half a second and tens of megabytes that `orchestrator check`, say, does not need.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, assert_never

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import TemporaryError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import ProviderFactory, SecretLoader

if TYPE_CHECKING:
    from orchestrator.providers.http.client import HttpClient


class ProviderRegistry:
    """The provider factories that share one HTTP client. Accounts of one dialect share one factory and its caches."""

    def __init__(self, http: HttpClient, redact: Redactor, load_secret: SecretLoader | None = None) -> None:
        """`load_secret` reads the secrets that only deployments need; None: nothing is deployed."""
        self._http = http
        self._redact = redact
        self._load_secret = load_secret or _refuse_secret

    def get_factory(self, name: ProviderName) -> ProviderFactory:
        """Return the factory for the accounts of a provider. mypy reports a provider that is missing here."""
        match name:
            case ProviderName.OPENAI | ProviderName.OPENAI_COMPATIBLE:
                return self._openai
            case ProviderName.NEBIUS:
                return self._nebius
            case ProviderName.AZURE:
                return self._azure
            case ProviderName.BEDROCK_MANTLE:
                return self._openai
            case ProviderName.TOGETHER:
                return self._together
            case ProviderName.FIREWORKS:
                return self._fireworks
            case ProviderName.DASHSCOPE:
                return self._dashscope
            case ProviderName.VERTEX:
                return self._vertex
            case ProviderName.BEDROCK:
                return self._bedrock
        assert_never(name)

    @cached_property
    def _openai(self) -> ProviderFactory:
        from orchestrator.providers.openai.openai_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _azure(self) -> ProviderFactory:
        from orchestrator.providers.azure.azure_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact, self._load_secret)

    @cached_property
    def _nebius(self) -> ProviderFactory:
        from orchestrator.providers.nebius.nebius_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _together(self) -> ProviderFactory:
        from orchestrator.providers.together.together_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _fireworks(self) -> ProviderFactory:
        from orchestrator.providers.fireworks.fireworks_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _dashscope(self) -> ProviderFactory:
        from orchestrator.providers.dashscope.dashscope_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _vertex(self) -> ProviderFactory:
        from orchestrator.providers.vertex.vertex_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)

    @cached_property
    def _bedrock(self) -> ProviderFactory:
        from orchestrator.providers.bedrock.bedrock_provider import build_provider_factory

        return build_provider_factory(self._http, self._redact)


async def _refuse_secret(reference: str) -> Secret:
    """Raise TemporaryError: this command has no way to read secrets."""
    raise TemporaryError("this command reads no secrets besides the API keys of the accounts")


def import_http_stack() -> None:
    """Import the HTTP client and the REST dialects' base, 0.3 s, so that a thread can do it while others wait."""
    from orchestrator.providers.http import rest_client  # noqa: F401
