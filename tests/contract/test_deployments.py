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
