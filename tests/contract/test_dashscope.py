"""What is particular to DashScope: failures with status 200, files of one job, workspaces and sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_dashscope import create_dashscope
from provider_bench import LINES, TAG, DashScopeBench
from starlette.types import ASGIApp

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    AuthenticationFailed,
    JobLimitReached,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.jobs.loss import merge_curves
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.base import Provider
from orchestrator.providers.dashscope import dashscope_provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.sandbox import Fault

JOB = {"job_id": "ft-1", "status": "RUNNING", "model": "qwen3-14b"}


class WithoutNamesBench(DashScopeBench):
    """A server that refuses the name of a job and the suffix of its model."""

    def application(self) -> ASGIApp:
        app, self.world = create_dashscope(lambda: self.now, training_seconds=60, refuses_names=True)
        return app


async def test_failure_with_status_200_is_no_answer(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    odd = bench.provider("odd")
    with pytest.raises(ProviderUnavailable, match=r"InternalError\.Timeout"):
        await odd.find_file(bench.file())
    with pytest.raises(UnknownOutcome):
        await odd.upload_file(bench.file(), bench.deadline())


async def test_failed_upload_with_status_200_stores_nothing(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    bench.faults(Fault("reject_file", operations=("files.create",)))
    with pytest.raises(RequestRejected, match=r"400 BadRequest\.TooMany: Out of number") as caught:
        await bench.provider().upload_file(bench.file(), bench.deadline())
    assert caught.value.code == "BadRequest.TooMany"


async def test_too_many_jobs_are_no_rate_limit(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider("small")
    order = bench.order(await bench.ready_file(provider))
    for _ in range(3):
        await provider.create_job(order, bench.deadline())
    with pytest.raises(JobLimitReached):
        await provider.create_job(order, bench.deadline())
    bench.faults(Fault("rate_limit"))
    with pytest.raises(RateLimited):
        await provider.create_job(order, bench.deadline())


async def test_results_are_normalised(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider, n_epochs=2, learning_rate=1e-5, context_length=4096, lora_rank=16)
    assert job.hyperparameters == {"n_epochs": 2, "learning_rate": 1e-5, "max_length": 4096, "lora_rank": 16}
    assert job.request_id
    assert job.trained_tokens is None
    bench.now += 100
    done = await provider.get_job(job.id)
    assert (done.fine_tuned_model, done.trained_tokens) == (f"qwen3-14b-tone.v1-{job.id}", 1200)
    assert done.created_at is None, "its times have no zone"


@pytest.mark.parametrize(
    ("lora", "training_type"), [(None, "efficient_sft"), (True, "efficient_sft"), (False, "sft")]
)
async def test_training_type_follows_lora(tmp_path: Path, *, lora: bool | None, training_type: str) -> None:
    bench = DashScopeBench(tmp_path)
    await bench.job(bench.provider(), lora=lora, suffix=None)
    [job] = bench.world.account("acme").jobs.values()
    assert job.body["training_type"] == training_type
    assert "finetuned_output_suffix" not in job.body


@pytest.mark.parametrize("kind", [DashScopeBench, WithoutNamesBench])
async def test_suffix_is_shortened_and_omitted_where_it_is_refused(
    tmp_path: Path, kind: type[DashScopeBench]
) -> None:
    bench = kind(tmp_path)
    await bench.job(bench.provider(), suffix="a-long-suffix")
    [job] = bench.world.account("acme").jobs.values()
    assert job.body.get("finetuned_output_suffix") == (None if kind is WithoutNamesBench else "a-long-s")


async def test_job_on_a_second_copy_of_the_file_is_found(tmp_path: Path) -> None:
    """An upload whose response was lost left the copy: the database that knew of its job is gone."""
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    first, second = [await bench.ready_file(provider) for _ in range(2)]
    made = await provider.create_job(bench.order(first), bench.deadline())
    [found] = await provider.find_jobs(bench.order(second))
    assert (found.id, found.training_file) == (made.id, first.id)


async def test_job_whose_file_was_deleted_is_found_by_its_name(tmp_path: Path) -> None:
    """The files were pruned, and the database is gone: without the name it would be trained, and paid for, again."""
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    first = await bench.ready_file(provider)
    made = await provider.create_job(bench.order(first), bench.deadline())
    await provider.delete_file(first.id)
    again = await bench.ready_file(provider)
    [found] = await provider.find_jobs(bench.order(again))
    assert (found.id, found.training_file) == (made.id, first.id)
    other = TAG.replace(".0", ".1")
    assert await provider.find_jobs(bench.order(await bench.ready_file(provider, tag=other), other)) == []


async def test_lost_create_is_found_where_names_are_refused(tmp_path: Path) -> None:
    bench = WithoutNamesBench(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider), suffix=None)
    bench.faults(Fault("lose_answer", operations=("jobs.create",)))
    with pytest.raises(UnknownOutcome):
        await provider.create_job(order, bench.deadline())
    bench.faults()
    made = await provider.create_job(order, bench.deadline())
    assert [job.id for job in await provider.find_jobs(order)] == [made.id]


async def test_job_on_a_file_of_another_job_or_round_is_not_found(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    for tag in (TAG.replace(".0", ".10"), TAG.replace("0123", "3210")):
        other = await bench.ready_file(provider, LINES, tag)
        await provider.create_job(bench.order(other, tag), bench.deadline())
    assert await provider.find_jobs(bench.order(await bench.ready_file(provider))) == []
    assert bench.jobs() == 2


async def test_training_file_among_several_is_the_jobs(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    file = await bench.ready_file(provider)

    def add_file(request: httpx2.Request, body: Any) -> Any:
        for job in body.get("output", {}).get("jobs", ()):
            job["training_file_ids"] = ["file-x", *job["training_file_ids"]]
        return body

    made = await provider.create_job(bench.order(file), bench.deadline())
    with bench.changing(add_file):
        [found] = await provider.find_jobs(bench.order(file))
    assert (found.id, found.training_file) == (made.id, file.id)


@pytest.mark.parametrize("files", [None, [], [""]])
async def test_job_that_does_not_show_its_file_is_ambiguous(tmp_path: Path, files: list[str] | None) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))

    def hide_file(request: httpx2.Request, body: Any) -> Any:
        jobs = [JOB | {"training_file_ids": files}]
        return body | {"output": {"jobs": jobs, "total": 1}} if "jobs" in body.get("output", {}) else body

    with bench.changing(hide_file), pytest.raises(AmbiguousRemoteJob, match="does not show its training file"):
        await provider.find_jobs(order)


async def test_cancelled_job_has_its_billed_tokens(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider)
    cancelled = await provider.cancel_job(job.id)
    assert (cancelled.status, cancelled.raw_status) == (RemoteJobStatus.CANCELLED, "CANCELED")
    assert cancelled.trained_tokens == 300


async def test_wrong_key_names_the_other_site(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        await DashScopeBench(tmp_path).provider(key="sk-of-beijing").verify()
    assert "https://dashscope.aliyuncs.com/api/v1" in caught.value.hint


def connect(requests: list[httpx2.Request], **options: Any) -> Provider:
    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={"data": {"files": [], "total": 0}})

    account = Account(name="acme", provider=ProviderName.DASHSCOPE, api_key="env:KEY")
    http = HttpClient(httpx2.MockTransport(answer))
    factory = dashscope_provider.build_provider_factory(http, Redactor())
    return factory(replace(account, **options), Secret("key-of-acme"))


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (None, "https://dashscope-intl.aliyuncs.com/api/v1/files"),
        ("https://dashscope.aliyuncs.com/api/v1/", "https://dashscope.aliyuncs.com/api/v1/files"),
        ("https://dashscope.aliyuncs.com", "https://dashscope.aliyuncs.com/api/v1/files"),
    ],
)
async def test_site_is_chosen_by_base_url(base_url: str | None, address: str) -> None:
    requests: list[httpx2.Request] = []
    await connect(requests, base_url=base_url).verify()
    assert str(requests[0].url).partition("?")[0] == address
    assert "x-dashscope-workspace" not in requests[0].headers


async def test_project_of_an_account_is_its_workspace() -> None:
    requests: list[httpx2.Request] = []
    await connect(requests, project="ws-1").verify()
    assert requests[0].headers["x-dashscope-workspace"] == "ws-1"


async def test_log_of_several_pages_is_read_to_its_end(tmp_path: Path) -> None:
    bench = DashScopeBench(tmp_path)
    bench.world.training_seconds = 3000
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 2500
    losses = merge_curves(await provider.losses(job.id, 0))
    assert [loss.step for loss in losses] == list(range(1, 2501))
    assert [loss.step for loss in losses if loss.validation] == list(range(5, 2501, 5))
    assert {loss.step for loss in await provider.losses(job.id, 2490)} == set(range(2491, 2501))
