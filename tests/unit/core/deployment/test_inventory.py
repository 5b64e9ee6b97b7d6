from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW
from deployment_values import KEEP_SECONDS, a_deployment, a_remote_deployment

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, StopReason, format_deployment_name
from orchestrator.core.deployment.inventory import (
    ADOPTION_SECONDS,
    MAX_LATER_ROUNDS,
    InventoryDifferences,
    compare_inventory,
    list_later_outcomes,
    list_link_outcomes,
    parse_deployment_tag,
)
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.deployment.next_action import DeploymentContext, StartRemoval, next_deployment_action
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.hold import Hold
from orchestrator.core.structs import replace

REMOTE = a_remote_deployment(created_at=NOW - 600, usd_per_hour=4.0, model_string="s")


def compare(listed: list[RemoteDeployment], recorded: list[Deployment]) -> InventoryDifferences:
    return compare_inventory("acme", ProviderName.FIREWORKS, listed, recorded, now=NOW)


@pytest.mark.parametrize(
    ("times", "expires_at"),
    [
        ({}, NOW + ADOPTION_SECONDS),
        ({"stop_at": NOW + KEEP_SECONDS}, NOW + KEEP_SECONDS),
        ({"stop_at": NOW + KEEP_SECONDS, "expires_at": NOW + 60}, NOW + 60),
        ({"stop_at": NOW - 5}, NOW - 5),
        ({"created_at": NOW + 900}, NOW + ADOPTION_SECONDS),  # a provider's clock that is ahead
    ],
)
def test_lost_database_gets_a_record_with_an_expiry(times: dict[str, Any], expires_at: float) -> None:
    (adopted,) = compare([replace(REMOTE, **times)], []).unknown
    assert (adopted.id, adopted.tag, adopted.job_id) == (a_deployment().id, REMOTE.tag, None)
    assert (adopted.state, adopted.expires_at, adopted.remote_id) == ("starting", expires_at, "dep-1")
    assert (adopted.usd_per_hour, adopted.model_string, adopted.wake_at) == (4.0, "s", NOW)
    assert adopted.create_started_at is not None
    assert adopted.create_started_at <= NOW
    late = max(expires_at, NOW)
    assert next_deployment_action(adopted, DeploymentContext(), late) == StartRemoval(StopReason.EXPIRED)


@pytest.mark.parametrize("state", sorted(TERMINAL_DEPLOYMENT_STATES))
def test_ended_deployment_that_still_exists_is_removed(state: DeploymentState) -> None:
    differences = compare([REMOTE], [a_deployment(state)])
    assert [each.deployment.state for each in differences.reappeared] == [DeploymentState.STOPPING]
    assert not differences.unknown


def test_wanted_deployment_that_exists_already_is_linked_with_the_end_at_the_provider() -> None:
    hold = Hold("price_unknown", "the price is unknown", "approve it")
    wanted = a_deployment(hold=hold, wake_at=None)
    remote = replace(REMOTE, stop_at=NOW + 60)
    assert compare([remote], [wanted]) == InventoryDifferences(early=((wanted, remote),))
    _, linked = list_link_outcomes(wanted, remote, now=NOW)
    deployment = linked.deployment
    assert (deployment.state, deployment.hold, deployment.remote_id) == (DeploymentState.STARTING, None, "dep-1")
    assert (deployment.expires_at, deployment.version) == (NOW + 60, wanted.version + 2)
    assert deployment.create_started_at == NOW - 600  # it is billed since then


@pytest.mark.parametrize("state", sorted({*TERMINAL_DEPLOYMENT_STATES, DeploymentState.WANTED}))
def test_later_round_than_that_of_a_restored_database_is_linked_and_keeps_its_end(state: DeploymentState) -> None:
    known = a_deployment(state, round=1, comparison_id="c" * 16, usd_per_hour=6.0)
    remote = replace(REMOTE, tag=f"{known.id}.4", stop_at=NOW + 2 * KEEP_SECONDS)
    assert compare([remote], [known]) == InventoryDifferences(later=((known, remote),))
    *_, linked = list_later_outcomes(known, remote, now=NOW)
    deployment = linked.deployment
    assert (deployment.state, deployment.tag, deployment.remote_id) == ("starting", remote.tag, "dep-1")
    assert (deployment.expires_at, deployment.comparison_id) == (NOW + 2 * KEEP_SECONDS, None)
    assert deployment.create_started_at == NOW - 600


@pytest.mark.parametrize(
    ("state", "tag", "model"),
    [
        (DeploymentState.READY, 4, ""),  # the record is about another one, which exists as well
        (DeploymentState.STOPPED, 4, "models/another"),
        (DeploymentState.STOPPED, 1 + MAX_LATER_ROUNDS + 1, ""),
    ],
)
def test_later_round_that_may_not_be_that_of_the_record_is_a_leftover(
    state: DeploymentState, tag: int, model: str
) -> None:
    known = a_deployment(state, round=1)
    remote = replace(REMOTE, tag=f"{known.id}.{tag}", model=model)
    assert compare([remote], [known]) == InventoryDifferences(leftovers=(remote,))


@pytest.mark.parametrize(
    "state", sorted(set(DeploymentState) - TERMINAL_DEPLOYMENT_STATES - {DeploymentState.WANTED})
)
def test_expected_deployment_is_no_difference(state: DeploymentState) -> None:
    assert compare([REMOTE], [a_deployment(state)]) == InventoryDifferences()


def test_earlier_round_and_a_second_unknown_one_are_leftovers() -> None:
    second = replace(REMOTE, id="dep-2", created_at=NOW)
    assert compare([REMOTE], [a_deployment(round=1)]).leftovers == (REMOTE,)
    differences = compare([second, REMOTE], [])
    assert [each.remote_id for each in differences.unknown] == ["dep-1"]
    assert differences.leftovers == (second,)


@pytest.mark.parametrize("tag", [None, "", "production", "0123456789abcdef", "0123456789abcdef.x", "short.1"])
def test_deployments_of_others_are_left_alone(tag: str | None) -> None:
    assert compare([replace(REMOTE, tag=tag)], []) == InventoryDifferences()
    assert parse_deployment_tag(tag or "") is None


@pytest.mark.parametrize("model", ["", "model-1"])
def test_name_that_is_a_hash_is_compared_with_the_expected_names(model: str) -> None:
    """DashScope's suffix has eight characters: the tag cannot be read from it."""
    ended = a_deployment(DeploymentState.STOPPED, round=2, model="model-1")

    def hashed(number: int) -> RemoteDeployment:
        name = format_deployment_name(f"{ended.id}.{number}", 8)
        return replace(REMOTE, id=f"model-1-{name}", tag=None, model=model)

    def compare_hashed(
        *listed: RemoteDeployment, recorded: tuple[Deployment, ...] = (ended,)
    ) -> InventoryDifferences:
        return compare_inventory("acme", ProviderName.DASHSCOPE, listed, recorded, now=NOW)

    assert [each.deployment.id for each in compare_hashed(hashed(2)).reappeared] == [ended.id]
    assert compare_hashed(hashed(0)).leftovers == (hashed(0),)
    running = a_deployment(DeploymentState.READY, round=2, model="model-1")
    assert compare_hashed(hashed(2), recorded=(running,)) == InventoryDifferences()
    assert compare_hashed(hashed(2), recorded=()) == InventoryDifferences(), "found when its plan exists again"
    assert compare_hashed(hashed(3)) == InventoryDifferences()
    assert compare_hashed(replace(hashed(2), model="another")) == InventoryDifferences()
    assert compare([hashed(2)], [ended]) == InventoryDifferences(), "elsewhere a name shows its tag"


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "00112233445566aa",
        "00112233445566aa.",
        "00112233445566aa.x",
        "00112233445566aa.-1",
        "00112233445566aa.²",
        "00112233445566a.1",
        "00112233445566aa1.1",
        "00112233445566AA.1",
        "0011223344556\n6a.1",
        "00112233445566aa.12345678901",  # more than a database column can hold
        "00112233445566aa." + "9" * 5000,
    ],
)
def test_text_that_no_service_wrote_is_no_tag(tag: str) -> None:
    assert parse_deployment_tag(tag) is None


def test_deployments_without_our_tag_do_not_hide_those_after_them() -> None:
    foreign = replace(REMOTE, id="a", tag=None, created_at=NOW - 900)
    assert len(compare([foreign, REMOTE], []).unknown) == 1


def test_oldest_of_several_deployments_with_one_tag_is_adopted() -> None:
    listed = [
        replace(REMOTE, id="c", created_at=NOW - 10),
        replace(REMOTE, id="b", created_at=NOW - 20),
        replace(REMOTE, id="d", created_at=None),
    ]
    differences = compare(listed, [])
    assert [each.remote_id for each in differences.unknown] == ["d"]
    assert [each.id for each in differences.leftovers] == ["b", "c"]
