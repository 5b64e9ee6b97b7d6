"""The vendors' own SDKs complete their own flow on our fakes, so that these are not judged by our reading alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fake_fireworks import MODELS as FIREWORKS_MODELS
from fake_fireworks import create_fireworks
from fake_together import MODELS as TOGETHER_MODELS
from fake_together import create_together
from provider_bench import LINES, START

from orchestrator.sandbox import Fault

httpx = pytest.importorskip("httpx", reason="what the vendors' SDKs run on is not installed")
together = pytest.importorskip("together", reason="the vendor's SDK is not installed")
fireworks = pytest.importorskip("fireworks", reason="the vendor's SDK is not installed")


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    path.write_text(LINES)
    return path


async def http_for(app: object) -> AsyncIterator[Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), follow_redirects=True) as client:
        yield client


async def test_together_uploads_creates_follows_and_cancels(clock: Clock, chats: Path) -> None:
    app, world = create_together(clock, file_seconds=5, training_seconds=60)
    async for http in http_for(app):
        client = together.AsyncTogether(api_key="sandbox-acme", base_url="http://localhost", http_client=http)
        who = await client.whoami()
        assert (who.organization.id, who.project.id) == ("org-acme", "proj_acme")
        sent = await client.files.upload(file=chats, purpose="fine-tune", check=False)
        assert (sent.processing_status, sent.bytes) == ("RUNNING", len(LINES))
        clock.now += 10
        assert (await client.files.retrieve(sent.id)).processing_status == "COMPLETED"
        assert (await client.files.upload(file=chats, purpose="fine-tune", check=False)).id == sent.id
        assert [file.id for file in (await client.files.list()).data] == [sent.id]

        job = await client.fine_tuning.create(
            model=TOGETHER_MODELS[0], training_file=sent.id, n_epochs=2, suffix="tone", random_seed=7, lora=True
        )
        assert job.status == "pending"
        clock.now += 30
        running = await client.fine_tuning.retrieve(job.id)
        assert (running.status, running.x_model_output_name) == ("running", None)
        clock.now += 60
        done = await client.fine_tuning.retrieve(job.id)
        assert done.status == "completed"
        assert done.x_model_output_name.startswith("acme/")
        assert [listed.suffix for listed in (await client.fine_tuning.list()).data] == ["tone"]
        assert (await client.fine_tuning.list_events(job.id)).data[-1].type == "job_complete"

        metrics = (await client.fine_tuning.list_metrics(job.id, global_step_from=50)).metrics
        assert [row["train/global_step"] for row in metrics] == [50]

        again = await client.fine_tuning.create(model=TOGETHER_MODELS[0], training_file=sent.id)
        assert (await client.fine_tuning.cancel(again.id)).status == "cancelled"
        assert (await client.files.delete(sent.id)).deleted
        with pytest.raises(together.NotFoundError):
            await client.files.retrieve(sent.id)
        assert world.counts["jobs.create", "200"] == 2


async def test_together_sdk_repeats_a_lost_create(clock: Clock, chats: Path) -> None:
    """What our adapter must not do: the SDK repeats a POST whose answer was lost."""
    app, world = create_together(clock, file_seconds=0, training_seconds=60)
    async for http in http_for(app):
        client = together.AsyncTogether(api_key="sandbox-acme", base_url="http://localhost", http_client=http)
        sent = await client.files.upload(file=chats, purpose="fine-tune", check=False)
        world.faults(Fault("server_error", operations=("jobs.create",), times=1))
        await client.fine_tuning.create(model=TOGETHER_MODELS[0], training_file=sent.id)
        assert (world.counts["jobs.create", "500"], world.counts["jobs.create", "200"]) == (1, 1)


async def test_together_deploys_calls_and_undeploys(clock: Clock, chats: Path) -> None:
    """The flow of the vendor's command line: endpoint, config, deployment, call by its full name, stop, delete."""
    app, _ = create_together(clock, file_seconds=0, training_seconds=60)
    app.state.deployments.warm_calls = 0
    async for http in http_for(app):
        client = together.AsyncTogether(
            api_key="sandbox-acme",
            base_url="http://localhost",
            http_client=http,
            project_id="proj_acme",
            max_retries=0,
        )
        sent = await client.files.upload(file=chats, purpose="fine-tune", check=False)
        job = await client.fine_tuning.create(model=TOGETHER_MODELS[0], training_file=sent.id)
        clock.now += 100
        model_id = (await client.fine_tuning.retrieve(job.id)).api_model_object_id
        model = await client.models.retrieve(model_id)
        assert [each.id async for each in client.models.list()] == [model_id]
        configs = [each async for each in client.models.configs.list(reference_model_id=model.base_model_id)]
        catalog = (await client.models.list_supported(search="llama-3.1-8b")).data
        assert [each.base_model_id for each in catalog] == [model.base_model_id]
        assert {each.quantization for each in catalog[0].deployment_profiles} == {"BF16", "FP8"}
        prices = {each.name: each.price_cents_per_hour for each in (await client.endpoints.hardware.list()).data}
        assert prices["1xnvidia-h100-80gb"] == 399

        endpoint = await client.endpoints.create(name="tone")
        with pytest.raises(together.ConflictError):
            await client.endpoints.create(name="tone")
        assert [each.id async for each in client.endpoints.list(filter='name="tone"')] == [endpoint.id]
        made = await client.endpoints.deployments.create(
            endpoint.id,
            name="first",
            model=f"projects/proj_acme/models/{model_id}",
            config=f"projects/{configs[1].project_id}/configs/{configs[1].id}",
            autoscaling={"min_replicas": 1, "max_replicas": 1},
            inactive_timeout=60,
        )
        assert (made.name, made.hardware, made.inactive_timeout) == (
            "acme-project/tone/first",
            "1xnvidia-h100-80gb",
            60,
        )
        seen = [made.status.state]
        for _ in range(2):
            clock.now += 300
            seen.append((await client.endpoints.deployments.retrieve(made.id, endpoint_id=endpoint.id)).status.state)
        assert [each.removeprefix("DEPLOYMENT_STATE_") for each in seen] == ["PROVISIONING", "SCALING", "READY"]

        inference = together.AsyncTogether(api_key="sandbox-acme", base_url="http://localhost", http_client=http)
        with pytest.raises(together.InternalServerError, match="routing_error"):
            await inference.with_options(max_retries=0).chat.completions.create(
                model=endpoint.name, messages=[{"role": "user", "content": "Hi"}]
            )
        answer = await inference.chat.completions.create(
            model=made.name, messages=[{"role": "user", "content": "Hi"}], max_tokens=1
        )
        assert answer.choices[0].message.content == "H"

        with pytest.raises(together.ConflictError):
            await client.endpoints.deployments.delete(made.id, endpoint_id=endpoint.id)
        stopping = await client.endpoints.deployments.update(
            made.id,
            endpoint_id=endpoint.id,
            autoscaling={"min_replicas": 0, "max_replicas": 0},
            update_mask="autoscaling",
            etag=made.etag,
        )
        assert stopping.status.state == "DEPLOYMENT_STATE_STOPPING"
        clock.now += 300
        with pytest.raises(together.ConflictError):
            await client.endpoints.deployments.delete(made.id, endpoint_id=endpoint.id, etag=made.etag)
        await client.endpoints.deployments.delete(made.id, endpoint_id=endpoint.id, etag=stopping.etag)
        await client.endpoints.delete(endpoint.id)
        assert [each async for each in client.endpoints.list()] == []


async def test_fireworks_uploads_creates_follows_and_cancels(clock: Clock, chats: Path) -> None:
    app, _ = create_fireworks(clock, file_seconds=5, training_seconds=60)
    async for http in http_for(app):
        client = fireworks.AsyncFireworks(
            api_key="sandbox-acme", account_id="org-acme", base_url="http://localhost", http_client=http
        )
        account = await client.accounts.get(account_id="org-acme")
        assert (account.name, account.suspend_state) == ("accounts/org-acme", "UNSUSPENDED")
        made = await client.datasets.create(dataset_id="chats", dataset={"example_count": "12", "user_uploaded": {}})
        assert made.state == "UPLOADING"
        await client.datasets.upload(dataset_id="chats", file=chats)
        clock.now += 10
        assert (await client.datasets.get(dataset_id="chats")).state == "READY"

        job = await client.supervised_fine_tuning_jobs.create(
            dataset="accounts/org-acme/datasets/chats",
            base_model=FIREWORKS_MODELS[0],
            supervised_fine_tuning_job_id="tone-1",
            output_model="accounts/org-acme/models/tone",
            epochs=2,
        )
        assert (job.state, job.name) == (
            "JOB_STATE_PENDING",
            "accounts/org-acme/supervisedFineTuningJobs/tone-1",
        )
        clock.now += 100
        done = await client.supervised_fine_tuning_jobs.get("tone-1")
        assert (done.state, done.output_model) == ("JOB_STATE_COMPLETED", "accounts/org-acme/models/tone")
        assert done.job_progress.percent == 100
        assert done.estimated_cost.units == "1"

        await client.supervised_fine_tuning_jobs.create(
            dataset="accounts/org-acme/datasets/chats",
            base_model=FIREWORKS_MODELS[0],
            supervised_fine_tuning_job_id="tone-2",
        )
        await client.supervised_fine_tuning_jobs.cancel("tone-2", body={})
        assert (await client.supervised_fine_tuning_jobs.get("tone-2")).state == "JOB_STATE_CANCELLED"
        pairs = await client.dpo_jobs.create(
            dataset="accounts/org-acme/datasets/chats",
            dpo_job_id="pairs-1",
            training_config={"base_model": FIREWORKS_MODELS[0], "epochs": 2},
        )
        assert (pairs.name, pairs.training_config.epochs) == ("accounts/org-acme/dpoJobs/pairs-1", 2)
        await client.dpo_jobs.cancel("pairs-1", body={})
        assert (await client.dpo_jobs.get("pairs-1")).state == "JOB_STATE_CANCELLED"
        await client.datasets.delete("chats")
        with pytest.raises(fireworks.NotFoundError):
            await client.datasets.get(dataset_id="chats")


async def test_fireworks_signed_upload(clock: Clock, chats: Path) -> None:
    app, world = create_fireworks(clock, file_seconds=5)
    async for http in http_for(app):
        client = fireworks.AsyncFireworks(
            api_key="sandbox-acme", account_id="org-acme", base_url="http://localhost", http_client=http
        )
        await client.datasets.create(dataset_id="chats", dataset={"user_uploaded": {}})
        signed = await client.datasets.get_upload_endpoint(
            dataset_id="chats", filename_to_size={"chats.jsonl": str(len(LINES))}
        )
        await http.put(signed.filename_to_signed_urls["chats.jsonl"], content=LINES.encode())
        await client.datasets.validate_upload(dataset_id="chats", body={})
        clock.now += 10
        assert (await client.datasets.get(dataset_id="chats")).state == "READY"
        assert world.account("acme").files["chats"].content == LINES.encode()
