"""What is particular to Nebius: names with a random end in encoded paths, custom models that exist or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from deployment_contract import find
from nebius_deployment_bench import NebiusDeploymentBench

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeploymentStatus, select_remote_deployment
from orchestrator.core.errors import DeploymentNotReady, ProviderUnavailable, RequestRejected, UnknownOutcome
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.nebius.nebius_provider import NebiusProvider, build_provider_factory
from orchestrator.sandbox import Fault

NAME = "orch-0123456789abcdef-0"


@pytest.fixture
def bench(tmp_path: Path) -> NebiusDeploymentBench:
    return NebiusDeploymentBench(tmp_path)


async def test_custom_model_serves_the_checkpoint_of_the_job(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order, made = await bench.created(provider)
    [model] = bench.fake.of().values()
    job_id, _, checkpoint = model.body["source"].partition(":")
    assert checkpoint == order.model
    assert (await provider.get_job(job_id)).fine_tuned_model == checkpoint
    assert model.body["name"] == NAME
    assert model.body["base_model"] == bench.inner.base_model
    assert made.id.startswith(f"{bench.inner.base_model}-fast-LoRa:{NAME}-")
    assert (made.model_string, made.base_url, made.usd_per_hour) == (made.id, "http://localhost/v1", 0)
    assert made.created_at == int(model.created_at)
    bench.now += bench.start_seconds
    await provider.call_deployment(await provider.get_deployment(made.id))
    assert bench.fake.served == [model.body["source"]]


@pytest.mark.parametrize("base_model", ["", "meta-llama/Llama-3.1-8B-Instruct"])
async def test_base_model_is_that_of_the_job_where_the_record_knows_none(
    bench: NebiusDeploymentBench, base_model: str
) -> None:
    provider = bench.provider()
    order = replace(await bench.order(provider), base_model=base_model)
    await provider.create_deployment(order, bench.deadline())
    [model] = bench.fake.of().values()
    assert model.body["base_model"] == bench.inner.base_model


async def test_checkpoint_may_be_named_with_its_job(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order, _ = await bench.created(provider)
    [model] = bench.fake.of().values()
    named = await bench.order(provider, model=model.body["source"])
    assert await find(provider, named) is not None
    await provider.create_deployment(named, bench.deadline())
    assert [each.body["source"] for each in bench.fake.of().values()] == [model.body["source"]] * 2
    assert order.model in model.body["source"]


async def test_name_is_one_encoded_part_of_the_path() -> None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if request.url.path.endswith("/chat/completions"):
            return httpx2.Response(200, json={"choices": [{"message": {"content": "H"}}]})
        return httpx2.Response(200, json={"name": "meta-llama/X-LoRa:a-1", "status": "active"})

    account = Account(name="acme", provider=ProviderName.NEBIUS, api_key="env:KEY")
    provider = build_provider_factory(HttpClient(httpx2.MockTransport(answer)), Redactor())(account, Secret("key"))
    assert isinstance(provider, NebiusProvider)
    remote = await provider.get_deployment("meta-llama/X-LoRa:a-1")
    await provider.call_deployment(remote)
    await provider.remove_deployment(remote)
    root = "https://api.tokenfactory.nebius.com"
    assert [(request.method, str(request.url)) for request in requests] == [
        ("GET", f"{root}/v0/models/meta-llama%2FX-LoRa%3Aa-1"),
        ("POST", f"{root}/v1/chat/completions"),
        ("DELETE", f"{root}/v0/models/meta-llama%2FX-LoRa%3Aa-1"),
    ]
    assert {request.headers["authorization"] for request in requests} == {"Bearer key"}


async def test_first_response_without_a_status_is_unknown_and_may_be_called(bench: NebiusDeploymentBench) -> None:
    bench.fake.hides_first_status = True
    provider = bench.provider()
    _, made = await bench.created(provider)
    first, second = [await provider.get_deployment(made.id) for _ in range(2)]
    assert (first.status, first.raw_status) == (RemoteDeploymentStatus.UNKNOWN, "")
    assert first.is_worth_a_call
    assert (second.status, second.raw_status) == (RemoteDeploymentStatus.CREATING, "validating")


async def test_active_model_is_not_routed_at_once(bench: NebiusDeploymentBench) -> None:
    bench.fake.answer_seconds = 60
    provider = bench.provider()
    _, made = await bench.created(provider)
    bench.now += bench.fake.start_seconds
    active = await provider.get_deployment(made.id)
    assert active.status is RemoteDeploymentStatus.RUNNING
    with pytest.raises(DeploymentNotReady, match="404: The model"):
        await provider.call_deployment(active)


async def test_second_create_is_a_surplus(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order, first = await bench.created(provider)
    bench.now += 5
    second = await provider.create_deployment(order, bench.deadline())
    search = await provider.find_deployments(order)
    matches = select_remote_deployment(order.tag, order.model, search.found, named=search.named)
    assert matches.chosen is not None
    assert (matches.chosen.id, [each.id for each in matches.surplus]) == (first.id, [second.id])


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_custom_models_that_do_not_exist_are_no_failure(bench: NebiusDeploymentBench, status: int) -> None:
    """The training is a success: what cannot be done is said with what can be done instead."""
    provider = bench.provider()
    order = await bench.order(provider)
    bench.fake.gone_status = status
    assert await provider.list_deployment_options(bench.inner.base_model) == []
    assert await find(provider, order) is None
    assert await provider.list_own_deployments() == []
    with pytest.raises(
        RequestRejected, match=rf"is trained, and Nebius offers no way to serve .*: {status}"
    ) as caught:
        await provider.create_deployment(order, bench.deadline())
    assert "download the files" in caught.value.hint


async def test_custom_models_that_exist_are_offered_per_token(bench: NebiusDeploymentBench) -> None:
    [option] = await bench.provider().list_deployment_options(bench.inner.base_model) or []
    assert (option.price.kind, option.price.usd_per_hour) == (DeploymentKind.TOKEN, 0)


async def test_base_model_that_is_not_served_is_said_so(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order = replace(await bench.order(provider), base_model="Qwen/Qwen3-32B")
    with pytest.raises(RequestRejected, match=r"is trained, .*Qwen/Qwen3-32B is not supported"):
        await provider.create_deployment(order, bench.deadline())


async def test_placeholder_in_a_checkpoint_is_refused_with_its_text(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    await bench.order(provider)

    def spoil(request: httpx2.Request, body: Any) -> Any:
        if not request.url.path.endswith("/checkpoints"):
            return body
        return body | {"data": [{**each, "id": f"org_placeholder-{each['id']}"} for each in body["data"]]}

    with bench.inner.changing(spoil):
        job = (await bench.inner.job(provider)).id
        bench.now += 1000
        model = (await provider.get_job(job)).fine_tuned_model
        assert model is not None
        assert model.startswith("org_placeholder-")
        order = await bench.order(provider, model=model)
        with pytest.raises(RequestRejected, match=r"org_placeholder.* is not an adapter"):
            await provider.create_deployment(order, bench.deadline())


@pytest.mark.parametrize("place", ["/v0/models", "/v1/models"])
async def test_model_is_deleted_at_the_address_that_does_it(bench: NebiusDeploymentBench, place: str) -> None:
    bench.fake.deletes_at = place
    provider = bench.provider()
    _, made = await bench.created(provider)
    await provider.remove_deployment(made)
    assert bench.existing() == {}
    await provider.remove_deployment(made)


async def test_model_that_cannot_be_deleted_is_reported(bench: NebiusDeploymentBench) -> None:
    bench.fake.deletes_at = ""
    provider = bench.provider()
    _, made = await bench.created(provider)
    with pytest.raises(RequestRejected, match="does not delete the custom model") as caught:
        await provider.remove_deployment(made)
    assert "Nebius' console" in caught.value.hint


async def test_tag_is_read_from_the_description_where_the_name_is_changed(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order, _ = await bench.created(provider)
    [model] = bench.fake.of().values()
    known = bench.fake.of()
    known["custom/renamed"] = known.pop(model.name)
    model.name = "custom/renamed"
    [listed] = await provider.list_own_deployments()
    assert (listed.id, listed.tag, listed.stop_at) == ("custom/renamed", order.tag, order.expires_at)


async def test_list_with_a_further_page_is_not_taken_for_whole(bench: NebiusDeploymentBench) -> None:
    """How the list is paged is not known: a part of it must not look like all of it."""
    provider = bench.provider()
    order, _ = await bench.created(provider)

    def announce(request: httpx2.Request, body: Any) -> Any:
        return body | {"has_more": True} if request.url.path == "/v0/models" else body

    with bench.inner.changing(announce), pytest.raises(ProviderUnavailable, match="more than one page"):
        await find(provider, order)


async def test_lost_create_is_not_repeated(bench: NebiusDeploymentBench) -> None:
    provider = bench.provider()
    order = await bench.order(provider)
    bench.faults(Fault("lose_answer", operations=("deployments.create",)))
    with pytest.raises(UnknownOutcome):
        await provider.create_deployment(order, bench.deadline())
    assert len(bench.existing()) == 1
