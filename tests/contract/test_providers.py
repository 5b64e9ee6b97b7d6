"""The contract of all six providers, and what is particular to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_bench import (
    AzureBench,
    CompatibleBench,
    FireworksBench,
    NebiusBench,
    OpenAIBench,
    ProviderBench,
    TogetherBench,
)
from provider_contract import ProviderContract


class TestOpenAI(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return OpenAIBench(tmp_path)


class TestCompatible(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return CompatibleBench(tmp_path)


class TestAzure(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return AzureBench(tmp_path)


class TestNebius(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return NebiusBench(tmp_path)


class TestTogether(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return TogetherBench(tmp_path)


class TestFireworks(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return FireworksBench(tmp_path)
