"""What is particular to Fireworks' deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deployment_bench import HOUR, TAG, FireworksDeploymentBench
from deployment_contract import find
from fake_fireworks_deployments import SHAPELESS, UNSERVABLE

from orchestrator.core.deployment.remote_deployment import RemoteDeploymentStatus
from orchestrator.core.errors import DeploymentNameTaken, DeploymentNotReady, RequestRejected, TemporaryError

NAME = "orch-0123456789abcdef-0"
PATH = f"accounts/org-acme/deployments/{NAME}"


@pytest.fixture
def bench(tmp_path: Path) -> FireworksDeploymentBench:
    return FireworksDeploymentBench(tmp_path)


async def test_create_has_its_own_id_its_note_and_may_rest(bench: FireworksDeploymentBench) -> None:
    order, made = await bench.created(bench.provider(), idle_stop_minutes=10, max_replicas=2)
    (sent,) = bench.fake.of("acme").values()
    assert sent.id == order.name == NAME
    assert sent.body == {
        "baseModel": order.model,
        "displayName": NAME,
        "description": f"Created by orchestrator, tag {TAG}, stopped at 2027-01-15T10:16:50Z",
        "minReplicaCount": 0,
        "maxReplicaCount": 2,
        "deploymentShape": "default",
        "autoscalingPolicy": {"scaleToZeroWindow": "600s"},
    }
    assert (made.id, made.model_string, made.base_url) == (PATH, PATH, "http://localhost/inference/v1")
    assert made.message == "1 loading the model"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"shape": "full_precision"}, {"deploymentShape": "accounts/fireworks/deploymentShapes/full_precision"}),
        (
            {"shape": "accounts/fireworks/deploymentShapes/minimal"},
            {"deploymentShape": "accounts/fireworks/deploymentShapes/minimal"},
        ),
        (
            {"hardware": "nvidia-h100-80gb", "precision": "bf16"},
            {"acceleratorType": "NVIDIA_H100_80GB", "precision": "BF16"},
        ),
    ],
)
async def test_shape_or_hardware_is_sent(
    bench: FireworksDeploymentBench, options: dict[str, Any], expected: dict[str, str]
) -> None:
    await bench.created(bench.provider(), min_replicas=1, **options)
    (sent,) = bench.fake.of("acme").values()
    hardware = ("deploymentShape", "acceleratorType", "precision")
    assert {name: sent.body[name] for name in hardware if name in sent.body} == expected
    assert (sent.body["minReplicaCount"], sent.body["maxReplicaCount"]) == (1, 1)


async def test_unknown_shape_is_refused_with_those_that_exist(bench: FireworksDeploymentBench) -> None:
    with pytest.raises(RequestRejected, match=r"no shape TINY .* its shapes: FULL_PRECISION, MINIMAL"):
        await bench.created(bench.provider(), shape="TINY")
    assert bench.existing() == {}


async def test_deployment_answers_before_it_says_ready(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    bench.fake.start_seconds, bench.fake.answer_seconds = 600, 60
    _, made = await bench.created(provider)
    bench.now += 100
    await provider.call_deployment(await provider.get_deployment(made.id))
    assert (await provider.get_deployment(made.id)).status is RemoteDeploymentStatus.CREATING


async def test_deployment_that_says_ready_does_not_answer_yet(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    bench.fake.answer_seconds = 600
    _, made = await bench.created(provider, min_replicas=1)
    bench.now += 100
    ready = await provider.get_deployment(made.id)
    assert (ready.status, ready.raw_status) == (RemoteDeploymentStatus.RUNNING, "READY")
    with pytest.raises(DeploymentNotReady, match="503"):
        await provider.call_deployment(ready)


async def test_waking_deployment_is_not_ready_with_its_code(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    _, remote = await bench.answering(provider)
    bench.now += 24 * HOUR
    with pytest.raises(DeploymentNotReady) as caught:
        await provider.call_deployment(remote)
    assert caught.value.code == "DEPLOYMENT_SCALING_UP"


async def test_numbers_that_are_left_out_mean_zero_replicas(bench: FireworksDeploymentBench) -> None:
    """A call would wake the deployment, and so bill it, each time that it is polled."""
    provider = bench.provider()
    bench.fake.omits_zeros = True
    _, remote = await bench.answering(provider)
    assert (await provider.get_deployment(remote.id)).status is RemoteDeploymentStatus.RUNNING
    bench.now += 24 * HOUR
    assert (await provider.get_deployment(remote.id)).status is RemoteDeploymentStatus.ASLEEP


@pytest.mark.parametrize("shows_deleted", [True, False])
async def test_deletion_in_the_console_leaves_the_id_taken(
    bench: FireworksDeploymentBench, shows_deleted: bool
) -> None:
    provider = bench.provider()
    order, _ = await bench.created(provider)
    bench.fake.of("acme")[NAME].soft_deleted_at = bench.now
    bench.fake.shows_deleted = shows_deleted
    assert await find(provider, order) is None
    assert await provider.list_own_deployments() == []
    with pytest.raises(TemporaryError if shows_deleted else Exception, match="deleted" if shows_deleted else "taken"):
        await provider.create_deployment(order, bench.deadline())
    bench.now += bench.removal_seconds + 1
    if shows_deleted:
        assert (await provider.create_deployment(order, bench.deadline())).id == PATH


async def test_deleted_deployment_of_somebody_else_is_left_alone(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    order = await bench.order(provider)
    bench.add_foreign(NAME, "accounts/org-acme/models/theirs")
    bench.fake.of("acme")[NAME].soft_deleted_at = bench.now
    before = bench.existing()
    with pytest.raises(DeploymentNameTaken, match="theirs"):
        await provider.create_deployment(order, bench.deadline())
    assert bench.existing() == before


async def test_deletion_that_ends_in_a_state_is_complete(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    bench.fake.ends_as_deleted = True
    order, made = await bench.created(provider)
    await provider.remove_deployment(made)
    leaving = await find(provider, order)
    assert leaving is not None
    assert leaving.status is RemoteDeploymentStatus.STOPPING
    await provider.remove_deployment(leaving)
    bench.now += bench.removal_seconds + 1
    assert await find(provider, order) is None
    assert await provider.list_own_deployments() == []


async def test_deployment_without_its_note_is_still_found_and_removed(bench: FireworksDeploymentBench) -> None:
    """A change without a mask erases the note. The id carries the tag."""
    provider = bench.provider()
    order, made = await bench.created(provider)
    client = bench.inner.http.sdk_client
    headers = {"authorization": "Bearer sandbox-acme"}
    await client.patch(f"http://localhost/v1/{made.id}", json={"maxReplicaCount": 0}, headers=headers)
    assert "description" not in bench.fake.of("acme")[NAME].body
    (listed,) = await provider.list_own_deployments()
    assert (listed.tag, listed.stop_at) == (TAG, None)
    await provider.remove_deployment(await find(provider, order) or made)
    bench.now += bench.removal_seconds + 1
    assert await find(provider, order) is None


async def test_ways_are_the_tested_shapes_or_a_rehearsal(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    shapes = await provider.list_deployment_options(bench.inner.base_model) or []
    assert [(each.shape, each.hardware, each.precision) for each in shapes] == [
        ("MINIMAL", "NVIDIA_A100_80GB", "FP8"),
        ("FULL_PRECISION", "NVIDIA_H100_80GB", "BF16"),
    ]
    (rehearsed,) = await provider.list_deployment_options(SHAPELESS) or []
    assert (rehearsed.shape, rehearsed.price.usd_per_hour) == (None, None)
    assert await provider.list_deployment_options(UNSERVABLE) == []
    assert bench.existing() == {}


async def test_rehearsal_that_a_server_carries_out_has_ended_already(bench: FireworksDeploymentBench) -> None:
    provider = bench.provider()
    bench.fake.rehearses = False
    await provider.list_deployment_options(SHAPELESS)
    (made,) = await provider.list_own_deployments()
    assert (made.tag, made.stop_at, made.model) == (made.tag, 0.0, SHAPELESS)
    assert made.tag
    assert len(await provider.list_deployment_options(SHAPELESS) or []) == 1
    assert len(bench.existing()) == 1
