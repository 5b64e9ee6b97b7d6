"""What is particular to DashScope: suffixes that are hashes and taken by anybody, a capacity without a meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from dashscope_deployment_bench import DashScopeDeploymentBench, DashScopeHourlyDeploymentBench
from deployment_contract import find
from fake_dashscope_deployments import FakeDeployment

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import DeploymentNameTaken, DeploymentNotReady, RequestRejected, UnknownOutcome
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.dashscope.dashscope_provider import DashScopeProvider, build_provider_factory
from orchestrator.providers.http.client import HttpClient
from orchestrator.sandbox import Fault

CREATE = ("deployments.create",)


@pytest.fixture
def bench(tmp_path: Path) -> DashScopeDeploymentBench:
    return DashScopeDeploymentBench(tmp_path)


@pytest.fixture
def hourly(tmp_path: Path) -> DashScopeHourlyDeploymentBench:
    return DashScopeHourlyDeploymentBench(tmp_path)


async def test_deployment_per_token_always_sends_a_capacity(bench: DashScopeDeploymentBench) -> None:
    order, made = await bench.created(bench.provider())
    [deployment] = bench.fake.of().values()
    assert deployment.body == {
        "model_name": order.model,
        "plan": "lora",
        "capacity": 1,
        "suffix": order.name,
        "name": "orch-0123456789abcdef-0",
    }
    assert (len(order.name), made.id) == (8, f"{order.model}-{order.name}")
    assert (made.model_string, made.base_url) == (made.id, "http://localhost/compatible-mode/v1")
    assert (made.usd_per_hour, made.request_id is not None) == (0, True)


@pytest.mark.parametrize(("hardware", "replicas", "capacity"), [("MU1", None, 4), ("MU1", 2, 8), ("MU5", 3, 3)])
async def test_capacity_by_the_hour_is_a_multiple_of_the_units_of_an_instance(
    hourly: DashScopeHourlyDeploymentBench, hardware: str, replicas: int | None, capacity: int
) -> None:
    """The fake refuses any other number, as the provider does."""
    provider = hourly.provider()
    order = await hourly.order(provider, hardware=hardware, min_replicas=replicas)
    made = await provider.create_deployment(order, hourly.deadline())
    [deployment] = hourly.fake.of().values()
    sent = {name: deployment.body[name] for name in ("plan", "capacity", "deploy_spec", "billing_method")}
    assert sent == {"plan": "mu", "capacity": capacity, "deploy_spec": hardware, "billing_method": "POST_PAY"}
    assert made.usd_per_hour is None
    hourly.now += hourly.start_seconds
    assert (await provider.get_deployment(made.id)).ready_replicas == (replicas or 1)


async def test_unknown_size_is_refused_by_the_provider(hourly: DashScopeHourlyDeploymentBench) -> None:
    provider = hourly.provider()
    order = await hourly.order(provider, hardware="MU77")
    with pytest.raises(RequestRejected, match="deploy_spec"):
        await provider.create_deployment(order, hourly.deadline())


async def test_plans_of_fine_tuned_models_decide(bench: DashScopeDeploymentBench) -> None:
    provider = bench.provider()
    options = await provider.list_deployment_options("qwen3-14b")
    assert options is not None
    shown = [(each.price.kind, each.hardware, each.price.usd_per_hour) for each in options]
    assert shown == [
        (DeploymentKind.TOKEN, None, 0),
        (DeploymentKind.HOUR, "MU1", None),
        (DeploymentKind.HOUR, "MU5", None),
    ]
    assert await provider.list_deployment_options("qwen3-32b") is None, "it may have `lora` once it is fine-tuned"
    assert await provider.list_deployment_options("qwen3-8b") is None
    await bench.inner.job(provider, base_model="qwen3-32b")
    bench.now += 100
    options = await provider.list_deployment_options("qwen3-32b")
    assert options is not None
    assert [(each.price.kind, each.hardware) for each in options] == [(DeploymentKind.HOUR, "MU1")]


async def test_plans_that_an_older_server_does_not_show_are_unknown(bench: DashScopeDeploymentBench) -> None:
    bench.fake.shows_plans_of_models = False
    provider = bench.provider()
    await bench.created(provider)
    assert await provider.list_deployment_options("qwen3-14b") is None


async def test_base_model_without_the_plan_is_refused(bench: DashScopeDeploymentBench) -> None:
    provider = bench.provider()
    job = await bench.inner.job(provider, base_model="qwen3-32b")
    bench.now += 1000
    model = (await provider.get_job(job.id)).fine_tuned_model
    order = await bench.order(provider, model=model)
    with pytest.raises(RequestRejected, match="plan lora is not supported"):
        await provider.create_deployment(order, bench.deadline())
    assert bench.existing() == {}


@pytest.mark.parametrize("accepts_name", [True, False])
async def test_display_name_is_left_out_where_it_is_refused(
    bench: DashScopeDeploymentBench, *, accepts_name: bool
) -> None:
    bench.fake.accepts_name = accepts_name
    await bench.created(bench.provider())
    [deployment] = bench.fake.of().values()
    assert ("name" in deployment.body) is accepts_name


async def test_display_name_that_is_shown_carries_the_tag(bench: DashScopeDeploymentBench) -> None:
    bench.fake.shows_name = True
    provider = bench.provider()
    order, made = await bench.created(provider)
    [listed] = await provider.list_own_deployments()
    assert (listed.id, listed.tag) == (made.id, order.tag)


async def test_suffix_of_another_customer_is_reported_with_what_to_do(bench: DashScopeDeploymentBench) -> None:
    provider = bench.provider()
    order = await bench.order(provider)
    bench.fake.taken_suffixes.add(order.name)
    for status in (409, 400):
        bench.fake.conflict_status = status
        with pytest.raises(DeploymentNameTaken, match="is used by somebody else") as caught:
            await provider.create_deployment(order, bench.deadline())
        assert "Request the deployment again" in caught.value.hint
    again = await bench.order(provider, "0123456789abcdef.1", order.model)
    await provider.create_deployment(again, bench.deadline())


async def test_suffix_in_another_account_is_taken_too(bench: DashScopeDeploymentBench) -> None:
    """The same plan in two accounts has two job ids, and so two suffixes; the same suffix is refused."""
    await bench.created(bench.provider())
    provider = bench.provider("globex")
    order = await bench.order(provider)
    with pytest.raises(DeploymentNameTaken):
        await provider.create_deployment(order, bench.deadline())


async def test_lost_create_is_found_where_the_name_is_built_otherwise(bench: DashScopeDeploymentBench) -> None:
    bench.fake.separator = "-ds-"
    provider = bench.provider()
    order = await bench.order(provider)
    bench.faults(Fault("lose_answer", operations=CREATE, times=1))
    with pytest.raises(UnknownOutcome):
        await provider.create_deployment(order, bench.deadline())
    found = await find(provider, order)
    assert found is not None
    assert found.id == f"{order.model}-ds-{order.name}"


async def test_price_of_a_plan_that_is_not_shown_is_unknown(bench: DashScopeDeploymentBench) -> None:
    bench.fake.shows_plan = False
    provider = bench.provider()
    _, made = await bench.created(provider)
    assert made.usd_per_hour == 0, "the order fixes the plan"
    assert (await provider.get_deployment(made.id)).usd_per_hour is None


async def test_deletion_takes_a_while_and_is_not_repeated(bench: DashScopeDeploymentBench) -> None:
    provider = bench.provider()
    order, made = await bench.created(provider)
    await provider.remove_deployment(made)
    deleting = await find(provider, order)
    assert deleting is not None
    assert (deleting.status, deleting.raw_status) == (RemoteDeploymentStatus.STOPPING, "DELETING")
    await provider.remove_deployment(deleting)
    assert bench.fake.world.counts["deployments.delete", "200"] == 1
    bench.now += bench.removal_seconds
    assert await find(provider, order) is None


async def test_running_deployment_may_not_answer_yet(bench: DashScopeDeploymentBench) -> None:
    bench.fake.answer_seconds = 60
    provider = bench.provider()
    _, made = await bench.created(provider)
    bench.now += bench.fake.start_seconds
    running = await provider.get_deployment(made.id)
    assert running.status is RemoteDeploymentStatus.RUNNING
    with pytest.raises(DeploymentNotReady, match="404 model_not_found"):
        await provider.call_deployment(running)
    bench.now += 60
    await provider.call_deployment(running)


async def test_other_deployments_of_the_account_are_not_ours(bench: DashScopeDeploymentBench) -> None:
    provider = bench.provider()
    body: dict[str, Any] = {"model_name": "qwen3-14b", "plan": "mu", "capacity": 4}
    for name in ("qwen3-14b", "qwen3-14b-prod", "qwen3-14b-1234567G"):
        bench.fake.of()[name] = FakeDeployment(name, body, bench.now, bench.now)
    assert await provider.list_own_deployments() == []


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (None, "https://dashscope-intl.aliyuncs.com"),
        ("https://dashscope.aliyuncs.com/api/v1", "https://dashscope.aliyuncs.com"),
        ("https://ws-1.cn-beijing.maas.aliyuncs.com", "https://ws-1.cn-beijing.maas.aliyuncs.com"),
    ],
)
async def test_deployment_is_called_at_the_site_of_its_account(base_url: str | None, address: str) -> None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if request.url.path.endswith("/chat/completions"):
            return httpx2.Response(200, json={"choices": [{"message": {"content": "H"}}]})
        return httpx2.Response(200, json={"output": {"deployed_model": "m-1", "status": "RUNNING"}})

    account = Account(
        name="acme", provider=ProviderName.DASHSCOPE, api_key="env:KEY", base_url=base_url, project="ws-1"
    )
    provider = build_provider_factory(HttpClient(httpx2.MockTransport(answer)), Redactor())(account, Secret("key"))
    assert isinstance(provider, DashScopeProvider)
    remote: RemoteDeployment = await provider.get_deployment("m-1")
    assert (remote.base_url, remote.model) == (f"{address}/compatible-mode/v1", "")
    await provider.call_deployment(replace(remote))
    control, call = requests
    assert str(control.url) == f"{address}/api/v1/deployments/m-1"
    assert str(call.url) == f"{address}/compatible-mode/v1/chat/completions"
    assert call.headers["x-dashscope-workspace"] == "ws-1"


def test_name_is_a_hash_that_fits() -> None:
    """The service's checks: at most eight characters, lower case."""
    names = {format_deployment_name(f"{n:016x}.{n}", 8) for n in range(1000)}
    assert len(names) == 1000
    assert all(len(name) == 8 and name == name.lower() and name.isalnum() for name in names)


@pytest.mark.parametrize(
    "change", [{"capacity": None}, {"suffix": "ninechars"}, {"suffix": "UPPER"}, {"suffix": None}]
)
async def test_fake_refuses_what_the_provider_refuses(
    bench: DashScopeDeploymentBench, change: dict[str, Any]
) -> None:
    order, _ = await bench.created(bench.provider())
    body = {"model_name": order.model, "plan": "lora", "capacity": 1, "suffix": "other"} | change
    sent = {name: value for name, value in body.items() if value is not None}
    headers = {"authorization": "Bearer sandbox-acme"}
    url = "http://localhost/api/v1/deployments"
    first = await bench.inner.http.send("POST", url, headers, json=sent)
    second = await bench.inner.http.send("POST", url, headers, json=sent)
    codes = [answer.status for answer in (first, second)]
    assert codes == ([200, 409] if change == {"suffix": None} else [400, 400])
