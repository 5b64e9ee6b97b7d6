"""Never two remote jobs for one of ours, whatever happens in whatever order.

The real reconciler, rules, control and queries; `model_world` stands in for time, for the database's commits and
for the provider. Hypothesis chooses what goes wrong.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_world import (
    ENDED,
    FRIENDLY,
    CallFate,
    FileLookupProvider,
    ManualClock,
    MemoryDatabase,
    ModelWorld,
    PausePoint,
    StrictLog,
    Worker,
    WorldConditions,
    WorldProvider,
    complete,
)
from store_values import CONTENT, DATASET, RUN, SPEC, TRAINING, id_of

from orchestrator import control
from orchestrator.control.jobs import adopt_remote_job
from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.jobs import retry_policy
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS, list_job_holds
from orchestrator.core.jobs.retry_policy import backoff
from orchestrator.core.jobs.stall import CANCEL_STALL_SECONDS
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.remote import RemoteFileStatus, RemoteJobStatus
from orchestrator.core.secret import Redactor
from orchestrator.daemon.provider_steps import MAX_CONSECUTIVE_404, StepTiming
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.providers.base import JobOrder, ProviderConnection
from orchestrator.sandbox.faults import MALFORMED_LISTS
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

T = TypeVar("T")
ACCOUNT = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY", organization="org-1")
JOB = id_of("acme")
MEMORY = MemoryDatabase()
PACE = StepTiming(poll_min_seconds=2.0, poll_max_seconds=60.0, intent_seconds=30.0)
PLAN = Plan(
    run_id=RUN.id,
    name=RUN.name,
    dataset=DATASET,
    specs=RUN.specs,
    lines=(
        PlanLine(
            account="acme",
            provider=ProviderName.OPENAI,
            base_model=SPEC.base_model,
            job_id=JOB,
            step=PlanStep.NEW,
            usd=None,
        ),
    ),
    hold=None,
)
ATTEMPTS = 4  # instead of forty, so that giving up comes within reach
LONGEST_END = 200  # wake-ups within which a job must end once the world is friendly
OUTAGE_SECONDS = 15 * 60  # of a gateway that answers 404 for every job

lags = st.sampled_from([0.0, 0.5, 1.0])
lucks = st.builds(WorldConditions, st.sampled_from(CallFate), lags)
reads = st.lists(st.one_of(st.just(FRIENDLY), st.just(FRIENDLY), lucks), max_size=4)
creates = st.lists(lucks, max_size=2)
asks = st.sampled_from(["start", "retry", "release", "hold", "retry", "release", "cancel", "cancel", "adopt"])
spans = st.sampled_from(
    [
        1.0,
        PACE.poll_min_seconds,
        PACE.intent_seconds - 0.1,
        PACE.intent_seconds,
        PACE.intent_seconds + INTENT_GRACE_SECONDS,
        1000.0,
    ]
)


async def identify(connected: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
    return connected, await connected.provider.verify()


class ExactlyOnce(RuleBasedStateMachine):
    """One job; any number of replicas that handle it at once, each for as long as it lives."""

    datasets: Path
    provider: type[WorldProvider] = WorldProvider

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.world = ModelWorld(self.clock)
        self.memory = MEMORY
        self.memory.empty()
        self.database = cast(Database, self.memory)
        self.reconciler = build_reconciler(
            self.database,
            {ACCOUNT.name: ProviderConnection(ACCOUNT, "12345678", self.provider(self.world))},
            load=self.memory.load,
            identify=identify,
            redact=Redactor(),
            clock=self.clock,
            jitter=lambda: 0.5,
            timing=PACE,
            datasets=self.datasets,
            replica="one",
            log=cast(Any, StrictLog()),
            time_limit=lambda seconds: nullcontext(),
        )
        self.workers: list[Worker] = []
        self.ended: Job | None = None
        self._read: tuple[int, Job | None] = (0, None)

    @initialize(start=st.sampled_from([True, True, False]), head_start=st.sampled_from([0, 1, 1, 1, 2]))
    def adopt(self, start: bool, head_start: int) -> None:
        """A new job that has had a quiet life so far: it is planned, its file is ready, or it is submitted."""
        listed = [control.ListedAccount(ACCOUNT, "12345678")]
        complete(control.sync_accounts(self.database, listed, now=self.clock.now()))
        complete(control.apply_plan(self.database, PLAN, start=start, now=self.clock.now(), cause="model"))
        for _ in range(head_start):
            self.work_undisturbed(1)
            self.world.check_files(RemoteFileStatus.READY)

    # Time, and who is told that the job is due.

    @rule(seconds=spans)
    def advance_time(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.world.apply_pending(self.clock.boottime())

    @precondition(lambda self: len(self.workers) < 3)
    @rule(only_when_due=st.booleans(), steps=st.integers(0, 14))
    def deliver(self, only_when_due: bool, steps: int) -> None:
        """A wake-up reaches a replica, or one that was delivered before does again; it gets so far and freezes."""
        wake_at = self.job.wake_at
        if not only_when_due or (wake_at is not None and wake_at <= self.clock.now()):
            self.workers.append(Worker(self.reconciler.handle(JOB)))
            self.work(-1, steps, FRIENDLY)

    @rule(times=st.integers(1, 4), reads=reads, creates=creates)
    def work_undisturbed(
        self, times: int, reads: Sequence[WorldConditions] = (), creates: Sequence[WorldConditions] = ()
    ) -> None:
        """One replica from wake-up to wake-up, while the others are frozen."""
        reading, creating = iter(reads), iter(creates)
        for _ in range(times):
            wake_at = self.job.wake_at
            if wake_at is None:
                return
            self.advance_time(max(0.0, wake_at - self.clock.now()))
            Worker(self.reconciler.handle(JOB)).finish(reading, creating)

    @rule(
        steps=st.integers(0, 14),
        met=lucks,
        asked=st.none() | st.none() | asks,
        seconds=spans,
        creates=creates,
        dies=st.booleans(),
    )
    def work_overtaken(
        self,
        steps: int,
        met: WorldConditions,
        asked: str | None,
        seconds: float,
        creates: Sequence[WorldConditions],
        dies: bool,
    ) -> None:
        """One replica gets so far and freezes; another does the work; then the first goes on, or never does."""
        first = Worker(self.reconciler.handle(JOB))
        for _ in range(steps):
            if not first.done:
                first.step(met if first.where is PausePoint.CREATING else FRIENDLY)
        if asked:
            self.request_action(asked)
        self.advance_time(seconds)
        self.work_undisturbed(1, (), creates)
        if dies:
            first.crash()
        first.finish()

    # What becomes of those at work.

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 2), steps=st.integers(1, 4), luck=lucks)
    def work(self, which: int, steps: int, luck: WorldConditions) -> None:
        worker = self.workers[which % len(self.workers)]
        for _ in range(steps):
            if not worker.done:
                worker.step(luck)
        self._remove_finished_workers()

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 2), reads=reads, creates=creates)
    def finish(self, which: int, reads: Sequence[WorldConditions], creates: Sequence[WorldConditions]) -> None:
        self.workers[which % len(self.workers)].finish(reads, creates)
        self._remove_finished_workers()

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 2))
    def crash(self, which: int) -> None:
        self.workers.pop(which % len(self.workers)).crash()

    # What the provider does by itself.

    @precondition(lambda self: self.world.files)
    @rule(
        refused=st.sampled_from([False, False, False, True]),
        status=st.sampled_from(RemoteJobStatus),
        named=st.booleans(),
    )
    def advance_provider(self, refused: bool, status: RemoteJobStatus, named: bool) -> None:
        """It has checked what it was checking, and comes to something about the newest remote job."""
        self.world.check_files(RemoteFileStatus.REFUSED if refused else RemoteFileStatus.READY)
        for made in self.world.jobs[-1:]:
            self.world.change_job(made, status, f"ft:{made.thing.id}" if named else None)

    @precondition(lambda self: self.job.state in {JobState.READY, JobState.SUBMITTING} and not self.copies)
    @rule()
    def copy_remote_job(self) -> None:
        """Another remote job with our tag: as it is, or somebody's doing."""
        job = self.job
        order = JobOrder(tag="", spec=SPEC, training_file=job.remote_file_id or "", validation_file=None)
        self.world.copy_job(job.tag, order)

    # What people ask.

    @rule(what=asks, which=st.integers(0, 1))
    def request_action(self, what: str, which: int = 0) -> None:
        now, database = self.clock.now(), self.database
        match what:
            case "adopt":
                self.adopt_remote_job(which)
            case "cancel":
                complete(control.cancel(database, None, by="model", now=now))
            case "retry":
                self.ended = None
                complete(control.retry(database, None, by="model", now=now))
            case "hold":
                complete(control.hold_accounts(database, ["acme"], reason="r", by="model", now=now))
            case "release":
                complete(control.release_accounts(database, ["acme"], by="model", now=now))
            case "start":
                complete(control.start(database, by="model", now=now))

    def adopt_remote_job(self, which: int) -> None:
        """Only of what is held a person can choose, and only of what there is."""
        job, now = self.job, self.clock.now()
        tagged = [made for made in self.world.visible_objects(self.world.jobs) if made.key == job.tag]
        if job.state is JobState.SUBMITTING and job.hold and tagged:
            chosen = tagged[which % len(tagged)]
            complete(adopt_remote_job(self.database, JOB, chosen.thing.id, by="model", now=now))
            self.world.select_job(job.tag, chosen)

    # What must hold after each of these.

    @invariant()
    def check(self) -> None:
        job = self.job
        for made in self.world.jobs:  # a copy that is the only one with our tag is taken for ours
            made.ours = made.ours or (job.state is not JobState.SUBMITTING and made.thing.id == job.remote_job_id)
        tags = Counter(made.key for made in self.world.jobs if made.ours)
        assert all(count == 1 for count in tags.values()), f"paid twice: {tags}"
        assert len(self.open_remote_jobs) <= 1, f"two at once: {self.open_remote_jobs}"
        files = [made for made in self.world.files if made.thing.status is not RemoteFileStatus.REFUSED]
        usable = Counter(made.key for made in files)  # by name: each round may have a file of its own
        assert all(count == 1 for count in usable.values()), f"uploaded twice: {usable}"
        if self.ended is not None:
            assert (job.state, job.fine_tuned_model) == (self.ended.state, self.ended.fine_tuned_model)
        self.ended = job if job.state in TERMINAL_STATES else None
        if job.state in TERMINAL_STATES:
            assert not self.open_remote_jobs, f"{job.state}, and still alive: {self.open_remote_jobs}; {job.failure}"
            assert not self.world.expecting, f"{job.state}, and more is to come; {job.failure}"
        if job.state is JobState.SUCCEEDED:
            remote = self.world.find(self.world.jobs, job.remote_job_id or "").thing
            assert (remote.status, remote.fine_tuned_model) == (RemoteJobStatus.SUCCEEDED, job.fine_tuned_model)

        if job.wake_at is None and job.state not in TERMINAL_STATES and not self.workers:
            assert self.suspended, f"asleep for ever: {job}"

    def teardown(self) -> None:
        """From here on the world is friendly: the job comes to an end, whatever state it was left in."""
        for number, worker in enumerate(self.workers):
            worker.crash() if number % 2 else worker.finish()
        self.workers = []
        self.check()
        if self.job.state not in TERMINAL_STATES:
            self.request_action("release")
            self.request_action("start")
        for _ in range(LONGEST_END):
            job = self.job
            if job.state in TERMINAL_STATES:
                break
            self.world.advance_jobs()
            if job.hold and job.hold.kind == "ambiguous":
                self.adopt_remote_job(0)
            self.work_undisturbed(1)
            self.check()
        assert self.job.state in TERMINAL_STATES, f"does not end: {self.job}"

    def _remove_finished_workers(self) -> None:
        self.workers = [worker for worker in self.workers if not worker.done]

    @property
    def suspended(self) -> bool:
        """Whether the job waits for something that wakes it when it comes: a release, or the start of its run."""
        loaded = self._inspect(partial(jobs.load, job_id=JOB))
        assert loaded is not None
        unstarted = loaded.job.state is JobState.READY and loaded.run.started_at is None
        return unstarted or bool(list_job_holds(loaded.job, loaded.run, loaded.account_state))

    @property
    def open_remote_jobs(self) -> list[str]:
        ours = [made for made in self.world.jobs if made.ours]
        return [f"{made.thing.id} of {made.key}" for made in ours if made.thing.status not in ENDED]

    @property
    def copies(self) -> bool:
        return any(not made.ours for made in self.world.jobs)

    @property
    def job(self) -> Job:
        if self._read[0] != self.memory.commits:
            self._read = self.memory.commits, self._inspect(partial(jobs.get_many, ids=[JOB]))[JOB]
        job = self._read[1]
        assert job is not None
        return job

    def _inspect(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        async def look() -> T:
            async with self.memory.read() as connection:
                return await ask(connection)

        return complete(look())


@pytest.fixture(autouse=True, scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> None:
    ExactlyOnce.datasets = tmp_path_factory.mktemp("datasets")
    (ExactlyOnce.datasets / TRAINING.path.name).write_bytes(CONTENT)


QUICK = settings(
    max_examples=200, stateful_step_count=20, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
SEARCH = settings(max_examples=5000, stateful_step_count=80, deadline=None)


def test_job_never_has_two_remote_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "MAX_RETRY_ATTEMPTS", ATTEMPTS)
    chosen = SEARCH if os.environ.get("HYPOTHESIS_PROFILE") == "search" else QUICK
    run_state_machine_as_test(ExactlyOnce, settings=chosen)


class ExactlyOnceByFile(ExactlyOnce):
    """One job at a provider where each job, and each round of it, is found by a file of its own."""

    provider = FileLookupProvider


def test_retry_of_a_job_that_is_found_by_its_file_uploads_and_creates_again() -> None:
    """On the file of the round before, its remote job, which has failed, would be found and adopted."""
    machine = ExactlyOnceByFile()
    machine.adopt(start=True, head_start=1)
    machine.work_undisturbed(1)
    machine.advance_provider(False, RemoteJobStatus.FAILED, False)
    machine.work_undisturbed(1)
    machine.request_action("retry")
    for _ in range(4):
        machine.work_undisturbed(1)
        machine.world.check_files(RemoteFileStatus.READY)
    assert [made.key for made in machine.world.jobs] == [f"{JOB}.0", f"{JOB}.1"]
    assert len({made.key for made in machine.world.files}) == len(machine.world.files) == 2
    machine.teardown()


def test_job_that_is_found_by_its_file_never_has_two_remote_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "MAX_RETRY_ATTEMPTS", ATTEMPTS)
    chosen = SEARCH if os.environ.get("HYPOTHESIS_PROFILE") == "search" else QUICK
    run_state_machine_as_test(ExactlyOnceByFile, settings=chosen)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExactlyOnce]:
    """A started job whose file is ready: its next step is to submit. In the end the world is friendly."""
    monkeypatch.setattr(retry_policy, "MAX_RETRY_ATTEMPTS", ATTEMPTS)
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=1)
    yield machine
    machine.check()
    machine.teardown()


def conditions(*fates: CallFate, lag: float = 1.0) -> list[WorldConditions]:
    return [WorldConditions(fate, lag) for fate in fates]


def freeze_worker(machine: ExactlyOnce, where: PausePoint) -> Worker:
    """A replica that is stopped just before its next call of this kind."""
    worker = Worker(machine.reconciler.handle(JOB))
    while worker.where is not where:
        worker.step(FRIENDLY)
    return worker


def reach(machine: ExactlyOnce, worker: Worker, state: JobState) -> None:
    """The moment after it has recorded that the job is there."""
    while machine.job.state is not state:
        worker.step(FRIENDLY)


@pytest.mark.parametrize("fate", [CallFate.LOST, CallFate.LATE, CallFate.DROPPED, CallFate.MALFORMED])
def test_create_with_lost_answer_is_looked_up(machine: ExactlyOnce, fate: CallFate) -> None:
    machine.work_undisturbed(1, (), conditions(fate))
    assert machine.job.state is JobState.SUBMITTING
    machine.work_undisturbed(3)
    assert (machine.job.state, machine.job.remote_job_id) == (JobState.QUEUED, "ftjob-0")


def test_malformed_list_after_a_lost_create_creates_nothing(machine: ExactlyOnce) -> None:
    shapes = len(MALFORMED_LISTS)
    machine.work_undisturbed(1, (), conditions(CallFate.LOST))
    for _ in range(shapes):
        machine.work_undisturbed(1, conditions(CallFate.MALFORMED))
        if machine.job.hold:
            machine.request_action("release")
    assert (machine.job.state, len(machine.world.jobs)) == (JobState.SUBMITTING, 1)
    machine.work_undisturbed(3)
    assert (machine.job.state, machine.job.remote_job_id) == (JobState.QUEUED, "ftjob-0")


def test_malformed_list_after_a_lost_upload_uploads_nothing() -> None:
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=0)
    machine.work_undisturbed(1, (), conditions(CallFate.LOST))
    assert (machine.job.state, len(machine.world.files)) == (JobState.UPLOADING, 1)
    machine.work_undisturbed(2, conditions(CallFate.MALFORMED, CallFate.MALFORMED))
    assert (machine.job.state, len(machine.world.files)) == (JobState.UPLOADING, 1)
    machine.work_undisturbed(3)
    assert [made.thing.id for made in machine.world.files] == ["file-0"]
    machine.teardown()


def test_create_answered_with_another_job_is_ambiguous(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.OTHER))
    hold = machine.job.hold
    assert hold is not None
    assert (machine.job.state, hold.kind, machine.job.remote_job_id) == (JobState.SUBMITTING, "ambiguous", None)
    assert "the create was sent for file file-0, and the provider returned remote job ftjob-other" in hold.reason
    assert f"orchestrator adopt {JOB} ftjob-other" in hold.hint
    machine.request_action("release")
    machine.work_undisturbed(3)
    assert (machine.job.state, machine.job.remote_job_id) == (JobState.QUEUED, "ftjob-0")


def test_replica_frozen_past_its_deadline_sends_nothing(machine: ExactlyOnce) -> None:
    machine.advance_time(PACE.poll_min_seconds)
    frozen = freeze_worker(machine, PausePoint.CREATING)
    machine.advance_time(PACE.intent_seconds + INTENT_GRACE_SECONDS)
    machine.work_undisturbed(1)
    assert machine.job.state is JobState.QUEUED
    before = machine.job
    frozen.finish()
    assert machine.job == before
    assert len(machine.world.jobs) == 1


def test_a_cancel_waits_for_a_create_that_may_still_arrive(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.LATE))
    machine.request_action("cancel")
    machine.work_undisturbed(1)
    assert (machine.job.state, machine.open_remote_jobs) == (JobState.SUBMITTING, [])
    machine.work_undisturbed(1)
    assert (machine.job.state, len(machine.open_remote_jobs)) == (JobState.CANCELLING, 1)
    machine.world.advance_jobs()
    machine.work_undisturbed(1)
    assert machine.job.state is JobState.CANCELLED


@pytest.mark.parametrize("times", [1, 2])
def test_cancel_during_a_create_keeps_the_created_job(machine: ExactlyOnce, times: int) -> None:
    machine.advance_time(PACE.poll_min_seconds)
    creating = freeze_worker(machine, PausePoint.CREATING)
    creating.step(FRIENDLY)  # it is created; the answer is on its way
    for _ in range(times):
        machine.request_action("cancel")
    creating.finish()
    assert (machine.job.state, machine.job.cancel_asked) == (JobState.CANCELLING, True)
    assert machine.world.jobs[0].thing.status is RemoteJobStatus.CANCELLING


def test_cancel_during_an_upload_ends_the_job_at_once() -> None:
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=0)
    uploading = freeze_worker(machine, PausePoint.CREATING)
    uploading.step(FRIENDLY)
    machine.request_action("cancel")
    uploading.finish()
    assert (machine.job.state, machine.job.remote_file_id) == (JobState.CANCELLED, "file-0")
    machine.teardown()


def test_no_intent_is_written_after_a_cancel_request(machine: ExactlyOnce) -> None:
    machine.advance_time(PACE.poll_min_seconds)
    submitting = Worker(machine.reconciler.handle(JOB))
    reach(machine, submitting, JobState.READY)
    for _ in range(2):  # it reads the job again, and is about to write its intent
        submitting.step(FRIENDLY)
    machine.request_action("cancel")
    submitting.finish()
    assert (machine.job.state, machine.world.jobs) == (JobState.READY, [])
    machine.work_undisturbed(1)
    assert machine.job.state is JobState.CANCELLED


@pytest.mark.parametrize(("which", "cancel"), [(0, False), (1, False), (1, True)])
def test_operator_selects_one_of_two_remote_jobs(machine: ExactlyOnce, which: int, cancel: bool) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.LOST))
    machine.copy_remote_job()
    if cancel:
        machine.request_action("cancel")
    machine.work_undisturbed(2)
    job = machine.job
    assert job.hold is not None
    assert (job.state, job.hold.kind) == (JobState.SUBMITTING, "ambiguous")
    assert "ftjob-0" in job.hold.reason
    assert "ftjob-1" in job.hold.reason
    machine.request_action("adopt", which)
    machine.work_undisturbed(1)
    assert machine.job.state is (JobState.CANCELLING if cancel else JobState.QUEUED)
    assert (machine.job.remote_job_id, len(machine.world.jobs)) == (f"ftjob-{which}", 2)


def test_wrong_selection_is_reported_and_creates_nothing(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.LOST))
    machine.copy_remote_job()
    machine.work_undisturbed(2)
    complete(adopt_remote_job(machine.database, JOB, "ftjob-9", by="model", now=machine.clock.now()))
    machine.work_undisturbed(1)
    assert machine.job.hold is not None
    assert "account acme has no remote job ftjob-9" in machine.job.hold.reason
    assert (machine.job.state, machine.job.remote_job_id, len(machine.world.jobs)) == (JobState.SUBMITTING, None, 2)
    machine.request_action("adopt", 1)
    machine.work_undisturbed(1)
    assert machine.job.remote_job_id == "ftjob-1"


def test_refused_create_fails_the_job(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.REJECTED))
    assert machine.job.failure is not None
    assert (machine.job.state, machine.job.failure.kind) == (JobState.FAILED, "request_rejected")


@pytest.mark.parametrize("fate", [CallFate.REJECTED, CallFate.DROPPED, CallFate.LIMITED])
@pytest.mark.parametrize("already_there", [True, False])
def test_unreadable_state_holds_the_job_instead_of_failing_it(
    machine: ExactlyOnce, fate: CallFate, already_there: bool
) -> None:
    machine.work_undisturbed(1, (), conditions(CallFate.ANSWERED if already_there else CallFate.LOST))
    machine.work_undisturbed(ATTEMPTS + 1, conditions(*[fate] * (ATTEMPTS + 1)))
    assert machine.job.state is (JobState.QUEUED if already_there else JobState.SUBMITTING)
    assert machine.job.hold is not None
    assert "orchestrator release" in machine.job.hold.hint
    machine.request_action("release")
    machine.work_undisturbed(3)
    assert machine.job.state is JobState.QUEUED


def test_a_cancel_is_served_while_a_hold_lasts(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(2, conditions(CallFate.ANSWERED, CallFate.ANSWERED, CallFate.REJECTED))
    assert machine.job.hold is not None
    machine.request_action("cancel")
    machine.work_undisturbed(1)
    assert machine.world.jobs[0].thing.status is RemoteJobStatus.CANCELLING


def test_lagging_read_does_not_lose_the_job(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1)
    machine.request_action("cancel")
    machine.work_undisturbed(MAX_CONSECUTIVE_404, conditions(*[CallFate.MISSING] * MAX_CONSECUTIVE_404))
    assert machine.job.state is JobState.CANCELLING
    machine.work_undisturbed(1)
    assert machine.world.jobs[0].thing.status is RemoteJobStatus.CANCELLING


def test_only_consecutive_misses_count(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1)
    machine.work_undisturbed(4, conditions(CallFate.DROPPED, CallFate.DROPPED, CallFate.DROPPED, CallFate.MISSING))
    assert machine.job.state is JobState.QUEUED


def test_job_outlives_a_quarter_of_an_hour_of_404(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1)
    hidden, machine.world.jobs = machine.world.jobs, []
    start = machine.clock.now()
    while machine.clock.now() < start + OUTAGE_SECONDS:
        machine.work_undisturbed(1)
        assert machine.job.state is JobState.QUEUED
    machine.world.jobs = hidden
    machine.work_undisturbed(1)
    assert (machine.job.state, machine.job.attempts, machine.job.failure) == (JobState.QUEUED, 0, None)


@pytest.mark.parametrize(("jitter", "minutes"), [(0.0, 17), (1.0, 29)])
def test_polls_that_miss_a_job_end_before_its_cancel_is_reported_as_slow(jitter: float, minutes: int) -> None:
    seconds = sum(backoff(misses, jitter) for misses in range(MAX_CONSECUTIVE_404))
    assert seconds // 60 == minutes
    assert OUTAGE_SECONDS < seconds < CANCEL_STALL_SECONDS


def test_vanished_job_fails_and_may_be_looked_up_again(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1)
    hidden, machine.world.jobs = machine.world.jobs, []
    machine.work_undisturbed(MAX_CONSECUTIVE_404 + 1)
    assert machine.job.failure is not None
    assert (machine.job.state, machine.job.failure.kind) == (JobState.FAILED, "remote_missing")
    machine.world.jobs = hidden
    machine.request_action("retry")
    machine.work_undisturbed(4)
    assert (machine.job.remote_job_id, len(machine.world.jobs)) == ("ftjob-0", 1)


def test_retry_of_a_failed_job_creates_a_new_remote_job(machine: ExactlyOnce) -> None:
    machine.work_undisturbed(1)
    machine.advance_provider(False, RemoteJobStatus.FAILED, False)
    machine.work_undisturbed(1)
    machine.request_action("retry")
    machine.work_undisturbed(4)
    assert [made.key for made in machine.world.jobs] == [f"{JOB}.0", f"{JOB}.1"]


def test_release_wakes_a_job_that_is_being_parked(machine: ExactlyOnce) -> None:
    machine.request_action("hold")
    machine.advance_time(PACE.poll_min_seconds)
    going_to_rest = Worker(machine.reconciler.handle(JOB))
    going_to_rest.step(FRIENDLY)
    machine.request_action("release")
    going_to_rest.finish()
    assert machine.job.wake_at is not None


def test_hold_during_key_verification_is_kept() -> None:
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=0)
    verifying = freeze_worker(machine, PausePoint.READING)
    machine.request_action("hold")
    verifying.finish()
    assert machine.suspended
    machine.teardown()


def test_job_that_no_longer_matches_its_plan_is_not_sent() -> None:
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=0)
    file = machine.datasets / TRAINING.path.name
    for spoil in (lambda: file.write_bytes(CONTENT[:-1]), file.unlink):
        spoil()
        machine.work_undisturbed(1)
        assert machine.job.failure is not None
        assert (machine.job.state, machine.job.failure.kind) == (JobState.PLANNED, "dataset_changed")
        assert "SIGHUP" in machine.job.failure.hint
        assert machine.world.files == []
    file.write_bytes(CONTENT)
    machine.work_undisturbed(1)
    assert (machine.job.state, machine.job.failure) == (JobState.PROCESSING, None)
    machine.teardown()


def test_a_retry_waits_for_an_upload_that_may_still_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "MAX_RETRY_ATTEMPTS", 1)
    machine = ExactlyOnce()
    machine.adopt(start=True, head_start=0)
    machine.work_undisturbed(1, (), conditions(CallFate.LATE))
    assert machine.job.state is JobState.FAILED
    machine.request_action("retry")
    machine.work_undisturbed(3)
    assert [made.thing.id for made in machine.world.files] == ["file-0"]
    machine.teardown()
