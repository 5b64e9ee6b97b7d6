"""The contract of deployments at all providers that have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure_deployment_bench import AzureDeploymentBench, AzureStandardBench
from dashscope_deployment_bench import DashScopeDeploymentBench, DashScopeHourlyDeploymentBench
from deployment_bench import BedrockDeploymentBench, DeploymentBench, FireworksDeploymentBench
from deployment_contract import DeploymentContract
from nebius_deployment_bench import NebiusDeploymentBench
from together_deployment_bench import TogetherDeploymentBench

from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS


def test_every_kind_at_every_provider_passes_the_contract(tmp_path: Path) -> None:
    """Fails for a kind of deployment without a bench, or whose bench no class of this file runs the contract on."""
    suites = [each for each in globals().values() if isinstance(each, type) and DeploymentContract in each.__bases__]
    benches = [suite.bench.__wrapped__(None, tmp_path) for suite in suites]  # type: ignore[attr-defined]
    tested = {(bench.inner.name, bench.kind) for bench in benches}
    assert tested == {(name, kind) for name, offer in DEPLOYMENT_OFFERS.items() for kind in offer.kinds}


class TestFireworks(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return FireworksDeploymentBench(tmp_path)


class TestBedrock(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return BedrockDeploymentBench(tmp_path)


class TestTogether(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return TogetherDeploymentBench(tmp_path)


class TestDashScope(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return DashScopeDeploymentBench(tmp_path)


class TestDashScopeByTheHour(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return DashScopeHourlyDeploymentBench(tmp_path)


class TestAzureDeveloper(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return AzureDeploymentBench(tmp_path)


class TestAzureStandard(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return AzureStandardBench(tmp_path)


class TestNebius(DeploymentContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> DeploymentBench:
        return NebiusDeploymentBench(tmp_path)
