"""Crashes, lost answers, late creates and clock jumps: never two deployments, and none left after the expiry.

The simulation executes the actions as the service does, with the functions of core alone. The provider accepts the
same create twice (the worst kind), and shows a new deployment in its lists only after a lag.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from core_values import NOW, PERMANENT_HOLD
from deployment_values import KEEP_SECONDS, a_deployment, a_remote_deployment
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.deployment.next_action import (
    CreateDeployment,
    DeploymentContext,
    LocalDeploymentAction,
    PollDeployment,
    RemoveDeployment,
    StartRemoval,
    VerifyDeploymentAccount,
    WithdrawDeployment,
    next_deployment_action,
)
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeployment,
    RemoteDeploymentStatus,
    select_remote_deployment,
)
from orchestrator.core.deployment.remote_state import (
    get_next_poll,
    interpret_deployment_error,
    observe_deployment,
)
from orchestrator.core.deployment.transitions import (
    hold_deployment,
    rebase_on_stop,
    record_answer,
    record_created,
    record_missing,
    record_removal_progress,
    release_deployment,
    request_stop,
    sleep_deployment_until,
    start_create,
    start_stop,
    withdraw_deployment,
)
from orchestrator.core.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.jobs.next_action import Idle, Wait
from orchestrator.core.jobs.retry_policy import MAX_RETRY_ATTEMPTS
from orchestrator.core.structs import replace

INTENT_SECONDS = 100.0  # longer than ABSENCE_CONFIRMATION_SECONDS, which must not be what prevents a second create
LIST_LAG_SECONDS = 1.4  # below INTENT_GRACE_SECONDS, which is there for it
MAX_STEPS_AFTER_EXPIRY = 60

FAULTS = [
    "none",
    "none",
    "crash before the call",
    "lost answer, created late",
    "lost answer, never created",
    "crash after the call",
    "unavailable",
    "rejected",
    "key revoked",
    "stop during the call",
    "failed at the provider",
    "clock jumps a day",
    "held by an operator",
    "released",
    "removed in the console",
]


@dataclass
class SimulatedProvider:
    """Deployments by their creation time, and creates that are still on their way."""

    existing: dict[str, float] = field(default_factory=dict)
    in_flight: list[float] = field(default_factory=list)
    failed: bool = False
    created: int = 0

    def deliver(self, now: float) -> None:
        for arrival in [each for each in self.in_flight if each <= now]:
            self.in_flight.remove(arrival)
            self.create(arrival)

    def create(self, now: float) -> RemoteDeployment:
        self.created += 1
        self.existing[f"dep-{self.created}"] = now
        assert len(self.existing) == 1, "a second deployment of the same model is billed"
        return self._describe(f"dep-{self.created}")

    def list_all(self, now: float) -> list[RemoteDeployment]:
        return [self._describe(name) for name, at in self.existing.items() if now >= at + LIST_LAG_SECONDS]

    def _describe(self, name: str) -> RemoteDeployment:
        status = RemoteDeploymentStatus.FAILED if self.failed else RemoteDeploymentStatus.RUNNING
        return a_remote_deployment(status, id=name, created_at=self.existing[name])


@dataclass
class Simulation:
    """One deployment, its provider and the clock."""

    deployment: Deployment = field(default_factory=a_deployment)
    provider: SimulatedProvider = field(default_factory=SimulatedProvider)
    now: float = NOW
    held: bool = False

    def step(self, fault: str, share: float) -> None:
        """Process the deployment once, when it is due. `share` places a late create within its intent."""
        if fault == "clock jumps a day":
            self.now += 86_400
        if self.deployment.wake_at is not None:
            self.now = max(self.now, self.deployment.wake_at)
        self.provider.deliver(self.now)
        self._change_from_outside(fault)
        holds = (PERMANENT_HOLD,) if self.held else ()
        match action := next_deployment_action(self.deployment, DeploymentContext(holds=holds), self.now):
            case Idle() | Wait() | WithdrawDeployment() | StartRemoval():
                self._act_locally(action)
            case CreateDeployment():
                self._create(fault, share)
            case PollDeployment():
                self._poll(fault)
            case RemoveDeployment():
                self._remove(fault)
            case VerifyDeploymentAccount():
                raise AssertionError("the account is verified")

    def _act_locally(self, action: LocalDeploymentAction) -> None:
        match action:
            case Idle() if self.deployment.state not in TERMINAL_DEPLOYMENT_STATES:
                self.deployment = sleep_deployment_until(self.deployment, None).deployment
            case Wait(until):
                self.deployment = sleep_deployment_until(self.deployment, until).deployment
            case WithdrawDeployment():
                self.deployment = withdraw_deployment(self.deployment, now=self.now).deployment
            case StartRemoval(reason):
                self.deployment = start_stop(self.deployment, reason, now=self.now).deployment

    def _change_from_outside(self, fault: str) -> None:
        if fault == "failed at the provider":
            self.provider.failed = bool(self.provider.existing)
        elif fault == "removed in the console":
            self.provider.existing.clear()
        elif fault == "held by an operator" and self.deployment.state not in TERMINAL_DEPLOYMENT_STATES:
            self.held = True
            self.deployment = hold_deployment(self.deployment, PERMANENT_HOLD).deployment
        elif fault == "released" and self.held:
            self.held = False
            self.deployment = release_deployment(self.deployment, now=self.now).deployment

    def _create(self, fault: str, share: float) -> None:
        until = self.now + INTENT_SECONDS
        intent = self.deployment = start_create(self.deployment, now=self.now, intent_until=until).deployment
        if fault == "crash before the call":
            return
        matches = select_remote_deployment(intent.tag, intent.model, self.provider.list_all(self.now))
        if matches.chosen is not None:
            self.deployment = record_created(intent, matches.chosen, now=self.now).deployment
            return
        if fault == "lost answer, created late":
            self.provider.in_flight.append(self.now + share * INTENT_SECONDS)
            self._fail(UnknownOutcome("timeout"))
        elif fault == "lost answer, never created":
            self._fail(UnknownOutcome("timeout"))
        elif fault == "crash after the call":
            self.provider.create(self.now)
        elif error := self._find_error(fault):
            self._fail(error)
        else:
            outcome = record_created(intent, self.provider.create(self.now), now=self.now)
            if fault == "stop during the call":
                stopped = request_stop(intent, now=self.now).deployment
                rebased = rebase_on_stop(outcome, stopped, now=self.now)
                assert rebased is not None
                outcome = rebased
            self.deployment = outcome.deployment

    def _poll(self, fault: str) -> None:
        if error := self._find_error(fault):
            self._fail(error)
            return
        found = self.provider.list_all(self.now)
        if not found:
            self.deployment = record_missing(self.deployment, now=self.now).deployment
            return
        wake_at = get_next_poll(self.deployment, self.now, 0.5)
        outcome = observe_deployment(self.deployment, found[0], now=self.now, wake_at=wake_at)
        if found[0].status is RemoteDeploymentStatus.RUNNING:
            outcome = record_answer(self.deployment, now=self.now, wake_at=wake_at)
        self.deployment = outcome.deployment

    def _remove(self, fault: str) -> None:
        if error := self._find_error(fault):
            self._fail(error)
            return
        found = self.provider.list_all(self.now)
        if not found:
            self.deployment = record_missing(self.deployment, now=self.now).deployment
            return
        for remote in found:
            self.provider.existing.pop(remote.id)
        if fault != "crash after the call":
            self.deployment = record_removal_progress(self.deployment, found[0], until=self.now + 5).deployment

    def _fail(self, error: ProviderError) -> None:
        outcome = interpret_deployment_error(self.deployment, error, now=self.now, jitter=0.5)
        self.held = self.held or outcome.account_update is not None
        self.deployment = outcome.deployment

    def _find_error(self, fault: str) -> ProviderError | None:
        errors: dict[str, ProviderError] = {
            "unavailable": ProviderUnavailable("503"),
            "rejected": RequestRejected("400"),
            "key revoked": AuthenticationFailed("401"),
        }
        return errors.get(fault)

    def check_that_it_is_not_forgotten(self) -> None:
        """Whatever may exist has an expiry and a wake-up; an end means that nothing exists, now or later."""
        deployment = self.deployment
        if deployment.state in MAY_EXIST_STATES:
            assert deployment.expires_at is not None
            assert deployment.wake_at is not None
        else:
            assert not self.provider.existing
            assert not self.provider.in_flight


EVENTS = st.lists(st.tuples(st.sampled_from(FAULTS), st.sampled_from([0.0, 0.5, 1.0])), max_size=25)
ATTEMPTS = st.sampled_from([0, MAX_RETRY_ATTEMPTS - 1])  # the next failed call is the last one that is retried


@given(EVENTS, ATTEMPTS)
def test_no_sequence_of_faults_leads_to_two_deployments_or_a_forgotten_one(
    events: list[tuple[str, float]], attempts: int
) -> None:
    simulation = Simulation(deployment=a_deployment(attempts=attempts))
    for fault, share in [*events, *[("none", 0.0)] * 5]:
        simulation.step(fault, share)
        simulation.check_that_it_is_not_forgotten()


# The sequences that cost money, always tried: random ones find them only now and then.
@pytest.mark.parametrize("attempts", [0, MAX_RETRY_ATTEMPTS - 1])
@pytest.mark.parametrize("second", FAULTS)
@pytest.mark.parametrize("first", FAULTS)
def test_every_pair_of_faults_of_a_create(first: str, second: str, attempts: int) -> None:
    for share in (0.0, 0.5, 1.0):
        simulation = Simulation(deployment=replace(start_create_now(), attempts=attempts))
        for fault in [first, second, *["none"] * 8]:
            simulation.step(fault, share)
            simulation.check_that_it_is_not_forgotten()


def start_create_now() -> Deployment:
    return replace(start_create(a_deployment(), now=NOW - 200, intent_until=NOW - 100).deployment, wake_at=NOW)


@given(EVENTS)
def test_expired_deployment_always_ends_in_a_removal(events: list[tuple[str, float]]) -> None:
    simulation = Simulation()
    for fault, share in events:
        simulation.step(fault, share)
    if simulation.deployment.state is DeploymentState.WANTED:
        simulation.deployment = request_stop(simulation.deployment, now=simulation.now).deployment
    simulation.now = max(simulation.now, simulation.deployment.expires_at or 0)
    was_open = simulation.deployment.state not in TERMINAL_DEPLOYMENT_STATES | {DeploymentState.WANTED}
    passed = set()
    for _ in range(MAX_STEPS_AFTER_EXPIRY):
        simulation.step("none", 0)
        passed.add(simulation.deployment.state)
        if simulation.deployment.state in TERMINAL_DEPLOYMENT_STATES:
            break
    assert simulation.deployment.state in TERMINAL_DEPLOYMENT_STATES
    assert simulation.provider.existing == {}
    assert simulation.provider.in_flight == []
    if was_open and simulation.deployment.stop_reason is StopReason.EXPIRED:
        assert simulation.deployment.state is DeploymentState.STOPPED


@given(EVENTS, st.sampled_from(sorted(MAY_EXIST_STATES - {DeploymentState.STOPPING})))
def test_first_step_after_the_expiry_begins_the_removal(
    events: list[tuple[str, float]], state: DeploymentState
) -> None:
    simulation = Simulation(deployment=a_deployment(state))
    simulation.provider.create(NOW - 60)
    for fault, share in events:
        simulation.step(fault, share)
    deployment = simulation.deployment
    if deployment.state in MAY_EXIST_STATES:
        late = max(deployment.expires_at or 0, (deployment.intent_until or 0) + 2, simulation.now) + KEEP_SECONDS
        holds = DeploymentContext(holds=(PERMANENT_HOLD,))
        assert isinstance(next_deployment_action(deployment, holds, late), StartRemoval | RemoveDeployment)
