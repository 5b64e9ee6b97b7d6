"""Answers about deployments with any JSON in any place raise no unexpected error, and none of them means "nothing".

A deployment that is overlooked because of an odd answer is billed until somebody notices it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from deployment_bench import DeployingProvider, DeploymentBench, list_benches
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import DeploymentNotReady, ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.providers.base import DeploymentOrder

Result = TypeVar("Result")
BENCHES = list_benches()
MAX_TIME = 2**63
ODD = [
    "abc", 7, -1, 1e308, 10**400, True, [], [7], {}, {"a": {"b": [{}]}}, "x" * 100_000, None, "\0", "a\nb", "x" * 257,
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
]  # fmt: skip
OPTIONAL = ("failureMessage", "deleteTime", "description", "updateDetails", "error", "failure", "message", "tags")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.sampled_from(ODD) | st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FEW = settings(max_examples=150, deadline=None, derandomize=True)  # a red build is red for everybody


class Running:
    """One bench with a deployment that answers, kept for all examples."""

    def __init__(self, bench: type[DeploymentBench], folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.bench = bench(folder)
        self.provider: DeployingProvider = self.bench.provider()
        self.order, self.remote = self.run(self._start())
        self.other = self.run(self.bench.order(self.provider, "fedcba9876543210.0", self.order.model))
        self.bench.inner.wire.creation = re.compile("")

    async def _start(self) -> tuple[DeploymentOrder, RemoteDeployment]:
        return await self.bench.answering(self.provider)

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(call)

    @contextmanager
    def with_value(self, place: float, value: Any) -> Iterator[None]:
        """Put the value at one place of each answer. At the root: into the fields that it does not have."""

        def change(request: object, body: Any) -> Any:
            path = choose_path(body, place)
            if not path and isinstance(body, dict):
                return dict.fromkeys(OPTIONAL, value) | body
            return put_value(body, path, value)

        with self.bench.inner.changing(change):
            yield


@pytest.fixture(scope="module", params=BENCHES, ids=lambda bench: str(bench.provider_bench.name))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(request.param, tmp_path_factory.mktemp("bench"))
    yield made
    made.loop.close()


def choose_path(body: Any, place: float) -> list[Any]:
    """Choose one of all places in an answer, from its root to its leaves. `place` is from 0 to 1."""
    paths = list(list_paths(body, []))
    return paths[min(int(place * len(paths)), len(paths) - 1)]


def list_paths(body: Any, path: list[Any]) -> Iterator[list[Any]]:
    yield path
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, inner in parts:
        yield from list_paths(inner, [*path, key])


def put_value(body: Any, path: list[Any], value: Any) -> Any:
    if not path:
        return value
    copy = body.copy()
    copy[path[0]] = put_value(body[path[0]], path[1:], value)
    return copy


def check_storable(remote: RemoteDeployment) -> None:
    for number in (remote.created_at, remote.expires_at, remote.stop_at, remote.usd_per_hour, remote.ready_replicas):
        assert number is None or -MAX_TIME < number < MAX_TIME
    assert remote.usd_per_hour is None or remote.usd_per_hour >= 0
    for text in (remote.id, remote.raw_status, remote.model, remote.model_string or "", remote.base_url or ""):
        assert len(text) <= 1_100
        assert "\0" not in text
        assert "\n" not in text
    assert len(remote.message or "") <= 2_000


@FEW
@given(place=st.floats(0, 1), value=VALUES)
def test_odd_value_in_a_deployment_is_an_error_or_left_out(running: Running, place: float, value: Any) -> None:
    with running.with_value(place, value):
        try:
            remote = running.run(running.provider.get_deployment(running.remote.id))
        except ProviderUnavailable:
            return
    check_storable(remote)
    assert remote.id == running.remote.id


@FEW
@given(place=st.floats(0, 1), value=VALUES)
def test_odd_value_in_a_look_up_is_never_nothing(running: Running, place: float, value: Any) -> None:
    """Nothing found would create a second deployment, or end the record of one that is billed."""
    with running.with_value(place, value):
        try:
            search = running.run(running.provider.find_deployments(running.order))
        except ProviderUnavailable:
            return
    found = [*search.found, *([search.named] if search.named else [])]
    is_other_list = isinstance(value, str) or value == []  # another name, or a list that is empty
    assert found or (is_other_list and not running.bench.is_found_by_name)
    for remote in found:
        check_storable(remote)


@FEW
@given(place=st.floats(0, 1), value=VALUES)
def test_odd_value_in_the_inventory_is_an_error_or_left_out(running: Running, place: float, value: Any) -> None:
    with running.with_value(place, value):
        try:
            listed = running.run(running.provider.list_own_deployments())
        except ProviderUnavailable:
            return
    for remote in listed:
        check_storable(remote)
        assert remote.tag or not running.bench.shows_tags


@FEW
@given(value=VALUES)
def test_odd_answer_to_a_create_is_an_unknown_outcome(running: Running, value: Any) -> None:
    with running.bench.inner.answering_creates(value):
        try:
            made = running.run(running.provider.create_deployment(running.other, running.bench.deadline()))
        except UnknownOutcome:
            return
    check_storable(made)
    pytest.fail(f"{value!r} was taken for a deployment")


@FEW
@given(value=VALUES, status=st.sampled_from([200, 201, 202, 400, 403, 404, 409, 429, 500, 503]))
def test_odd_answer_to_a_call_is_no_answer(running: Running, value: Any, status: int) -> None:
    with running.bench.inner.answering_creates(value, status), pytest.raises(ProviderError) as caught:
        running.run(running.provider.call_deployment(running.remote))
    if status in (200, 500):
        assert isinstance(caught.value, ProviderUnavailable | DeploymentNotReady)
    assert len(caught.value.message) <= 500


@FEW
@given(value=VALUES, status=st.sampled_from([200, 204, 400, 403, 409, 500]))
def test_odd_answer_to_a_removal_raises_nothing_unexpected(running: Running, value: Any, status: int) -> None:
    with running.bench.inner.answering_creates(value, status):
        try:
            running.run(running.provider.remove_deployment(running.remote))
        except ProviderError:
            assert status >= 400


@FEW
@given(value=VALUES)
def test_odd_answer_about_the_ways_is_an_error_or_unknown(running: Running, value: Any) -> None:
    with running.bench.inner.answering_creates(value), running.bench.inner.answering(json.loads(json.dumps(value))):
        try:
            options = running.run(running.provider.list_deployment_options(running.bench.inner.base_model))
        except ProviderUnavailable:
            return
    for option in options or []:
        assert option.price.kind in DeploymentKind
        assert option.price.usd_per_hour is None or option.price.usd_per_hour >= 0
