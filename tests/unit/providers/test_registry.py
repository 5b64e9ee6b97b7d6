"""The registry of provider code connects every provider and imports only the dialects that are used."""

from __future__ import annotations

import subprocess
import sys

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.registry import ProviderRegistry

CONNECT_TOGETHER = """
import sys, httpx2
from orchestrator.core.account import ProviderName
from orchestrator.core.secret import Redactor
from orchestrator.providers.registry import ProviderRegistry
ProviderRegistry(httpx2.AsyncClient(), Redactor()).get_factory(ProviderName.TOGETHER)
print("openai" in sys.modules)
"""


def registry() -> ProviderRegistry:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(500))
    return ProviderRegistry(HttpClient(transport), Redactor())


@pytest.mark.parametrize("name", ProviderName)
def test_every_provider_has_a_factory_whose_capabilities_are_registered(name: ProviderName) -> None:
    account = Account(
        name="a", provider=name, api_key="env:KEY", base_url="https://host.example/v1", organization="o"
    )
    provider = registry().get_factory(name)(account, Secret("sk-1234567890"))
    assert provider.capabilities is PROVIDERS[name].capabilities


def test_accounts_of_one_dialect_share_one_factory() -> None:
    factories = registry()
    assert factories.get_factory(ProviderName.OPENAI) is factories.get_factory(ProviderName.OPENAI_COMPATIBLE)
    assert factories.get_factory(ProviderName.TOGETHER) is not factories.get_factory(ProviderName.FIREWORKS)


def test_openai_sdk_is_not_imported_for_other_dialects() -> None:
    done = subprocess.run([sys.executable, "-c", CONNECT_TOGETHER], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
