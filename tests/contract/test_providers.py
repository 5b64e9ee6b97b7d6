"""The contract of all six providers, and what is particular to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_bench import (
    AzureBench,
    Bench,
    CompatibleBench,
    FireworksBench,
    NebiusBench,
    OpenAIBench,
    TogetherBench,
)
from provider_contract import ProviderContract


class TestOpenAI(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return OpenAIBench(tmp_path)


class TestCompatible(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return CompatibleBench(tmp_path)


class TestAzure(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return AzureBench(tmp_path)


class TestNebius(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return NebiusBench(tmp_path)


class TestTogether(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return TogetherBench(tmp_path)


class TestFireworks(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return FireworksBench(tmp_path)
