"""What is particular to deployments at Azure: another token, one operation at a time, types, limits, and ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from fake_azure_deployments import DAY
from provider_bench import AzureBench
from provider_contract import error

from orchestrator.core.account import Account
from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import (
    AccountError,
    AuthenticationFailed,
    DeploymentNameTaken,
    DeploymentNotReady,
    JobLimitReached,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
)
from orchestrator.core.jobs.checkpoint import number_checkpoints
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.secret import Secret
from orchestrator.core.structs import replace
from orchestrator.providers.azure.azure_provider import AzureProvider
from orchestrator.providers.base import DeploymentOrder
from orchestrator.sandbox import Fault

TAG = "0123456789abcdef.0"
DEVELOPER = DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=2)
STANDARD = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2, config="Standard")


@pytest.fixture
def bench(tmp_path: Path) -> AzureBench:
    return AzureBench(tmp_path)


def connect(bench: AzureBench, account: str = "acme", *, key: str = "") -> AzureProvider:
    return cast(AzureProvider, bench.provider(account, key=key))


async def order(
    bench: AzureBench, provider: AzureProvider, tag: str = TAG, spec: DeploymentSpec = DEVELOPER, model: str = ""
) -> DeploymentOrder:
    if not model:
        job = await bench.job(provider)
        bench.now += 1000
        model = (await provider.get_job(job.id)).fine_tuned_model or ""
    assert model
    name = format_deployment_name(tag)
    return DeploymentOrder(
        tag=tag, name=name, model=model, base_model=bench.base_model, spec=spec, expires_at=bench.now + 7200
    )


async def create(bench: AzureBench, provider: AzureProvider, order: DeploymentOrder) -> RemoteDeployment:
    return await provider.create_deployment(order, bench.deadline())


def requests(bench: AzureBench, method: str) -> int:
    return sum(each == method for each, _ in bench.deployments.requests)


async def test_api_key_is_never_sent_to_the_resource_manager(bench: AzureBench) -> None:
    provider = connect(bench)
    ordered = await order(bench, provider)
    assert bench.loaded == []  # training needs no token
    made = await create(bench, provider, ordered)
    assert bench.loaded == ["file:arm-acme"]
    assert (made.model_string, made.base_url) == (ordered.name, bench.base_url)


async def test_refused_token_is_read_again_once(bench: AzureBench) -> None:
    provider = connect(bench)
    ordered = await order(bench, provider)
    await provider.find_deployments(ordered)
    bench.deployments.refused_tokens.add("arm-acme_eyJhbGciOiJ")
    bench.tokens["file:arm-acme"] = "arm-acme_newer"
    made = await create(bench, provider, ordered)
    assert made.status is RemoteDeploymentStatus.CREATING
    assert (len(bench.loaded), requests(bench, "PUT")) == (2, 1)
    bench.deployments.refused_tokens.add("arm-acme_newer")
    refusal = await error(provider.get_deployment(made.id), AuthenticationFailed)
    assert "management_key" in refusal.hint
    assert "arm-acme" not in refusal.message


async def test_accounts_with_one_reference_share_its_token(bench: AzureBench) -> None:
    key = Secret("sandbox-acme-key")
    connect_account = bench.connect
    options: dict[str, Any] = {name: value.format(name="acme") for name, value in bench.account_options.items()}
    for name in ("one", "two"):
        account = Account(name=name, provider=bench.name, api_key="env:KEY", base_url=bench.base_url, **options)
        await cast(AzureProvider, connect_account(account, key)).list_own_deployments()
    assert bench.loaded == ["file:arm-acme"]


async def test_account_without_the_options_trains_and_names_what_is_missing(bench: AzureBench) -> None:
    account = Account(
        name="acme", provider=bench.name, api_key="env:KEY", base_url=bench.base_url, resource="res-acme"
    )
    provider = cast(AzureProvider, bench.connect(account, Secret("sandbox-acme")))
    assert (await bench.job(provider)).id
    refusal = await error(provider.list_deployment_options("sandbox-small"), RequestRejected)
    assert "management_key, subscription_id, resource_group" in refusal.message
    assert "resource," not in refusal.message
    assert await provider.list_own_deployments() == []
    assert bench.deployments.requests == []


async def test_wrong_place_holds_the_account_and_says_which_options(bench: AzureBench) -> None:
    ordered = await order(bench, connect(bench))
    for option, value in (("resource_group", "other"), ("resource", "other"), ("subscription_id", "0" * 8)):
        bench.account_options = {**AzureBench.account_options, option: value}  # type: ignore[misc]
        provider = connect(bench)
        for call in (provider.find_deployments(ordered), provider.list_own_deployments()):
            refusal = await error(call, AccountError)
            assert option in refusal.hint
        with pytest.raises(AccountError):  # not "it does not exist": what is billed there would be forgotten
            await provider.remove_deployment(RemoteDeployment(id="x", status=_RUNNING, raw_status="", model=""))


async def test_removal_of_what_the_resource_manager_does_not_find_succeeds(bench: AzureBench) -> None:
    provider = connect(bench)
    bench.wire.creation = re.compile("/deployments/")  # answers the removal
    with bench.answering_creates({"error": {"code": "ResourceNotFound", "message": "not found"}}, 404):
        await provider.remove_deployment(_named("orchestrator-x"))


async def test_missing_role_is_named(bench: AzureBench) -> None:
    provider = connect(bench)
    ordered = await order(bench, provider)
    bench.faults(Fault("forbidden", operations=("deployments.create",), message="does not have authorization"))
    refusal = await error(create(bench, provider, ordered), TrainingNotAllowed)
    assert "Cognitive Services Contributor" in refusal.hint


async def test_create_never_changes_what_has_the_name(bench: AzureBench) -> None:
    """Azure would: a PUT under an existing name is an update."""
    provider = connect(bench)
    ordered = await order(bench, provider)
    theirs = bench.deployments.add("acme", ordered.name, "gpt-theirs", bench.now)
    untouched = dict(theirs.body)
    search = await provider.find_deployments(ordered)
    assert search.named is not None
    assert (search.found, search.named.model, search.named.tag) == ((), "gpt-theirs", None)
    await error(create(bench, provider, ordered), DeploymentNameTaken)
    same_model = bench.deployments.add("acme", ordered.name, ordered.model, bench.now)
    await error(create(bench, provider, ordered), DeploymentNameTaken)  # without our tag it is not ours either
    same_model.body["tags"] = {"orchestrator-tag": TAG}
    assert (await create(bench, provider, ordered)).tag == TAG
    assert requests(bench, "PUT") == 0
    assert theirs.body == untouched


async def test_deployment_that_the_list_lacks_is_found_by_its_name(bench: AzureBench) -> None:
    provider = connect(bench)
    ordered = await order(bench, provider)
    await create(bench, provider, ordered)
    bench.deployments.lists_unnamed = False
    search = await provider.find_deployments(ordered)
    assert (search.found, search.named and search.named.tag) == ((), TAG)


async def test_conflict_waits_and_is_not_an_unknown_outcome(bench: AzureBench) -> None:
    provider = connect(bench)
    first = await order(bench, provider)
    await create(bench, provider, first)
    second = await order(bench, provider, "fedcba9876543210.0", model=first.model)
    refusal = await error(create(bench, provider, second), JobLimitReached)
    assert "one operation at a time" in refusal.hint
    await provider.remove_deployment(_named(second.name))  # it does not exist
    bench.now += bench.deployments.start_seconds
    assert (await create(bench, provider, second)).id == second.name


async def test_removal_during_another_operation_is_tried_again(bench: AzureBench) -> None:
    provider = connect(bench)
    first = await order(bench, provider)
    made = await create(bench, provider, first)
    bench.now += bench.deployments.start_seconds
    await create(bench, provider, await order(bench, provider, "fedcba9876543210.0", model=first.model))
    await error(provider.remove_deployment(made), JobLimitReached)
    bench.now += bench.deployments.start_seconds
    await provider.remove_deployment(made)
    assert (await provider.get_deployment(made.id)).status is RemoteDeploymentStatus.STOPPING


@pytest.mark.parametrize("known", [True, False])
async def test_late_conflict_is_recognised_by_the_operation(bench: AzureBench, *, known: bool) -> None:
    """After a restart the address of the operation is gone, and the failure is one without a known reason."""
    bench.deployments.reports_conflicts_late = True
    provider = connect(bench)
    first = await order(bench, provider)
    await create(bench, provider, first)
    second = await order(bench, provider, "fedcba9876543210.0", model=first.model)
    made = await create(bench, provider, second)
    assert made.status is RemoteDeploymentStatus.CREATING
    bench.now += bench.deployments.start_seconds
    if not known:
        bench.connect = bench.connector()(bench.http, bench.redact)
        provider = connect(bench)
    failed = await provider.get_deployment(second.name)
    assert (failed.status, failed.failed_by_conflict) == (RemoteDeploymentStatus.FAILED, known)
    assert ("RequestConflict" in (failed.message or "")) is known


async def test_failure_whose_operation_is_not_kept_any_more_has_no_reason(bench: AzureBench) -> None:
    provider = connect(bench)
    bench.deployments.failures.append("no capacity")
    made = await create(bench, provider, await order(bench, provider))
    bench.now += bench.deployments.start_seconds
    bench.deployments.operations.clear()
    failed = await provider.get_deployment(made.id)
    assert (failed.status, failed.message) == (RemoteDeploymentStatus.FAILED, None)


async def test_token_does_not_follow_an_operation_to_another_server(bench: AzureBench) -> None:
    provider = connect(bench)
    bench.deployments.failures.append("no capacity")
    made = await create(bench, provider, await order(bench, provider))
    bench.now += bench.deployments.start_seconds
    assert provider._optional_deployments is not None
    operations = provider._optional_deployments._operations
    path = next(iter(operations))
    operations[path] = operations[path].replace("http://localhost", "http://evil.example")
    before = len(bench.deployments.requests)
    failed = await provider.get_deployment(made.id)
    assert (failed.message, failed.failed_by_conflict) == (None, False)
    assert len(bench.deployments.requests) == before + 1


async def test_types_have_their_sku_capacity_price_and_end(bench: AzureBench) -> None:
    provider = connect(bench)
    developer = await order(bench, provider)
    made = await create(bench, provider, developer)
    assert (made.usd_per_hour, made.expires_at, made.stop_at) == (0.0, bench.now + DAY, developer.expires_at)
    bench.now += bench.deployments.start_seconds
    standard = await order(bench, provider, "fedcba9876543210.0", STANDARD, developer.model)
    other = await create(bench, provider, standard)
    assert (other.usd_per_hour, other.expires_at) == (None, None)
    bench.now += bench.deployments.start_seconds
    chosen = replace(STANDARD, config="GlobalStandard", capacity=7)
    await create(bench, provider, await order(bench, provider, "00000000000000aa.0", chosen, developer.model))
    skus = [each.body["sku"] for each in bench.deployments.of("acme").values()]
    assert [(sku["name"], sku["capacity"]) for sku in skus] == [
        ("developertier", 50),
        ("Standard", 10),
        ("GlobalStandard", 7),
    ]


async def test_what_azure_removes_by_itself_is_missing(bench: AzureBench) -> None:
    provider = connect(bench)
    developer = await order(bench, provider)
    made = await create(bench, provider, developer)
    bench.now += bench.deployments.start_seconds + bench.deployments.answer_seconds
    standard = await order(bench, provider, "fedcba9876543210.0", STANDARD, developer.model)
    other = await create(bench, provider, standard)
    bench.now += DAY - 200
    await provider.call_deployment(other)
    await provider.call_deployment(made)
    bench.now += 200
    await error(provider.get_deployment(made.id), RemoteNotFound)  # after a day, although it was called
    bench.now += 15 * DAY - 300
    assert (await provider.get_deployment(other.id)).status is RemoteDeploymentStatus.RUNNING
    bench.now += 300
    await error(provider.get_deployment(other.id), RemoteNotFound)
    assert (await provider.find_deployments(standard)).named is None


async def test_succeeded_is_not_ready(bench: AzureBench) -> None:
    provider = connect(bench)
    made = await create(bench, provider, await order(bench, provider))
    bench.now += bench.deployments.start_seconds
    remote = await provider.get_deployment(made.id)
    assert remote.status is RemoteDeploymentStatus.RUNNING
    refusal = await error(provider.call_deployment(remote), DeploymentNotReady)
    assert refusal.code == "DeploymentNotFound"
    bench.now += bench.deployments.answer_seconds
    await provider.call_deployment(remote)
    await error(provider.call_deployment(replace(remote, id=remote.model)), DeploymentNotReady)


@pytest.mark.parametrize(
    ("limits", "least"), [({"max_tokens"}, 1), ({"max_completion_tokens"}, 1), ({"max_completion_tokens"}, 100)]
)
async def test_call_uses_the_limit_that_the_model_accepts(bench: AzureBench, limits: set[str], least: int) -> None:
    provider = connect(bench)
    made = await create(bench, provider, await order(bench, provider))
    bench.now += bench.deployments.start_seconds + bench.deployments.answer_seconds
    bench.deployments.output_limits, bench.deployments.min_output = limits, least
    await provider.call_deployment(made)
    bench.deployments.output_limits = set()
    assert "Unsupported" in (await error(provider.call_deployment(made), RequestRejected)).message


async def test_quota_says_what_to_do(bench: AzureBench) -> None:
    provider = connect(bench)
    bench.deployments.quota = 20
    refusal = await error(create(bench, provider, await order(bench, provider)), RequestRejected)
    assert refusal.code == "InsufficientQuota"
    assert "capacity" in refusal.hint


async def test_options_are_the_listed_types_without_provisioned_throughput(bench: AzureBench) -> None:
    provider = connect(bench)
    options = await provider.list_deployment_options("sandbox-small") or []
    shown = [(option.price.kind, option.config, option.price.usd_per_hour) for option in options]
    assert shown == [(DeploymentKind.TOKEN, None, 0.0), (DeploymentKind.HOUR, "GlobalStandard", None)]
    assert await provider.list_deployment_options("provisioned-only") == []
    assert await provider.list_deployment_options("unheard-of") is None
    bench.deployments.base_model = "sandbox"
    assert await provider.list_deployment_options("sandbox-1")  # name and version, as the training writes it


async def test_checkpoint_is_deployed_by_its_own_id(bench: AzureBench) -> None:
    provider = connect(bench)
    job = await bench.job(provider)
    bench.now += 1000
    kept = number_checkpoints(await provider.checkpoints(job.id))
    assert kept[0].id.startswith("ftchkpt-")
    assert (kept[0].model, kept[0].training_loss is not None) == (kept[0].id, True)
    made = await create(bench, provider, await order(bench, provider, model=kept[0].model))
    assert made.model == kept[0].id


def test_options_of_the_bench_are_those_that_deployments_need() -> None:
    assert PROVIDERS[AzureBench.name].deployment_account_options.keys() <= AzureBench.account_options.keys()


_RUNNING = RemoteDeploymentStatus.RUNNING


def _named(name: str) -> RemoteDeployment:
    return RemoteDeployment(id=name, status=_RUNNING, raw_status="", model="")
