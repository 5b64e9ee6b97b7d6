"""The vendors' own SDKs deploy, call and undeploy at our fakes, so that these are not judged by our reading alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from deployment_bench import HOUR
from fake_fireworks import create_fireworks
from fake_fireworks_deployments import SHAPES
from fake_server import serve_on_free_port
from provider_bench import START

httpx = pytest.importorskip("httpx", reason="what the vendor's SDK runs on is not installed")
fireworks = pytest.importorskip("fireworks", reason="the vendor's SDK is not installed")
managers = pytest.importorskip("fireworks.training.sdk.deployment", reason="the vendor's SDK has no manager")


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


async def test_sdk_deploys_calls_wakes_and_undeploys() -> None:
    clock = Clock()
    app, _ = create_fireworks(clock)
    model = "accounts/fireworks/models/llama-v3p1-8b-instruct"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        options = {"api_key": "sandbox-acme", "account_id": "org-acme", "http_client": http, "max_retries": 0}
        client = fireworks.AsyncFireworks(base_url="http://localhost", **options)
        chat = fireworks.AsyncFireworks(base_url="http://localhost/inference", **options).chat.completions
        wanted = {"base_model": model, "deployment_id": "demo-1", "deployment_shape": "default"}
        assert (await client.deployments.create(**wanted, validate_only=True)).base_model == model
        assert app.state.deployments.of("acme") == {}
        made = await client.deployments.create(**wanted)
        assert (made.name, made.state) == ("accounts/org-acme/deployments/demo-1", "CREATING")
        with pytest.raises(fireworks.ConflictError):
            await client.deployments.create(**wanted)
        matched = await client.deployment_shape_versions.match_for_model(model)
        assert [each.snapshot.preset_type for each in matched.deployment_shape_versions] == list(SHAPES)
        clock.now += 100
        ready = await client.deployments.get("demo-1")
        assert (ready.state, ready.replica_count, ready.replica_stats.ready_replica_count) == ("READY", 1, 1)

        hello: dict[str, Any] = {"model": ready.name, "messages": [{"role": "user", "content": "Hi"}]}
        assert (await chat.create(**hello)).choices[0].message.content == "It"
        clock.now += 2 * HOUR
        with pytest.raises(fireworks.InternalServerError, match="DEPLOYMENT_SCALING_UP"):
            await chat.create(**hello)
        clock.now += 200
        assert (await chat.create(**hello)).choices

        for number in range(5):
            await client.deployments.create(**wanted | {"deployment_id": f"more-{number}"})
        listed = [each.name.rpartition("/")[2] async for each in client.deployments.list()]
        assert listed == ["demo-1", *(f"more-{number}" for number in range(5))]
        await client.deployments.delete("demo-1", ignore_checks=True)
        assert (await client.deployments.get("demo-1")).state == "DELETED"
        with pytest.raises(fireworks.ConflictError):
            await client.deployments.create(**wanted)
        assert (await client.deployments.undelete("demo-1", body={})).state == "READY"
        await client.deployments.delete("demo-1", hard=True, ignore_checks=True)
        clock.now += 20
        with pytest.raises(fireworks.NotFoundError):
            await client.deployments.get("demo-1")
        assert (await client.deployments.create(**wanted)).state == "CREATING"


def drive(address: str) -> dict[str, Any]:
    """Create, create again, wait, change with a mask and without one, and delete, with the vendor's manager."""
    manager = managers.DeploymentManager(api_key="sandbox-acme", base_url=address)
    model = "accounts/fireworks/models/llama-v3p1-8b-instruct"
    config = managers.DeploymentConfig(
        deployment_id="demo-1", base_model=model, description="demo", min_replica_count=1, accelerator_type="L4"
    )
    made = manager.create_or_get(config)
    again = manager.create_or_get(config)
    ready = manager.wait_for_ready("demo-1", timeout_s=60, poll_interval_s=0.05)
    warm = manager.warmup(ready.inference_model, retry_interval_s=0.05)
    manager.update("demo-1", {"minReplicaCount": 0}, "min_replica_count")
    return {"states": [made.state, again.state, ready.state], "warm": warm, "manager": manager}


async def test_manager_of_the_sdk_deploys_changes_and_undeploys() -> None:
    app, _ = create_fireworks(time.time)  # noqa: TID251 - the wall clock of a real provider
    fake = app.state.deployments
    fake.start_seconds, fake.answer_seconds, fake.removal_seconds = 0.3, 0.6, 0.2
    async with serve_on_free_port(app) as address:
        seen = await asyncio.to_thread(drive, address)
        made, again, ready = seen["states"]
        assert (made, ready, seen["warm"]) == ("CREATING", "READY", True)
        assert again in {"CREATING", "READY"}  # on a slow machine it has started meanwhile
        (held,) = fake.of("acme").values()
        assert (held.body["description"], held.body["minReplicaCount"]) == ("demo", 0)
        await asyncio.to_thread(seen["manager"].scale_to_zero, "demo-1")
        assert held.body.keys() & {"description", "acceleratorType"} == set(), "the vendor's own call has no mask"
        await asyncio.to_thread(seen["manager"].delete, "demo-1")
        assert held.hard_deleted_at is not None
