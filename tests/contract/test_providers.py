"""The contract of all providers, and what is particular to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_bench import (
    AzureBench,
    BedrockBench,
    CompatibleBench,
    DashScopeBench,
    FireworksBench,
    MantleBench,
    NebiusBench,
    OpenAIBench,
    ProviderBench,
    TogetherBench,
    VertexBench,
)
from provider_contract import ProviderContract

from orchestrator.core.account import ProviderName


def test_every_provider_passes_the_contract() -> None:
    """Fails for a provider that has no bench, or whose bench no class of this file runs the contract on."""
    suites = [each for each in globals().values() if isinstance(each, type) and ProviderContract in each.__bases__]
    tested = {suite.bench.__wrapped__(None, Path()).name for suite in suites}  # type: ignore[attr-defined]
    assert tested == set(ProviderName)


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


class TestDashScope(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return DashScopeBench(tmp_path)


class TestMantle(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return MantleBench(tmp_path)


class TestVertex(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return VertexBench(tmp_path)


class TestBedrock(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        return BedrockBench(tmp_path)
