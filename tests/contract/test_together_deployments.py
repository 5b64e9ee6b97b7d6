"""What is particular to Together: two objects, configs of other projects, stop before delete, etags, lost options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_together_deployments import FakeTogetherDeployments, model_object_id
from provider_bench import TogetherBench

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.remote_deployment import select_remote_deployment as select
from orchestrator.core.errors import (
    DeploymentNameTaken,
    DeploymentNotReady,
    ProviderUnavailable,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.base import DeploymentOrder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.together.deployments import TogetherDeployments
from orchestrator.providers.together.together_provider import TogetherProvider, build_provider_factory
from orchestrator.sandbox import Fault

TAG = "0123456789abcdef.2"
NAME = "orch-0123456789abcdef-2"
SPEC = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2)
HOUR = 3600


class Together:
    """One account with a finished fine-tune, and its fake."""

    def __init__(self, folder: Path) -> None:
        self.bench = TogetherBench(folder)
        self.fake: FakeTogetherDeployments = self.bench.wire.app.state.deployments  # type: ignore[attr-defined]
        provider = self.bench.provider()
        assert isinstance(provider, TogetherProvider)
        self.provider = provider
        self.model = ""

    async def train(self, base_model: str = "") -> None:
        job = await self.bench.job(self.provider, **({"base_model": base_model} if base_model else {}))
        self.bench.now += 100
        self.model = (await self.provider.get_job(job.id)).fine_tuned_model or ""
        assert self.model

    def order(self, tag: str = TAG, **options: Any) -> DeploymentOrder:
        return DeploymentOrder(
            tag=tag,
            name=format_deployment_name(tag),
            model=self.model,
            base_model=self.bench.base_model,
            spec=replace(SPEC, **options),
            expires_at=self.bench.now + 2 * HOUR,
        )

    async def create(self, **options: Any) -> RemoteDeployment:
        return await self.provider.create_deployment(self.order(**options), self.bench.deadline())

    async def find(self, **options: Any) -> RemoteDeployment | None:
        order = self.order(**options)
        search = await self.provider.find_deployments(order)
        return select(order.tag, order.model, search.found, named=search.named).chosen

    async def ready(self, **options: Any) -> RemoteDeployment:
        made = await self.create(**options)
        self.bench.now += self.fake.start_seconds
        self.fake.warm_calls = 0
        return await self.provider.get_deployment(made.id)

    def bodies(self) -> list[dict[str, Any]]:
        return [each.body for each in self.fake.deployments()]


@pytest.fixture
async def together(tmp_path: Path) -> Together:
    made = Together(tmp_path)
    await made.train()
    return made


async def test_deployment_serves_the_object_of_the_model_and_is_called_by_its_full_name(together: Together) -> None:
    made = await together.create()
    [body] = together.bodies()
    [job] = together.bench.world.account("acme").jobs.values()
    assert body["model"] == f"projects/proj_acme/models/ml_{job.id[3:15].replace('-', '')}/revisions/rv_1"
    assert body["name"] == NAME
    assert made.model_string == f"acme-project/{NAME}/{NAME}"
    assert (made.base_url, made.model, made.tag) == ("http://localhost/v1", together.model, TAG)
    assert (made.status, made.raw_status) == (RemoteDeploymentStatus.CREATING, "PROVISIONING")
    assert made.created_at == together.bench.now
    together.bench.now += together.fake.start_seconds
    ready = await together.provider.get_deployment(made.id)
    assert (ready.status, ready.ready_replicas) == (RemoteDeploymentStatus.RUNNING, 1)
    with pytest.raises(DeploymentNotReady, match="503 routing_error"):
        await together.provider.call_deployment(ready)
    await together.provider.call_deployment(ready)
    assert together.fake.served == [body["model"]]


async def test_deployment_is_called_at_the_address_of_dedicated_deployments() -> None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={"choices": [{"message": {"content": "H"}}]})

    connect = build_provider_factory(HttpClient(httpx2.MockTransport(answer)), Redactor())
    account = Account(name="acme", provider=ProviderName.TOGETHER, api_key="env:KEY")
    provider = connect(account, Secret("key-of-acme"))
    assert isinstance(provider, TogetherDeployments)
    remote = RemoteDeployment(
        id="ep/dep", status=RemoteDeploymentStatus.RUNNING, raw_status="READY", model="m", model_string="a/b/c"
    )
    await provider.call_deployment(remote)
    assert str(requests[0].url) == "https://api-inference.together.ai/v1/chat/completions"
    assert requests[0].headers["authorization"] == "Bearer key-of-acme"


async def test_endpoint_without_a_weight_serves_nothing(together: Together) -> None:
    """Why the complete name is used: through the endpoint a deployment that is READY answers 503."""
    ready = await together.ready()
    through_endpoint = replace(ready, model_string=f"acme-project/{NAME}")
    with pytest.raises(DeploymentNotReady, match="routing_error"):
        await together.provider.call_deployment(through_endpoint)
    await together.provider.call_deployment(ready)


async def test_version_1_of_endpoints_is_closed(together: Together) -> None:
    headers = {"authorization": "Bearer sandbox-acme"}
    answer = await together.bench.http.send("POST", "http://localhost/v1/endpoints", headers, json={})
    assert (answer.status, b"endpoints_v1_create_access_disabled" in answer.content) == (403, True)


async def test_options_are_the_configs_of_the_base_model_with_prices_and_precision(together: Together) -> None:
    options = await together.provider.list_deployment_options(together.bench.base_model)
    assert options is not None
    shown = [(each.config, each.hardware, each.precision, each.price.usd_per_hour) for each in options]
    assert shown == [
        ("cr_h200", "nvidia-h200-140gb", "BF16", 4.99),
        ("cr_h100", "nvidia-h100-80gb", "FP8", 3.99),
        ("cr_2h100", "2xnvidia-h100-80gb", "BF16", 7.98),
    ]
    assert {each.price.kind for each in options} == {DeploymentKind.HOUR}


async def test_base_model_without_configs_cannot_be_served(together: Together) -> None:
    assert await together.provider.list_deployment_options("google/gemma-3-27b-it") == []


@pytest.mark.parametrize("model", ["someone/else", "openai/gpt-oss-20b"])
async def test_base_model_without_a_reference_is_unknown_and_not_refused(together: Together, model: str) -> None:
    assert await together.provider.list_deployment_options(model) is None


async def test_model_without_a_config_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    together = Together(tmp_path)
    await together.train("google/gemma-3-27b-it")
    with pytest.raises(RequestRejected, match="Together has no config for"):
        await together.create()
    assert together.fake.endpoints.get("acme", {}) == {}


@pytest.mark.parametrize(
    ("options", "config", "price"),
    [
        ({}, "cr_h100", 3.99),  # the cheapest
        ({"config": "cr_2h100"}, "cr_2h100", 7.98),
        ({"config": "projects/proj_together/configs/cr_h200"}, "cr_h200", 4.99),
        ({"hardware": "nvidia-h200-140gb"}, "cr_h200", 4.99),
        ({"precision": "BF16"}, "cr_h200", 4.99),
        ({"precision": "BF16", "hardware": "2xnvidia-h100-80gb"}, "cr_2h100", 7.98),
    ],
)
async def test_config_of_another_project_is_chosen_by_the_options(
    together: Together, options: dict[str, Any], config: str, price: float
) -> None:
    made = await together.create(**options)
    [body] = together.bodies()
    assert body["config"] == f"projects/proj_together/configs/{config}"
    assert made.usd_per_hour == price
    assert made.price_source is not None
    assert config in made.price_source


@pytest.mark.parametrize("options", [{"config": "cr_none"}, {"hardware": "b200"}, {"precision": "INT4"}])
async def test_options_that_no_config_has_are_refused_with_the_known_ones(
    together: Together, options: dict[str, Any]
) -> None:
    with pytest.raises(RequestRejected, match="known: cr_h200 nvidia-h200-140gb"):
        await together.create(**options)
    assert together.fake.endpoints.get("acme", {}) == {}


@pytest.mark.parametrize(
    ("options", "replicas"),
    [({}, (1, 1)), ({"min_replicas": 2}, (2, 2)), ({"max_replicas": 3}, (1, 3)), ({"min_replicas": 0}, (1, 1))],
)
async def test_replicas_are_never_below_one(
    together: Together, options: dict[str, Any], replicas: tuple[int, int]
) -> None:
    """The fake refuses 0 as the provider does, unless both are 0."""
    await together.create(**options)
    [body] = together.bodies()
    assert (body["autoscaling"]["minReplicas"], body["autoscaling"]["maxReplicas"]) == replicas


async def test_fake_refuses_a_minimum_of_zero(together: Together) -> None:
    made = await together.create()
    endpoint_id, _, deployment_id = made.id.partition("/")
    url = f"http://localhost/v2/projects/proj_acme/endpoints/{endpoint_id}/deployments/{deployment_id}"
    body = {"autoscaling": {"minReplicas": 0, "maxReplicas": 1}}
    headers = {"authorization": "Bearer sandbox-acme"}
    assert (await together.bench.http.send("PATCH", url, headers, json=body)).status == 400


@pytest.mark.parametrize("kept", [True, False])
async def test_idle_stop_is_sent_and_read_back(together: Together, *, kept: bool) -> None:
    together.fake.keeps_idle_stop = kept
    made = await together.create(idle_stop_minutes=45)
    [body] = together.bodies()
    assert body.get("inactiveTimeout") == (45 if kept else None)
    assert (made.warning is None) is kept
    assert kept or "Together has not kept idle_stop_minutes" in (made.warning or "")


async def test_lost_answer_of_either_create_leads_to_one_deployment(together: Together) -> None:
    for operation in ("endpoints.create", "deployments.create"):
        together.bench.faults(Fault("lose_answer", operations=(operation,), times=1))
        assert await together.find() is None
        with pytest.raises(UnknownOutcome):
            await together.create()
    together.bench.faults()
    found = await together.find()
    assert found is not None
    assert found.usd_per_hour == 3.99
    assert len(together.fake.endpoints["acme"]) == len(together.fake.deployments()) == 1


async def test_name_that_is_taken_meanwhile_is_looked_up(together: Together) -> None:
    """Two processes create at once: the second one finds no endpoint yet, and then the names taken."""
    made = await together.create()

    def hide_all(request: httpx2.Request, body: Any) -> Any:
        hidden = (
            request.url.path.endswith("/endpoints") and not together.bench.world.counts["endpoints.create", "409"]
        )
        return body | {"data": []} if hidden else body

    with together.bench.changing(hide_all):
        assert (await together.create()).id == made.id
    counts = together.bench.world.counts
    assert (counts["endpoints.create", "409"], counts["deployments.create", "409"]) == (1, 1)
    assert len(together.fake.deployments()) == 1


async def test_surplus_of_a_server_that_allows_repeated_names_is_found(together: Together) -> None:
    first = await together.create()
    [endpoint] = together.fake.endpoints["acme"].values()
    [deployment] = together.fake.deployments()
    together.bench.now += 5
    endpoint.deployments["dep_2"] = replace(deployment, id="dep_2", created_at=together.bench.now)
    order = together.order()
    search = await together.provider.find_deployments(order)
    matches = select(order.tag, order.model, search.found, named=search.named)
    assert matches.chosen is not None
    assert matches.chosen.id == first.id
    assert [each.id for each in matches.surplus] == [f"{endpoint.id}/dep_2"]


async def test_refused_deployment_leaves_no_endpoint(together: Together) -> None:
    together.bench.faults(Fault("quota", operations=("deployments.create",)))
    with pytest.raises(Exception, match="402 insufficient_quota"):
        await together.create()
    assert together.fake.endpoints["acme"] == {}


async def test_endpoint_of_an_earlier_create_is_kept_when_the_deployment_is_refused(together: Together) -> None:
    together.bench.faults(Fault("lose_answer", operations=("endpoints.create",), times=1))
    with pytest.raises(UnknownOutcome):
        await together.create()
    together.bench.faults(Fault("rate_limit", operations=("deployments.create",)))
    with pytest.raises(RateLimited):
        await together.create()
    assert len(together.fake.endpoints["acme"]) == 1


async def test_name_with_another_model_is_not_used(together: Together) -> None:
    await together.create()
    await together.train()
    with pytest.raises(DeploymentNameTaken, match="serves projects/proj_acme/models/ml_"):
        await together.find()


async def test_foreign_deployment_in_an_endpoint_with_our_name_is_not_used(together: Together) -> None:
    made = await together.create()
    [deployment] = together.fake.deployments()
    deployment.name = "mine"
    with pytest.raises(DeploymentNameTaken):
        await together.find()
    assert [each.id for each in await together.provider.list_own_deployments()] == []
    assert made.id.endswith(deployment.id)


async def test_deployment_is_found_when_its_fine_tune_was_deleted(together: Together) -> None:
    """Its name is not known any more, so the tag decides: otherwise it could never be removed."""
    made = await together.create()
    together.bench.world.account("acme").jobs.clear()
    found = await together.find()
    assert found is not None
    assert found.id == made.id


async def test_removal_stops_then_deletes_both_objects(together: Together) -> None:
    ready = await together.ready()
    await together.provider.remove_deployment(ready)
    stopping = await together.find()
    assert stopping is not None
    assert stopping.status is RemoteDeploymentStatus.STOPPING
    await together.provider.remove_deployment(stopping)
    assert len(together.fake.deployments()) == 1, "a deployment that is stopping is not deleted"
    together.bench.now += together.fake.start_seconds
    stopped = await together.find()
    assert stopped is not None
    assert stopped.status is RemoteDeploymentStatus.STOPPED
    await together.provider.remove_deployment(stopped)
    assert together.fake.endpoints["acme"] == {}
    assert await together.find() is None
    await together.provider.remove_deployment(stopped)
    with pytest.raises(RemoteNotFound):
        await together.provider.get_deployment(ready.id)


async def test_removal_leaves_the_traffic_split_and_the_endpoint_of_others(together: Together) -> None:
    ready = await together.ready()
    [endpoint] = together.fake.endpoints["acme"].values()
    own_id = ready.id.partition("/")[2]
    own = endpoint.deployments[own_id]
    other = replace(own, id="dep_other", name="mine", body={**own.body})
    endpoint.deployments["dep_other"] = other
    endpoint.split = [{"deploymentId": own_id, "weight": 2.0}, {"deploymentId": "dep_other", "weight": 1.0}]
    await together.provider.remove_deployment(ready)
    together.bench.now += together.fake.start_seconds
    await together.provider.remove_deployment(ready)
    assert [each.id for each in together.fake.deployments()] == ["dep_other"]
    assert endpoint.split == [{"deploymentId": "dep_other", "weight": 1.0}]
    assert other.replicas == 1


async def test_stale_etag_is_tried_again_later(together: Together) -> None:
    """Somebody changed the deployment between our read and our update."""
    ready = await together.ready()

    def make_stale(request: httpx2.Request, body: Any) -> Any:
        return body | {"etag": "e0"} if "etag" in body else body

    with together.bench.changing(make_stale), pytest.raises(ProviderUnavailable, match="etag does not match"):
        await together.provider.remove_deployment(ready)
    [deployment] = together.fake.deployments()
    assert deployment.replicas == 1
    await together.provider.remove_deployment(ready)
    assert deployment.replicas == 0


async def test_deployment_that_failed_after_six_hours_is_stopped_and_deleted(together: Together) -> None:
    together.fake.creates_stuck = True
    made = await together.create()
    together.bench.now += 6 * HOUR - 1
    assert (await together.provider.get_deployment(made.id)).status is RemoteDeploymentStatus.CREATING
    together.bench.now += 1
    failed = await together.provider.get_deployment(made.id)
    assert (failed.status, failed.message) == (RemoteDeploymentStatus.FAILED, "not ready within six hours")
    for _ in range(2):
        await together.provider.remove_deployment(failed)
        together.bench.now += together.fake.start_seconds
    assert together.fake.endpoints["acme"] == {}


async def test_degraded_deployment_has_its_reason_and_can_be_called(together: Together) -> None:
    together.fake.creates_degraded = True
    degraded = await together.ready()
    assert (degraded.status, degraded.message) == (RemoteDeploymentStatus.DEGRADED, "insufficient GPU capacity")
    await together.provider.call_deployment(degraded)


async def test_own_deployments_are_listed_over_pages_with_their_price(together: Together) -> None:
    for number in range(3):
        await together.create(tag=f"0123456789abcde{number}.0")
    together.fake.page_size = 1
    headers = {"authorization": "Bearer sandbox-acme"}
    url = "http://localhost/v2/projects/proj_acme/endpoints"
    assert (await together.bench.http.send("POST", url, headers, json={"name": "mine"})).is_success
    listed = await together.provider.list_own_deployments()
    assert sorted(str(each.tag) for each in listed) == [f"0123456789abcde{number}.0" for number in range(3)]
    assert {each.usd_per_hour for each in listed} == {3.99}
    assert await together.find(tag="0123456789abcde2.0") is not None


async def test_list_that_repeats_itself_is_an_error(together: Together) -> None:
    await together.create()

    def repeat(request: httpx2.Request, body: Any) -> Any:
        return body | {"next_cursor": "cursor-0"} if "next_cursor" in body else body

    with together.bench.changing(repeat), pytest.raises(ProviderUnavailable, match="repeats itself"):
        await together.provider.list_own_deployments()


async def test_key_of_an_organization_needs_a_project(together: Together) -> None:
    def hide_project(request: httpx2.Request, body: Any) -> Any:
        return {name: value for name, value in body.items() if name != "project"}

    with together.bench.changing(hide_project), pytest.raises(RequestRejected) as caught:
        await together.find()
    assert "`project`" in caught.value.hint


async def test_owner_that_is_not_found_is_no_missing_deployment(together: Together) -> None:
    """Otherwise two polls with a gateway that hides /whoami would end a deployment that is billed."""
    made = await together.create()
    restarted = together.bench.provider()
    assert isinstance(restarted, TogetherProvider)
    with (
        together.bench.answering("404 page not found", status=404),
        pytest.raises(ProviderUnavailable, match="does not name the project"),
    ):
        await restarted.get_deployment(made.id)


async def test_prices_that_cannot_be_read_are_unknown(together: Together) -> None:
    def hide_prices(request: httpx2.Request, body: Any) -> Any:
        return body | {"data": []} if request.url.path.endswith("instance-types") else body

    with together.bench.changing(hide_prices):
        made = await together.create()
    assert made.usd_per_hour is None


@pytest.mark.parametrize("form", ["{id}", "{id}/revisions/rv_7", "projects/proj_acme/models/{id}/revisions/rv_7"])
async def test_model_may_be_an_object_of_the_project(together: Together, form: str) -> None:
    """A checkpoint has no name, only an object or a revision of one."""
    [job] = together.bench.world.account("acme").jobs.values()
    together.model = form.format(id=model_object_id(job))
    made = await together.create()
    [body] = together.bodies()
    revision = "rv_7" if "rv_7" in form else "rv_latest"
    assert body["model"] == f"projects/proj_acme/models/{model_object_id(job)}/revisions/{revision}"
    found = await together.find()
    assert found is not None
    assert (found.id, found.model) == (made.id, together.model)


async def test_another_revision_of_the_model_is_another_model(together: Together) -> None:
    [job] = together.bench.world.account("acme").jobs.values()
    together.model = f"{model_object_id(job)}/revisions/rv_7"
    await together.create()
    together.model = f"{model_object_id(job)}/revisions/rv_8"
    with pytest.raises(DeploymentNameTaken, match="rv_7"):
        await together.find()
