"""What is particular to Bedrock's deployments. botocore's clients judge the fake."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from deployment_bench import TAG, BedrockDeploymentBench
from deployment_contract import find
from fake_aws import access_key, bedrock_api_key
from fake_bedrock import MODELS, REGION, ROLE, create_bedrock
from fake_server import serve_on_free_port

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeploymentStatus
from orchestrator.core.errors import (
    DeploymentNameTaken,
    DeploymentNotReady,
    JobLimitReached,
    ProviderUnavailable,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.sandbox import Fault

NAME = "orch-0123456789abcdef-0"


@pytest.fixture
def bench(tmp_path: Path) -> BedrockDeploymentBench:
    return BedrockDeploymentBench(tmp_path)


async def test_order_has_the_name_the_tag_and_the_token(bench: BedrockDeploymentBench) -> None:
    order, made = await bench.created(bench.provider())
    (sent,) = bench.fake.of("acme").values()
    assert sent.body == {
        "modelDeploymentName": NAME,
        "modelArn": order.model,
        "description": f"Created by orchestrator, tag {TAG}, stopped at 2027-01-15T10:16:50Z",
        "tags": [{"key": "orchestrator", "value": TAG}],
        "clientRequestToken": NAME,
    }
    assert made.id == made.model_string == sent.arn
    assert (made.base_url, made.usd_per_hour) == ("http://localhost", 0)


async def test_taken_name_with_our_model_is_our_deployment(bench: BedrockDeploymentBench) -> None:
    """A server that does not know the token any more refuses the name."""
    provider = bench.provider()
    order, made = await bench.created(provider)
    bench.fake.of("acme")[NAME].body["clientRequestToken"] = "forgotten"
    assert (await provider.create_deployment(order, bench.deadline())).id == made.id
    assert len(bench.existing()) == 1


async def test_refusal_that_cannot_be_explained_is_an_unknown_outcome(bench: BedrockDeploymentBench) -> None:
    provider = bench.provider()
    order, _ = await bench.created(provider)
    bench.fake.of("acme")[NAME].body["clientRequestToken"] = "forgotten"
    bench.faults(Fault("server_error", operations=("deployments.retrieve",)))
    with pytest.raises(UnknownOutcome, match="whether the deployment exists cannot be read"):
        await provider.create_deployment(order, bench.deadline())


async def test_region_without_deployments_refuses_in_its_own_words(bench: BedrockDeploymentBench) -> None:
    bench.fake.refuses = "Custom model deployments are not supported for this model."
    with pytest.raises(RequestRejected, match="ValidationException: Custom model deployments are not supported"):
        await bench.created(bench.provider())


async def test_full_quota_waits(bench: BedrockDeploymentBench) -> None:
    provider = bench.provider()
    order = await bench.order(provider)
    refusal = {"x-amzn-errortype": "ServiceQuotaExceededException:http://internal.amazon.com/"}
    with bench.inner.answering_creates({"message": "Too many."}, 400, refusal), pytest.raises(JobLimitReached):
        await provider.create_deployment(order, bench.deadline())


async def test_active_deployment_that_is_not_ready_is_called_again(bench: BedrockDeploymentBench) -> None:
    provider = bench.provider()
    bench.fake.answer_seconds = 600
    _, made = await bench.created(provider)
    bench.now += 100
    active = await provider.get_deployment(made.id)
    assert active.status is RemoteDeploymentStatus.RUNNING
    with pytest.raises(DeploymentNotReady, match="429 ModelNotReadyException"):
        await provider.call_deployment(active)


async def test_error_of_the_model_is_temporary(bench: BedrockDeploymentBench) -> None:
    provider = bench.provider()
    _, remote = await bench.answering(provider)
    refusal = httpx2.Response(
        424,
        json={"message": "The model did not answer."},
        headers={"x-amzn-errortype": "ModelErrorException:http://internal.amazon.com/"},
    )
    bench.inner.wire.creation = re.compile(r"/converse$")
    bench.inner.wire.created = refusal
    with pytest.raises(ProviderUnavailable, match="ModelErrorException"):
        await provider.call_deployment(remote)


async def test_another_model_behind_the_name_is_not_ours(bench: BedrockDeploymentBench) -> None:
    provider = bench.provider()
    order, remote = await bench.answering(provider)
    bench.fake.of("acme")[NAME].model = "arn:aws:bedrock:us-east-1:123456789012:custom-model/theirs/other"
    assert (await provider.get_deployment(remote.id)).model.endswith("theirs/other")
    with pytest.raises(DeploymentNameTaken, match="theirs/other"):
        await find(provider, order)


async def test_bedrock_api_key_deploys_calls_and_removes(bench: BedrockDeploymentBench) -> None:
    order, made = await bench.created(bench.provider())
    provider = bench.provider(key=bedrock_api_key("acme"))
    bench.now += bench.start_seconds
    await provider.call_deployment(made)
    assert [each.id for each in await provider.list_own_deployments()] == [made.id]
    await provider.remove_deployment(made)
    assert bench.existing() == {}
    assert (await provider.create_deployment(order, bench.deadline())).id != made.id


def test_provisioned_throughput_is_not_used() -> None:
    """With a commitment it cannot be deleted before its end."""
    assert DEPLOYMENT_OFFERS[ProviderName.BEDROCK].kinds.keys() == {DeploymentKind.TOKEN}
    package = Path(__file__).parents[2] / "orchestrator" / "providers" / "bedrock"
    for module in package.glob("*.py"):
        source = module.read_text()
        assert "provisioned-model" not in source
        assert "modelUnits" not in source
        assert "commitmentDuration" not in source


def drive(address: str) -> dict[str, Any]:
    """Train, deploy, deploy again, call, list, exchange the model and undeploy, with the clients of the vendor."""
    key, secret = access_key("acme").split(":")
    options: dict[str, Any] = {
        "region_name": REGION,
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "config": Config(retries={"total_max_attempts": 1}),
    }
    bedrock: Any = boto3.client("bedrock", endpoint_url=address, **options)
    runtime: Any = boto3.client("bedrock-runtime", endpoint_url=address, **options)
    s3: Any = boto3.client("s3", endpoint_url=f"{address}/s3", **options)
    s3.put_object(Bucket="bucket-acme", Key="chats.jsonl", Body=b"", ChecksumAlgorithm="SHA256")
    models = [train(bedrock, name) for name in ("first", "second")]
    wanted = {"modelDeploymentName": "demo-1", "modelArn": models[0], "clientRequestToken": "t-1"}
    create = bedrock.create_custom_model_deployment
    arn = create(**wanted)["customModelDeploymentArn"]
    seen: dict[str, Any] = {"same": arn == create(**wanted)["customModelDeploymentArn"], "codes": []}

    def attempt(call: Any, **arguments: Any) -> None:
        try:
            call(**arguments)
        except ClientError as error:
            seen["codes"].append(error.response["Error"]["Code"])

    hello = {"modelId": arn, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    attempt(create, **wanted | {"clientRequestToken": "t-2"})
    attempt(runtime.converse, **hello)
    while (shown := bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn))["status"] != "Active":
        time.sleep(0.05)
    time.sleep(0.5)
    seen["answer"] = runtime.converse(**hello)["output"]["message"]["content"]
    for number in range(4):
        create(modelDeploymentName=f"more-{number}", modelArn=models[0])
    pages = bedrock.get_paginator("list_custom_model_deployments").paginate()
    seen["listed"] = [
        each["customModelDeploymentName"] for page in pages for each in page["modelDeploymentSummaries"]
    ]
    bedrock.update_custom_model_deployment(customModelDeploymentIdentifier=arn, modelArn=models[1])
    again = bedrock.get_custom_model_deployment(customModelDeploymentIdentifier="demo-1")
    seen["models"] = [shown["modelArn"] == models[0], again["modelArn"] == models[1], again["updateDetails"]]
    bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=arn)
    attempt(bedrock.get_custom_model_deployment, customModelDeploymentIdentifier=arn)
    attempt(runtime.converse, **hello)
    for client in (bedrock, runtime, s3):
        client.close()
    return seen


def train(bedrock: Any, name: str) -> str:
    arn = bedrock.create_model_customization_job(
        jobName=name,
        customModelName=name,
        roleArn=ROLE,
        baseModelIdentifier=MODELS[0],
        trainingDataConfig={"s3Uri": "s3://bucket-acme/chats.jsonl"},
        outputDataConfig={"s3Uri": "s3://bucket-acme/out/"},
        hyperParameters={"epochCount": "2"},
    )["jobArn"]
    while (job := bedrock.get_model_customization_job(jobIdentifier=arn))["status"] == "InProgress":
        time.sleep(0.05)
    return str(job["outputModelArn"])


async def test_clients_of_the_vendor_deploy_call_and_undeploy_at_the_fake() -> None:
    app, _ = create_bedrock(time.time, training_seconds=0.2)  # noqa: TID251 - the wall clock of a real provider
    app.state.deployments.start_seconds, app.state.deployments.answer_seconds = 0.2, 0.5
    async with serve_on_free_port(app) as address:
        seen = await asyncio.to_thread(drive, address)
    second = f"arn:aws:bedrock:{REGION}:123456789012:custom-model/second/second"
    assert seen == {
        "same": True,
        "codes": [
            "ValidationException",
            "ModelNotReadyException",
            "ResourceNotFoundException",
            "ResourceNotFoundException",
        ],
        "answer": [{"text": "It"}],
        "listed": ["demo-1", "more-0", "more-1", "more-2", "more-3"],
        "models": [True, True, {"modelArn": second, "updateStatus": "UpdateCompleted"}],
    }
