"""What is particular to Bedrock: names of our own, tokens, slots, signatures. botocore's client judges the fake."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.exceptions import ClientError
from fake_aws import access_key, bedrock_api_key
from fake_bedrock import MODELS, REGION, ROLE, create_bedrock, job_arn
from fake_server import serve_on_free_port
from provider_bench import TAG, BedrockBench

from orchestrator.core.errors import (
    AuthenticationFailed,
    JobLimitReached,
    JobNameTaken,
    ProviderUnavailable,
    RequestRejected,
    TrainingNotAllowed,
    UnknownOutcome,
)
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJobStatus
from orchestrator.providers.redaction import redact_provider
from orchestrator.sandbox import Fault

PARTS = (bytes(5 * 1024 * 1024), b"the last part is small")
NAME = f"orchestrator-{TAG.replace('.', '-')}"


@pytest.fixture
def bench(tmp_path: Path) -> BedrockBench:
    return BedrockBench(tmp_path)


async def test_order_has_the_name_and_the_token_of_its_tag(bench: BedrockBench) -> None:
    job = await bench.job(bench.provider(), learning_rate=1e-5, suffix="tone--v1")
    (made,) = bench.world.account("acme").jobs.values()
    assert made.body == {
        "jobName": NAME,
        "customModelName": f"tone-v1-{TAG.replace('.', '-')}",
        "clientRequestToken": NAME,
        "roleArn": ROLE,
        "baseModelIdentifier": MODELS[0],
        "customizationType": "FINE_TUNING",
        "jobTags": [{"key": "orchestrator", "value": TAG}],
        "trainingDataConfig": {"s3Uri": job.training_file},
        "outputDataConfig": {"s3Uri": f"s3://bucket-acme/orchestrator-output/{TAG.replace('.', '-')}/"},
        "hyperParameters": {"epochCount": "3", "learningRate": "1e-05"},
    }
    assert job.id == job_arn(NAME)
    assert job.training_file == f"s3://bucket-acme/{bench.file().filename}"


async def test_create_that_is_sent_again_is_ignored(bench: BedrockBench) -> None:
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    first = await provider.create_job(order, bench.deadline())
    again = await provider.create_job(order, bench.deadline())
    assert (again.id, bench.jobs()) == (first.id, 1)


async def test_taken_name_with_our_token_is_our_job(bench: BedrockBench) -> None:
    """A server that does not know the token any more refuses the name."""
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    first = await provider.create_job(order, bench.deadline())
    bench.bedrock.names[f"acme/{NAME}"] = "forgotten"
    assert (await provider.create_job(order, bench.deadline())).id == first.id
    assert bench.jobs() == 1


async def test_name_that_somebody_else_has_used_is_never_changed(bench: BedrockBench) -> None:
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    await provider.create_job(order, bench.deadline())
    bench.world.account("acme").jobs[NAME].body["clientRequestToken"] = "theirs"
    bench.bedrock.names[f"acme/{NAME}"] = "theirs"
    assert await provider.find_jobs(order) == []  # else the job could neither be created nor cancelled
    with pytest.raises(JobNameTaken, match=f"the name {NAME} is used by a job that this program did not"):
        await provider.create_job(order, bench.deadline())
    assert bench.jobs() == 1


@pytest.mark.parametrize("token", [None, "", NAME])
async def test_job_with_our_name_that_shows_no_other_token_may_be_ours(
    bench: BedrockBench, token: str | None
) -> None:
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    made = await provider.create_job(order, bench.deadline())
    bench.world.account("acme").jobs[NAME].body["clientRequestToken"] = token
    assert [job.id for job in await provider.find_jobs(order)] == [made.id]


async def test_refusal_for_another_reason_stays_what_it_is(bench: BedrockBench) -> None:
    provider = bench.provider()
    file = await bench.ready_file(provider)
    with pytest.raises(RequestRejected, match="ValidationException: The model no-such is not customizable"):
        await provider.create_job(bench.order(file, base_model="no-such"), bench.deadline())


async def test_refusal_that_cannot_be_explained_is_an_unknown_outcome(bench: BedrockBench) -> None:
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    bench.faults(Fault("server_error", operations=("jobs.retrieve",)))
    refusal = {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/"}
    with bench.answering_creates({"message": "The name is in use."}, 400, refusal), pytest.raises(UnknownOutcome):
        await provider.create_job(order, bench.deadline())


async def test_third_job_waits_for_a_slot(bench: BedrockBench) -> None:
    provider = bench.provider()
    bench.bedrock.max_jobs = 2
    file = await bench.ready_file(provider)
    for number in range(2):
        await provider.create_job(bench.order(file, f"{number:016x}.0"), bench.deadline())
    with pytest.raises(JobLimitReached, match="ServiceQuotaExceededException"):
        await provider.create_job(bench.order(file), bench.deadline())
    assert bench.jobs() == 2


async def test_model_is_an_arn_that_needs_a_deployment(bench: BedrockBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 100
    done = await provider.get_job(job.id)
    assert (done.fine_tuned_model or "").startswith(f"arn:aws:bedrock:{REGION}:123456789012:custom-model/tone-v1-")
    assert done.servable is False
    assert done.base_model == MODELS[0]
    assert done.notes == ("the final training loss is 0.25",)


async def test_job_is_read_by_its_name_too(bench: BedrockBench) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    assert (await provider.get_job(NAME)).id == job.id


@pytest.mark.parametrize(
    "key",
    ["sandbox-acme:another-secret", "sandbox-canary:a-canary-secret", "wJalrXUtnFEMI-alone", '{"Key":"other-form"}'],
)
async def test_key_that_does_not_sign_is_reported_without_being_shown(bench: BedrockBench, key: str) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        await bench.provider(key=key).verify()
    assert key.rpartition(":")[2] not in refused.value.message
    assert refused.value.hint


async def test_bedrock_api_key_is_sufficient_for_models_and_jobs(bench: BedrockBench) -> None:
    started = await bench.job(bench.provider())
    provider = bench.provider(key=bedrock_api_key("acme"))
    await provider.verify()
    assert await provider.list_models() == list(MODELS)
    assert (await provider.find_model(MODELS[0])) is not None
    file = RemoteFile(
        id=started.training_file, status=RemoteFileStatus.READY, raw_status="stored", filename="chats", bytes=1
    )
    order = bench.order(file)
    assert [job.id for job in await provider.find_jobs(order)] == [started.id]
    assert (await provider.create_job(order, bench.deadline())).id == started.id
    assert (await provider.cancel_job(started.id)).status is RemoteJobStatus.CANCELLED


async def test_bedrock_api_key_is_not_sufficient_for_files(bench: BedrockBench) -> None:
    provider = bench.provider(key=bedrock_api_key("acme"))
    for call in (
        provider.find_file(bench.file()),
        provider.upload_file(bench.file(), bench.deadline()),
        provider.delete_file("s3://bucket-acme/x.jsonl"),
    ):
        with pytest.raises(AuthenticationFailed, match="a Bedrock API key, which S3 does not accept") as refused:
            await call
        assert "an access key as `api_key`" in refused.value.hint
        assert bedrock_api_key("acme") not in refused.value.message + refused.value.hint


async def test_both_keys_share_the_work(bench: BedrockBench) -> None:
    access, secret = access_key("acme").split(":")
    document = {"BedrockApiKey": bedrock_api_key("acme"), "AccessKeyId": access, "SecretAccessKey": secret}
    headers: list[str] = []

    def record(request: httpx2.Request, body: Any) -> Any:
        headers.append(request.headers["authorization"])
        return body

    provider = bench.provider(key=json.dumps(document))
    job = await bench.job(provider)
    with bench.changing(record):
        await provider.get_job(job.id)
    assert headers == [f"Bearer {bedrock_api_key('acme')}"]
    assert bench.redact(f"{headers[0]} {secret}").count("[key ") == 2


async def test_refused_bedrock_api_key_is_not_shown(bench: BedrockBench) -> None:
    provider = redact_provider(bench.provider(key="ABSK-sandbox-canary"), bench.redact)
    with pytest.raises(TrainingNotAllowed) as refused:
        await provider.verify()
    assert "canary" not in refused.value.message


async def test_clock_that_is_wrong_is_an_authentication_error(
    bench: BedrockBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.auth

    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: real().replace(year=real().year - 1, day=1))
    with pytest.raises(AuthenticationFailed, match="the clock is wrong"):
        await bench.provider().verify()


@pytest.mark.parametrize(
    ("status", "expected"),
    [("Stopping", RemoteJobStatus.CANCELLING), ("Stopped", RemoteJobStatus.CANCELLED)],
)
async def test_word_is_read(bench: BedrockBench, status: str, expected: RemoteJobStatus) -> None:
    provider = bench.provider()
    job = await bench.job(provider)

    def change(_: httpx2.Request, body: Any) -> Any:
        return body | {"status": status}

    with bench.changing(change):
        assert (await provider.get_job(job.id)).status is expected


async def test_head_answer_without_an_etag_is_no_object(bench: BedrockBench) -> None:
    with bench.answering(b"<html>Sign in</html>"), pytest.raises(ProviderUnavailable, match="no ETag"):
        await bench.provider().find_file(bench.file())


async def test_vendor_client_uploads_in_parts() -> None:
    app, world = create_bedrock(time.time, reads_lines=False)  # noqa: TID251 - the wall clock of a real provider
    async with serve_on_free_port(app) as address:
        first = await asyncio.to_thread(upload_in_parts, address)
    (file,) = world.account("acme").files.values()
    assert file.content == PARTS[0] + PARTS[1]
    assert [part["ChecksumSHA256"] for part in first["Parts"]] == [
        base64.b64encode(sha256(part).digest()).decode() for part in PARTS
    ]
    assert file.checksum is not None
    assert file.checksum.endswith("-2")
    assert app.state.bedrock.storage.uploads == {}


def upload_in_parts(address: str) -> dict[str, Any]:
    """Upload, list the parts, complete, and abort another upload with the vendor's client."""
    key, secret = access_key("acme").split(":")
    s3: Any = boto3.client(
        "s3",
        endpoint_url=f"{address}/s3",
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    place = {"Bucket": "bucket-acme", "Key": "chats.jsonl"}
    place["UploadId"] = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    sent = [
        s3.upload_part(**place, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256")
        for number, part in enumerate(PARTS, 1)
    ]
    listed: dict[str, Any] = s3.list_parts(**place)
    parts = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}
        for number, part in enumerate(sent, 1)
    ]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    place["UploadId"] = s3.create_multipart_upload(
        Bucket="bucket-acme", Key="other.jsonl", ChecksumAlgorithm="SHA256"
    )["UploadId"]
    s3.abort_multipart_upload(**(place | {"Key": "other.jsonl"}))
    s3.close()
    return listed


def drive(address: str) -> dict[str, Any]:
    """Upload, create, repeat, follow, stop and read errors with the vendor's client."""
    key, secret = access_key("acme").split(":")
    options = {"region_name": REGION, "aws_access_key_id": key, "aws_secret_access_key": secret}
    bedrock: Any = boto3.client("bedrock", endpoint_url=address, **options)
    s3: Any = boto3.client("s3", endpoint_url=f"{address}/s3", **options)
    s3.put_object(Bucket="bucket-acme", Key="chats.jsonl", Body=b"", ChecksumAlgorithm="SHA256")
    order = {
        "jobName": "theirs-1",
        "customModelName": "theirs",
        "clientRequestToken": "token-1",
        "roleArn": ROLE,
        "baseModelIdentifier": MODELS[0],
        "trainingDataConfig": {"s3Uri": "s3://bucket-acme/chats.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://bucket-acme/out/"},
        "hyperParameters": {"epochCount": "2"},
    }
    arn = bedrock.create_model_customization_job(**order)["jobArn"]
    again = bedrock.create_model_customization_job(**order)["jobArn"]
    codes = []
    for change in ({"clientRequestToken": "token-2"}, {"jobName": "x", "baseModelIdentifier": "no-such"}):
        try:
            bedrock.create_model_customization_job(**(order | change))
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    while (job := bedrock.get_model_customization_job(jobIdentifier=arn))["status"] == "InProgress":
        time.sleep(0.05)
    second = bedrock.create_model_customization_job(**(order | {"jobName": "theirs-2", "clientRequestToken": "t-2"}))
    bedrock.stop_model_customization_job(jobIdentifier=second["jobArn"])
    stopped = bedrock.get_model_customization_job(jobIdentifier="theirs-2")["status"]
    listed = bedrock.list_model_customization_jobs(maxResults=10)["modelCustomizationJobSummaries"]
    s3.close()
    bedrock.close()
    return {
        "same": arn == again,
        "codes": codes,
        "status": job["status"],
        "model": job["outputModelArn"],
        "stopped": stopped,
        "listed": len(listed),
    }


async def test_client_of_the_vendor_completes_its_flow_on_the_fake() -> None:
    app, _ = create_bedrock(time.time)  # noqa: TID251 - the wall clock of a real provider
    async with serve_on_free_port(app) as address:
        seen = await asyncio.to_thread(drive, address)
    assert seen == {
        "same": True,
        "codes": ["ValidationException", "ValidationException"],
        "status": "Completed",
        "model": f"arn:aws:bedrock:{REGION}:123456789012:custom-model/theirs/theirs-1",
        "stopped": "Stopped",
        "listed": 2,
    }
