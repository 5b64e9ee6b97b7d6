"""The contract of deployments at every provider: one base class with one fixture. A dialect's test is its bench."""

from __future__ import annotations

from typing import Any

import pytest
from deployment_bench import HOUR, TAG, DeploymentBench
from provider_contract import DEEP, error

from orchestrator.core.deployment.deployment import Deployment, DeploymentId, StopReason
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.inventory import parse_deployment_tag
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.next_action import (
    DeploymentContext,
    PollDeployment,
    RemoveDeployment,
    StartRemoval,
    next_deployment_action,
)
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeployment,
    RemoteDeploymentStatus,
    select_remote_deployment,
)
from orchestrator.core.deployment.transitions import (
    ABSENCE_CONFIRMATION_SECONDS,
    record_created,
    record_missing,
    record_removal_progress,
    start_create,
    start_stop,
)
from orchestrator.core.errors import (
    AuthenticationFailed,
    DeploymentNameTaken,
    DeploymentNotReady,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
    UnknownOutcome,
)
from orchestrator.providers.base import DeploymentOrder, DeploymentProvider
from orchestrator.sandbox import Fault

MAX_REMOVAL_STEPS = 10
CREATE = ("deployments.create",)
MALFORMED: list[Any] = [b"<html>Sign in</html>", b"", b"{", [], 7, "x", None, {"error": {"message": "no"}}, DEEP]


async def find(provider: DeploymentProvider, order: DeploymentOrder) -> RemoteDeployment | None:
    """Find the deployment of an order as the daemon does. Raises DeploymentNameTaken."""
    search = await provider.find_deployments(order)
    matches = select_remote_deployment(order.tag, order.model, search.found, named=search.named)
    assert matches.surplus == ()
    return matches.chosen


def build_record(bench: DeploymentBench, order: DeploymentOrder) -> Deployment:
    """The record of the deployment that an order wants."""
    identity, _, number = order.tag.partition(".")
    return Deployment(
        id=DeploymentId(identity),
        round=int(number),
        job_id=None,
        account="acme",
        provider=bench.inner.name,
        model=order.model,
        spec=order.spec,
        created_at=bench.now,
        state_since=bench.now,
    )


class DeploymentContract:
    """What every provider does with deployments, however its API says it."""

    @pytest.fixture
    def bench(self) -> DeploymentBench:
        raise NotImplementedError

    async def test_created_deployment_is_found_by_its_tag(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, made = await bench.created(provider)
        found = await find(provider, order)
        assert found is not None
        assert (found.id, found.tag, found.model) == (made.id, order.tag, order.model)
        assert parse_deployment_tag(found.tag or "") is not None
        assert made.status is RemoteDeploymentStatus.CREATING
        assert (await provider.get_deployment(made.id)).id == made.id
        assert len(bench.existing()) == 1

    async def test_another_tag_is_another_deployment(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, made = await bench.created(provider)
        for tag in ("0123456789abcdef.1", "0123456789abcdef.10", "fedcba9876543210.0"):
            assert await find(provider, await bench.order(provider, tag, order.model)) is None
        second = await bench.order(provider, "0123456789abcdef.1", order.model)
        other = await provider.create_deployment(second, bench.deadline())
        assert other.id != made.id
        assert (await find(provider, order) or made).id == made.id

    async def test_deployment_is_ready_when_it_answers_and_not_before(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        _, made = await bench.created(provider)
        await error(provider.call_deployment(made), DeploymentNotReady)
        bench.now += bench.start_seconds
        remote = await provider.get_deployment(made.id)
        await provider.call_deployment(remote)
        assert remote.is_worth_a_call
        assert remote.model_string
        assert (remote.base_url or "").startswith("http")
        assert (remote.usd_per_hour is not None) is (bench.price_is_known or bench.kind is DeploymentKind.TOKEN)
        if bench.kind is DeploymentKind.TOKEN:
            assert remote.usd_per_hour == 0

    @pytest.mark.parametrize("kind", ["lose_answer", "truncate"])
    async def test_lost_create_answer_is_found_again(self, bench: DeploymentBench, kind: str) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        bench.faults(Fault(kind, operations=CREATE, times=1))
        await error(provider.create_deployment(order, bench.deadline()), UnknownOutcome)
        found = await find(provider, order)
        assert found is not None
        assert found.model in ("", order.model)
        assert len(bench.existing()) == 1

    @pytest.mark.parametrize("kind", ["drop", "server_error"])
    async def test_create_that_did_nothing_has_an_unknown_outcome(self, bench: DeploymentBench, kind: str) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        bench.faults(Fault(kind, operations=CREATE, times=1))
        await error(provider.create_deployment(order, bench.deadline()), UnknownOutcome)
        assert await find(provider, order) is None
        assert bench.existing() == {}

    async def test_nothing_is_created_after_the_deadline(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        with pytest.raises(ProviderError) as caught:
            await provider.create_deployment(order, bench.deadline(-1))
        assert not isinstance(caught.value, UnknownOutcome)
        assert bench.existing() == {}

    @pytest.mark.parametrize("status", [202, 204, 300, 302, 307, 408, 425, 460, 499, 500, 502, 503, 520, 599])
    async def test_unclear_create_answer_is_an_unknown_outcome(self, bench: DeploymentBench, status: int) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        with bench.inner.answering_creates(b"<html>Please wait</html>", status):
            await error(provider.create_deployment(order, bench.deadline()), UnknownOutcome)

    @pytest.mark.parametrize("status", [400, 403, 405, 413, 422])
    async def test_refusal_of_a_create_keeps_its_text_without_the_key(
        self, bench: DeploymentBench, status: int
    ) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        page = f"<html>Blocked by  policy 7: {bench.inner.key_of('acme')} ".encode()
        with (
            bench.inner.answering_creates(page, status),
            pytest.raises((RequestRejected, TrainingNotAllowed)) as caught,
        ):
            await provider.create_deployment(order, bench.deadline())
        assert "<html>Blocked by policy 7: [key " in caught.value.message

    async def test_second_create_makes_no_second_deployment(self, bench: DeploymentBench) -> None:
        if not bench.refuses_name:
            pytest.skip("this provider accepts a second create; the daemon looks first")
        provider = bench.provider()
        order, made = await bench.created(provider)
        assert (await provider.create_deployment(order, bench.deadline())).id == made.id
        assert len(bench.existing()) == 1

    async def test_name_of_somebody_else_is_left_alone(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        bench.add_foreign(order.name, "accounts/org-acme/models/theirs")
        before = bench.existing()
        assert len(before) == 1
        with pytest.raises(DeploymentNameTaken, match="theirs"):
            await find(provider, order)
        if bench.refuses_name:
            with pytest.raises(RequestRejected):
                await provider.create_deployment(order, bench.deadline())
        assert bench.existing() == before

    async def test_failed_deployment_says_why(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        bench.fail_next("no capacity in this region")
        _, made = await bench.created(provider)
        bench.now += bench.start_seconds
        failed = await provider.get_deployment(made.id)
        assert failed.status is RemoteDeploymentStatus.FAILED
        assert "no capacity in this region" in (failed.message or "")
        assert not failed.is_worth_a_call

    async def test_deployment_at_rest_is_woken_by_calls_only(self, bench: DeploymentBench) -> None:
        if not bench.rests:
            pytest.skip("at this provider it does not go to sleep")
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        bench.now += 24 * 3600
        for _ in range(5):
            await find(provider, order)
            await provider.list_own_deployments()
            remote = await provider.get_deployment(remote.id)
            bench.now += 600
        assert remote.status is RemoteDeploymentStatus.ASLEEP
        assert remote.is_worth_a_call
        waits = 0
        while waits < 60:
            try:
                await provider.call_deployment(remote)
            except DeploymentNotReady:
                waits += 1
                bench.now += 30
            else:
                break
        assert 0 < waits < 60
        assert (await provider.get_deployment(remote.id)).status is RemoteDeploymentStatus.RUNNING

    async def test_deployment_that_the_provider_removed_is_missing(self, bench: DeploymentBench) -> None:
        if bench.removes_itself_after is None:
            pytest.skip("this provider removes nothing by itself")
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        bench.now += bench.removes_itself_after + 3600
        assert await find(provider, order) is None
        await error(provider.get_deployment(remote.id), RemoteNotFound)
        assert await provider.list_own_deployments() == []

    @pytest.mark.parametrize("running", [False, True])
    async def test_removal_ends_with_nothing(self, bench: DeploymentBench, running: bool) -> None:
        provider = bench.provider()
        order, made = await (bench.answering(provider) if running else bench.created(provider))
        bystander = await bench.order(provider, "fedcba9876543210.0", order.model)
        kept = await provider.create_deployment(bystander, bench.deadline())
        await self._remove(bench, provider, order)
        await error(provider.get_deployment(made.id), RemoteNotFound)
        assert [each.id for each in await provider.list_own_deployments()] == [kept.id]
        await provider.remove_deployment(made)
        assert len(bench.existing()) == 1

    async def _remove(self, bench: DeploymentBench, provider: DeploymentProvider, order: DeploymentOrder) -> None:
        for _ in range(MAX_REMOVAL_STEPS):
            remote = await find(provider, order)
            if remote is None:
                return
            await provider.remove_deployment(remote)
            bench.now += bench.removal_seconds + 1
        pytest.fail("the deployment still exists")

    async def test_failed_deployment_is_removed(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        bench.fail_next("no capacity")
        order, _ = await bench.created(provider)
        bench.now += bench.start_seconds
        await self._remove(bench, provider, order)
        assert bench.existing() == {}

    async def test_removal_of_what_is_gone_succeeds(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        bench.remove_outside(order.name)
        await provider.remove_deployment(remote)
        await error(provider.get_deployment(remote.id), RemoteNotFound)
        assert await find(provider, order) is None

    async def test_lost_answer_of_a_removal_is_repeated(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        bench.faults(Fault("lose_answer", operations=("deployments.delete",), times=1))
        await error(provider.remove_deployment(remote), ProviderUnavailable)
        bench.now += bench.removal_seconds + 1
        await self._remove(bench, provider, order)
        assert bench.existing() == {}

    async def test_name_can_be_used_again_after_its_removal(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, _ = await bench.created(provider)
        await self._remove(bench, provider, order)
        again = await provider.create_deployment(order, bench.deadline())
        assert again.status is RemoteDeploymentStatus.CREATING
        assert len(bench.existing()) == 1

    @pytest.mark.parametrize("late_seconds", [0, 24 * HOUR], ids=["in time", "a day late"])
    async def test_expired_deployment_is_removed_and_confirmed(
        self, bench: DeploymentBench, late_seconds: float
    ) -> None:
        """The decisions are those of the service. A day late, some providers have removed it themselves."""
        provider = bench.provider()
        order = await bench.order(provider)
        wanted = build_record(bench, order)
        creating = start_create(wanted, now=bench.now, intent_until=bench.now + 60).deployment
        made = await provider.create_deployment(order, bench.deadline())
        deployment = record_created(creating, made, now=bench.now).deployment
        assert deployment.expires_at is not None
        assert isinstance(next_deployment_action(deployment, DeploymentContext(), bench.now), PollDeployment)
        bench.now = deployment.expires_at + late_seconds
        action = next_deployment_action(deployment, DeploymentContext(), bench.now)
        assert action == StartRemoval(StopReason.EXPIRED)
        deployment = start_stop(deployment, action.reason, now=bench.now).deployment
        for _ in range(MAX_REMOVAL_STEPS):
            if deployment.state is DeploymentState.STOPPED:
                break
            assert isinstance(next_deployment_action(deployment, DeploymentContext(), bench.now), RemoveDeployment)
            remote = await find(provider, order)
            if remote is None:
                deployment = record_missing(deployment, now=bench.now).deployment
            else:
                await provider.remove_deployment(remote)
                deployment = record_removal_progress(deployment, remote, until=bench.now + 1).deployment
            bench.now += max(bench.removal_seconds + 1, ABSENCE_CONFIRMATION_SECONDS)
        assert deployment.state is DeploymentState.STOPPED
        assert bench.existing() == {}

    async def test_own_deployments_are_listed_to_the_last_page(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, made = await bench.created(provider)
        expected = {made.id: order.tag}
        for number in range(7):
            bench.add_foreign(f"demo-{number}", order.model)
            tag = f"{number:016x}.{number}"
            ours = await bench.order(provider, tag, order.model)
            expected[(await provider.create_deployment(ours, bench.deadline())).id] = tag
            bench.now += 1
        listed = await provider.list_own_deployments()
        assert {each.id: each.tag for each in listed} == (expected if bench.shows_tags else dict.fromkeys(expected))
        assert len(listed) == len(expected)
        assert {each.model for each in listed} == {order.model}
        for tag in expected.values():
            found = await find(provider, await bench.order(provider, tag, order.model))
            assert found is not None
            assert expected[found.id] == tag
        assert await bench.provider("globex").list_own_deployments() == []

    async def test_lost_database_finds_the_expiry_at_the_provider(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, made = await bench.created(provider)
        (listed,) = await provider.list_own_deployments()
        assert (listed.id, listed.stop_at) == (made.id, order.expires_at if bench.keeps_stop_time else None)

    async def test_rate_limit_carries_the_retry_after_time(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        other = await bench.order(provider, "fedcba9876543210.0", order.model)
        bench.faults(Fault("rate_limit", seconds=7))
        for call in (
            provider.find_deployments(order),
            provider.create_deployment(other, bench.deadline()),
            provider.get_deployment(remote.id),
            provider.call_deployment(remote),
            provider.remove_deployment(remote),
            provider.list_own_deployments(),
        ):
            assert (await error(call, RateLimited)).retry_after == 7
        assert len(bench.existing()) == 1

    @pytest.mark.parametrize("kind", ["server_error", "drop", "lose_answer", "truncate"])
    async def test_failed_read_is_retryable_and_never_nothing(self, bench: DeploymentBench, kind: str) -> None:
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        bench.faults(Fault(kind))
        for call in (
            provider.find_deployments(order),
            provider.get_deployment(remote.id),
            provider.list_own_deployments(),
        ):
            await error(call, ProviderUnavailable)
        bench.faults()
        assert (await provider.get_deployment(remote.id)).id == remote.id

    @pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body)[:20])
    async def test_malformed_read_is_never_nothing(self, bench: DeploymentBench, body: Any) -> None:
        provider = bench.provider()
        order, remote = await bench.answering(provider)
        with bench.inner.answering(body):
            for call in (
                provider.find_deployments(order),
                provider.get_deployment(remote.id),
                provider.list_own_deployments(),
            ):
                await error(call, ProviderUnavailable)

    async def test_unknown_status_is_not_final_and_kept_verbatim(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        _, remote = await bench.answering(provider)
        with bench.inner.changing(lambda request, body: bench.change_status(body, "POLISHING")):
            odd = await provider.get_deployment(remote.id)
        assert odd.status is RemoteDeploymentStatus.UNKNOWN
        assert odd.raw_status == "POLISHING"

    async def test_answer_about_another_deployment_is_not_used(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        _, remote = await bench.answering(provider)
        with bench.inner.changing(lambda request, body: bench.change_id(body, lambda identity: identity + "0")):
            found = await error(provider.get_deployment(remote.id), ProviderUnavailable)
        assert f"{remote.id}0 instead of {remote.id}" in found.message

    async def test_account_that_may_not_deploy_is_reported(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        for kind, expected in (("forbidden", bench.error_without_right), ("quota", QuotaExhausted)):
            bench.faults(Fault(kind, operations=CREATE, message="not with this plan"))
            found = await error(provider.create_deployment(order, bench.deadline()), expected)
            assert "not with this plan" in found.message
        assert bench.existing() == {}

    async def test_wrong_key_is_reported_without_being_shown(self, bench: DeploymentBench) -> None:
        order, remote = await bench.answering(bench.provider())
        provider = bench.provider(key="sk-canary-0042")
        for call in (provider.find_deployments(order), provider.call_deployment(remote)):
            assert "canary" not in (await error(call, AuthenticationFailed)).message

    async def test_model_that_does_not_exist_is_refused(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        order = await bench.order(provider)
        missing = await bench.order(provider, TAG, f"{order.model}0")
        await error_of_kind(provider, missing, bench)
        assert bench.existing() == {}

    async def test_ways_of_deploying_are_listed_without_creating_anything(self, bench: DeploymentBench) -> None:
        provider = bench.provider()
        options = await provider.list_deployment_options(bench.servable_model or bench.inner.base_model)
        assert options is None or options
        for option in options or []:
            assert option.price.kind in bench.offer.kinds
            assert (option.price.usd_per_hour == 0) is (option.price.kind is DeploymentKind.TOKEN)
        if bench.unservable_model is not None:
            assert await provider.list_deployment_options(bench.unservable_model) == []
        assert bench.existing() == {}


async def error_of_kind(provider: DeploymentProvider, order: DeploymentOrder, bench: DeploymentBench) -> None:
    """The refusal of a create: a rejection, and not an outcome that is unknown."""
    with pytest.raises(RequestRejected) as caught:
        await provider.create_deployment(order, bench.deadline())
    assert order.model in caught.value.message
