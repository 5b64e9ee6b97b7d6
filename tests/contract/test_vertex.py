"""What is particular to Vertex AI: labels, endpoints, quotas, tokens that end, and examples that were not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from provider_bench import TAG, VertexBench

from orchestrator.core.errors import AuthenticationFailed, JobLimitReached, ProviderUnavailable, RequestRejected
from orchestrator.core.remote import RemoteJobStatus

ENDPOINT = "projects/1000406/locations/us-central1/endpoints/7000000000000000011"
MODEL = "projects/1000406/locations/us-central1/models/7000000000000000010@1"


@pytest.fixture
def bench(tmp_path: Path) -> VertexBench:
    return VertexBench(tmp_path)


async def test_endpoint_is_the_model_id_and_the_model_is_noted_beside_it(bench: VertexBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    assert job.notes == ()
    bench.now += 100
    done = await provider.get_job(job.id)
    assert (done.fine_tuned_model, done.servable) == (ENDPOINT, True)
    assert f"the model is {MODEL}" in done.notes
    assert f"checkpoint of epoch 1: {ENDPOINT}" in done.notes


async def test_examples_that_were_not_used_are_a_warning(bench: VertexBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 100
    done = await provider.get_job(job.id)
    assert done.notes[:2] == (
        "warning: 2 examples were longer than the model accepts and were truncated",
        "warning: 1 examples were dropped: The example is empty.",
    )
    assert done.trained_tokens == 345
    assert [event.message for event in await provider.events(job.id)][-len(done.notes) :] == list(done.notes)


async def test_order_has_its_tag_as_a_label(bench: VertexBench) -> None:
    job = await bench.job(bench.provider(), lora_rank=8, learning_rate_multiplier=0.5)
    (made,) = bench.world.account("acme").jobs.values()
    assert made.body == {
        "baseModel": "gemini-2.5-flash",
        "supervisedTuningSpec": {
            "trainingDatasetUri": job.training_file,
            "hyperParameters": {
                "epochCount": 3,
                "learningRateMultiplier": 0.5,
                "adapterSize": "ADAPTER_SIZE_EIGHT",
            },
        },
        "tunedModelDisplayName": f"tone-v1-{TAG.replace('.', '-')}",
        "labels": {"orchestrator": TAG.replace(".", "-")},
    }
    assert job.training_file == f"gs://bucket-acme/{bench.file().filename}"
    assert TAG.replace(".", "-") in job.training_file
    assert job.hyperparameters == {
        "n_epochs": 3,
        "learning_rate_multiplier": 0.5,
        "adapter_size": "ADAPTER_SIZE_EIGHT",
    }


async def test_adapter_size_that_does_not_exist_creates_nothing(bench: VertexBench) -> None:
    with pytest.raises(RequestRejected, match=r"lora_rank = 3 .* 1, 2, 4, 8, 16, 32"):
        await bench.job(bench.provider(), lora_rank=3)
    assert bench.jobs() == 0


@pytest.mark.parametrize("lost", ["filter", "labels", "labels and filter"])
async def test_job_is_found_without_filter_and_without_label(bench: VertexBench, lost: str) -> None:
    bench.vertex.knows_filter = "filter" not in lost
    bench.vertex.keeps_labels = "labels" not in lost
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    job = await provider.create_job(order, bench.deadline())
    assert [found.id for found in await provider.find_jobs(order)] == [job.id]
    other = "fedcba9876543210.0"
    file = await bench.ready_file(provider, tag=other)
    assert await provider.find_jobs(bench.order(file, other)) == []


async def test_job_that_waits_for_quota_is_pending(bench: VertexBench) -> None:
    job = await bench.job(bench.provider())
    assert (job.status, job.raw_status) == (RemoteJobStatus.PENDING, "TUNING_JOB_STATE_WAITING_FOR_QUOTA")


async def test_waiting_detail_makes_a_running_job_pending(bench: VertexBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 30

    def wait(_: httpx2.Request, body: Any) -> Any:
        return body | {"tuningJobState": "TUNING_JOB_STATE_WAITING_FOR_CAPACITY"}

    with bench.changing(wait):
        waiting = await provider.get_job(job.id)
    assert (waiting.status, waiting.raw_status) == (
        RemoteJobStatus.PENDING,
        "TUNING_JOB_STATE_WAITING_FOR_CAPACITY",
    )


async def test_refused_job_above_the_quota_waits_for_a_slot(bench: VertexBench) -> None:
    bench.vertex.max_jobs = 0
    with pytest.raises(JobLimitReached, match="RESOURCE_EXHAUSTED: Quota exceeded for concurrent tuning jobs"):
        await bench.job(bench.provider())
    assert bench.jobs() == 0


async def test_token_that_ends_is_reported_for_a_renewal(bench: VertexBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.vertex.calls_per_token["acme"] = 1
    await provider.get_job(job.id)
    with pytest.raises(AuthenticationFailed, match="401 UNAUTHENTICATED"):
        await provider.get_job(job.id)


async def test_job_is_read_by_the_id_of_its_project(bench: VertexBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    by_id = f"projects/proj-acme/{job.id.partition('/')[2].partition('/')[2]}"
    assert (await provider.get_job(by_id)).id == job.id


@pytest.mark.parametrize("has_model", [True, False])
async def test_partial_success_counts_with_a_model(bench: VertexBench, *, has_model: bool) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 100

    def end(_: httpx2.Request, body: Any) -> Any:
        tuned = body["tunedModel"] if has_model else {}
        error = {"message": "one checkpoint failed"}
        return body | {"state": "JOB_STATE_PARTIALLY_SUCCEEDED", "tunedModel": tuned, "error": error}

    with bench.changing(end):
        ended = await provider.get_job(job.id)
    assert ended.status is (RemoteJobStatus.SUCCEEDED if has_model else RemoteJobStatus.FAILED)
    assert ended.fine_tuned_model == (ENDPOINT if has_model else None)
    assert ended.error_message == (None if has_model else "one checkpoint failed")


async def test_answer_about_another_region_is_no_identity(bench: VertexBench) -> None:
    with (
        bench.answering({"name": "projects/1/locations/europe-west4"}),
        pytest.raises(ProviderUnavailable, match="is about projects/1/locations/europe-west4"),
    ):
        await bench.provider().verify()


async def test_list_with_an_unknown_key_is_no_empty_list(bench: VertexBench) -> None:
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    with bench.answering({"unreachable": ["us-central1"]}), pytest.raises(ProviderUnavailable):
        await provider.find_jobs(order)
