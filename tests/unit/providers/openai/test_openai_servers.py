"""Servers that speak OpenAI's API in words and limits of their own."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, HyperparameterFormat, ProviderName
from orchestrator.core.errors import AmbiguousRemoteJob, RequestRejected
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import Method, TrainingSpec
from orchestrator.providers.base import Deadline, JobOrder, Provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory

JOB = {"id": "ftjob-1", "status": "queued", "model": "base", "training_file": "file-1"}
TAG = "0123456789abcdef.0"


class Server:
    """Answers with the `jobs` it holds, and keeps what it was asked to create. `refuses` are fields it refuses."""

    def __init__(
        self, *jobs: dict[str, Any], refuses: tuple[str, ...] = (), refusal: dict[str, Any] | None = None
    ) -> None:
        self.jobs = [{**JOB, **job} for job in jobs]
        self.created: list[dict[str, Any]] = []
        self._refuses = refuses
        self._refusal = refusal or {"error": {"message": "unknown field"}}
        self._connect = build_provider_factory(HttpClient(httpx2.MockTransport(self._answer)), Redactor())

    def provider(self, **options: Any) -> Provider:
        account = Account(
            name="lab",
            provider=ProviderName.OPENAI_COMPATIBLE,
            api_key="env:KEY",
            base_url="https://lab.example/v1",
            **options,
        )
        return self._connect(account, Secret("key-of-the-lab"))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            body = json.loads(request.content)
            self.created.append(body)
            if any(field in body for field in self._refuses):
                return httpx2.Response(400, json=self._refusal)
            return httpx2.Response(200, json=JOB)
        if request.url.path.endswith("/jobs"):
            return httpx2.Response(200, json={"data": self.jobs, "has_more": False})
        return httpx2.Response(200, json=self.jobs[0])


def an_order(tag: str = TAG, **spec: Any) -> JobOrder:
    return JobOrder(
        tag=tag, spec=TrainingSpec(base_model="base", **spec), training_file="file-1", validation_file=None
    )


async def create(server: Server, order: JobOrder, **options: Any) -> dict[str, Any]:
    """What the server was asked to create, last."""
    deadline = Deadline(30.0, lambda: 0.0)
    await server.provider(**options).create_job(order, deadline)
    return server.created[-1]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", RemoteJobStatus.PENDING),
        ("initializing", RemoteJobStatus.PENDING),
        ("validating", RemoteJobStatus.PENDING),
        ("uploading", RemoteJobStatus.PENDING),
        ("completed", RemoteJobStatus.SUCCEEDED),
        ("complete", RemoteJobStatus.SUCCEEDED),
        ("success", RemoteJobStatus.SUCCEEDED),
        ("error", RemoteJobStatus.FAILED),
        ("canceled", RemoteJobStatus.CANCELLED),
        ("stopped", RemoteJobStatus.STOPPED),
        ("SUCCEEDED", RemoteJobStatus.SUCCEEDED),
        ("reticulating", RemoteJobStatus.UNKNOWN),
    ],
)
async def test_the_words_of_other_servers_are_understood(word: str, status: RemoteJobStatus) -> None:
    job = await Server({"status": word}).provider().get_job("ftjob-1")
    assert (job.status, job.raw_status) == (status, word)


async def test_request_without_options_sends_auto_and_a_tagged_suffix() -> None:
    body = await create(Server(), an_order(suffix="tone"))
    assert body["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
    }
    assert body["suffix"] == "tone-0123456789abcdef-0"
    assert body["metadata"] == {"orchestrator_job": TAG}


async def test_server_without_auto_receives_explicit_options_only() -> None:
    body = await create(Server(), an_order(n_epochs=3), send_auto=False)
    assert body["method"]["supervised"]["hyperparameters"] == {"n_epochs": 3}


@pytest.mark.parametrize("method", ["supervised", "dpo"])
async def test_hyperparameters_are_sent_where_the_server_reads_them(method: Method) -> None:
    order, values = an_order(n_epochs=3, method=method), {"n_epochs": 3}
    nested = {"type": method, method: {"hyperparameters": values}}
    flat = await create(Server(), order, send_auto=False, hyperparameter_format=HyperparameterFormat.FLAT)
    assert (flat["hyperparameters"], flat.get("method")) == (values, {"type": "dpo"} if method == "dpo" else None)
    both = await create(Server(), order, send_auto=False, hyperparameter_format=HyperparameterFormat.BOTH)
    assert (both["hyperparameters"], both["method"]) == (values, nested)
    usual = await create(Server(), order, send_auto=False)
    assert ("hyperparameters" in usual, usual["method"]) == (False, nested)


@pytest.mark.parametrize(
    ("length", "tag", "suffix", "sent"),
    [
        (None, TAG, None, "0123456789abcdef-0"),
        (18, "0123456789abcdef.10", None, "0123456789abcdef"),  # not "…-1", which is the tag of another round
        (18, "0123456789abcdef.10", "tone", "tone"),
        (8, TAG, None, "01234567"),
    ],
)
async def test_server_that_requires_a_suffix_always_receives_one(
    length: int | None, tag: str, suffix: str | None, sent: str
) -> None:
    body = await create(Server(), an_order(tag, suffix=suffix), suffix_length=length, suffix_required=True)
    assert body["suffix"] == sent


@pytest.mark.parametrize("length", [None, 8, 18])
async def test_job_with_a_suffix_without_its_round_is_ambiguous(length: int | None) -> None:
    server = Server({"suffix": "01234567" if length == 8 else "0123456789abcdef"})
    with pytest.raises(AmbiguousRemoteJob):
        await server.provider(suffix_length=length, suffix_required=True).find_jobs(an_order())
    other_round = Server({"suffix": "0123456789abcdef-1"})
    assert await other_round.provider().find_jobs(an_order("0123456789abcdef.10")) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"code": "NoSuchModel", "message": "no model base"}, "400 NoSuchModel: no model base"),
        ({"code": 3, "message": "suffix is required", "details": []}, "400 3: suffix is required"),
        ({"error": "suffix is required", "code": 3}, "400: suffix is required"),
        ({"code": "bad", "message": "no model", "detail": "x" * 99}, "400 bad: no model"),
        ({"detail": "suffix is required"}, "400: suffix is required"),
        ({"detail": {"code": "bad", "message": "no model"}}, "400 bad: no model"),
        (
            {"detail": [{"loc": ["body", "suffix"], "msg": "Field required", "type": "missing"}]},
            "400: body.suffix: Field required",
        ),
        (
            {"detail": [{"msg": "Field required"}, {"loc": ["body", "seed"], "msg": "too small"}]},
            "400: Field required; body.seed: too small",
        ),
        ({"detail": [3]}, '400: at /v1/fine_tuning/jobs: {"detail":[3]}'),
    ],
)
async def test_message_of_an_error_is_found_in_every_usual_shape(body: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        await create(Server(refuses=("model",), refusal=body), an_order())
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("length", "tag", "suffix", "sent"),
    [
        (18, TAG, "tone", "0123456789abcdef-0"),  # just the tag: it finds the job again
        (23, TAG, "tone", "tone-0123456789abcdef-0"),
        (18, "0123456789abcdef.10", "tone", "tone"),  # the tenth retry: its tag has a character more
        (8, TAG, "tone-of-voice", "tone-of-"),
        (8, TAG, None, None),
        (0, TAG, "tone", None),
    ],
)
async def test_a_short_suffix_carries_the_tag_where_it_fits(
    length: int, tag: str, suffix: str | None, sent: str | None
) -> None:
    body = await create(Server(), an_order(tag, suffix=suffix), suffix_length=length)
    assert body.get("suffix") == sent
    assert body["metadata"] == {"orchestrator_job": tag}


async def test_metadata_is_left_out_only_where_the_suffix_carries_the_tag() -> None:
    body = await create(Server(refuses=("metadata",)), an_order(), suffix_length=18)
    assert (body["suffix"], "metadata" in body) == ("0123456789abcdef-0", False)
    with pytest.raises(RequestRejected):  # a job without any tag could never be found again
        await create(Server(refuses=("metadata",)), an_order(), suffix_length=0)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ({"metadata": {"orchestrator_job": TAG}}, ["ftjob-1"]),
        ({"metadata": {"orchestrator_job": "fedcba9876543210.0"}}, []),
        ({"metadata": None, "training_file": "file-9"}, []),
        ({"metadata": {}, "model": "other"}, []),
    ],
)
async def test_without_a_suffix_a_job_is_found_by_its_metadata(shown: dict[str, Any], found: list[str]) -> None:
    jobs = await Server(shown).provider(suffix_length=0).find_jobs(an_order())
    assert [job.id for job in jobs] == found


@pytest.mark.parametrize("shown", [{"metadata": None}, {"metadata": {}}, {}])
async def test_untagged_job_on_the_same_file_is_ambiguous(
    shown: dict[str, Any],
) -> None:
    with pytest.raises(AmbiguousRemoteJob, match=r"ftjob-1 .* does not show its tag"):
        await Server(shown).provider(suffix_length=0).find_jobs(an_order())


async def test_job_with_the_tag_of_another_job_is_ignored_although_its_suffix_is_not_shown() -> None:
    server = Server({"metadata": {"orchestrator_job": "0123456789abcdef.1"}})
    assert await server.provider().find_jobs(an_order()) == []


async def test_a_short_suffix_finds_the_job_of_a_server_that_keeps_no_metadata() -> None:
    jobs = ({"metadata": None, "suffix": "0123456789abcdef-0"}, {"id": "ftjob-2", "suffix": "tone"})
    found = await Server(*jobs).provider(suffix_length=18).find_jobs(an_order())
    assert [job.id for job in found] == ["ftjob-1"]
