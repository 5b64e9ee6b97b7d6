"""`orchestrator conformance` names each defect of the servers that people run, and ends what it started."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from defective_server import (
    JOBS,
    LLMARINER,
    NOT_FOUND,
    Defect,
    DefectiveServer,
    flatten_method,
    has_auto,
    refuse,
    refuse_create,
    require_provider,
    with_values,
    with_words,
    without,
)
from provider_bench import (
    START,
    AzureBench,
    CompatibleBench,
    DashScopeBench,
    FireworksBench,
    MantleBench,
    NebiusBench,
    OpenAIBench,
    ProviderBench,
    TogetherBench,
)

from orchestrator.app.conformance import ConformanceReport, ContractCheck, ContractResult, JobRecovery
from orchestrator.app.conformance.conformance_tester import write_dataset
from orchestrator.app.conformance.contract_checks import check_contract
from orchestrator.app.conformance.trial import Trial
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory
from orchestrator.sandbox import SandboxSettings, create_app

WORKS, LIMITED, MISSING, SKIPPED = (
    ContractResult.WORKS,
    ContractResult.LIMITED,
    ContractResult.MISSING,
    ContractResult.SKIPPED,
)
SPEC = TrainingSpec(base_model="sandbox-small", n_epochs=1, suffix="support")


class Site:
    """A defective server with its own time, and the test of it."""

    def __init__(self, defect: Defect, options: dict[str, Any]) -> None:
        self.now = START
        settings = SandboxSettings(file_seconds=1, validating_seconds=1, queue_seconds=1, training_seconds=20)
        self.app = create_app(settings, clock=lambda: self.now)
        self.server = DefectiveServer(self.app, defect)
        self.account = Account(
            name="lab",
            provider=ProviderName.OPENAI_COMPATIBLE,
            api_key="env:KEY",
            base_url="http://localhost/v1",
            **options,
        )

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def test(
        self, *, train: bool = False, spec: TrainingSpec = SPEC, nonce: str = "0123456789abcdef"
    ) -> ConformanceReport:
        factory = build_provider_factory(HttpClient(self.server), Redactor())
        with write_dataset(self.account, spec, nonce) as (file, tag):
            trial = Trial(
                account=self.account,
                connect=lambda account: factory(account, Secret("sandbox-lab")),
                spec=spec,
                tag=tag,
                file=file,
                boottime=lambda: self.now,
                sleep=self.sleep,
                max_wait_seconds=60.0,
            )
            return await check_contract(trial, train=train)

    @property
    def world(self) -> Any:
        return self.app.state.sandbox

    def statuses(self) -> list[str]:
        jobs = self.world.jobs.of("lab").values()
        return [self.world.get_timelines("lab")[job.id].get_status(self.now) for job in jobs]


@dataclass(frozen=True)
class Case:
    """A defect, and how the table names it."""

    name: str
    defect: Defect
    check: str
    result: ContractResult
    message: str  # a part of the finding
    fix: str = ""  # a part of the advice
    recovery: JobRecovery = JobRecovery.FOUND
    options: dict[str, Any] = field(default_factory=dict)
    train: bool = False
    jobs: int = 1  # that the server holds afterwards
    ended: bool = True  # whether the test could end the job


GONE = (405, {"detail": "Method Not Allowed"})
CASES = [
    Case(
        "LLMariner: a suffix is required",
        refuse_create("suffix is required", lambda body: not body.get("suffix")),
        "create job", MISSING, "refused as the account is configured: 400 3: suffix is required",
        fix="Add to the account: suffix_length = 18.", options={"suffix_length": 0},
    ),
    Case(
        "LLMariner: the suffix has at most 18 characters",
        refuse_create("suffix is too long", lambda body: len(body.get("suffix", "")) > 18),
        "create job", MISSING, "suffix is too long", fix="Add to the account: suffix_length = 18.",
    ),
    Case(
        "Mantle: no suffix",
        refuse_create("unknown field suffix", lambda body: "suffix" in body),
        "create job", MISSING, "unknown field suffix", fix="Add to the account: suffix_length = 0.",
    ),
    Case(
        "LLMariner: integers only",
        refuse_create("n_epochs must be an integer", has_auto),
        "create job", MISSING, "must be an integer", fix="Add to the account: send_auto = false.",
    ),
    Case(
        "LLMariner, OPEA: flat hyperparameters",
        refuse_create("unknown field method", lambda body: "method" in body),
        "create job", MISSING, "unknown field method", fix='Add to the account: hyperparameter_format = "flat".',
    ),
    Case(
        "LLMariner: all of it", LLMARINER, "create job", MISSING, "suffix is required, at most 18 characters",
        fix='suffix_length = 18, send_auto = false, hyperparameter_format = "flat".',
    ),
    Case(
        "LLMariner: metadata is not kept", Defect(job=without("metadata")),
        "find job", WORKS, "by the tag in its suffix; the server stores no metadata",
    ),
    Case(
        "LiteLLM: the create drops metadata", Defect(create=without("metadata")),
        "find job", WORKS, "the server stores no metadata",
    ),
    Case(
        "neither metadata nor suffix is kept", Defect(job=without("metadata", "user_provided_suffix")),
        "find job", MISSING, "neither metadata nor suffix",
        fix="Add to the account: file_per_job = true. Or: Store `metadata` or `suffix`", recovery=JobRecovery.HELD,
    ),
    Case(
        "neither metadata nor suffix is kept, and the job has a file of its own",
        Defect(job=without("metadata", "user_provided_suffix")),
        "find job", WORKS, "by its training file", options={"file_per_job": True},
    ),
    Case(
        "the suffix is not shown", Defect(job=without("user_provided_suffix")),
        "other jobs", WORKS, "another tag finds no job",
    ),
    Case(
        "LLMariner: canceled", Defect(job=with_words({"cancelled": "canceled"})),
        "status words", WORKS, "canceled",
    ),
    Case(
        "LLMariner: google.rpc errors", refuse("GET", f"{JOBS}/.*000000", (404, NOT_FOUND)),
        "unknown job", WORKS, "404 5: Not Found",
    ),
    Case(
        "LLMariner: no events", refuse("GET", f"{JOBS}/.*/events"),
        "events", LIMITED, "404 5: Not Found; the job works without events",
    ),
    Case(
        "OPEA: a job is retrieved by a POST", refuse("GET", f"{JOBS}/.+", GONE),
        "retrieve job", MISSING, "405: Method Not Allowed", fix="Answer GET /fine_tuning/jobs/ID", ended=False,
    ),
    Case(
        "OPEA: a job is cancelled elsewhere", refuse("POST", f"{JOBS}/.+/cancel", GONE),
        "cancel job", MISSING, "405: Method Not Allowed", fix="Answer POST /fine_tuning/jobs/ID/cancel", ended=False,
    ),
    Case(
        "ServerlessLLM: another path for the create", refuse("POST", JOBS),
        "create job", MISSING, "404 5: Not Found", fix="Answer POST /fine_tuning/jobs",
        recovery=JobRecovery.UNTESTED, jobs=0,
    ),
    Case(
        "ServerlessLLM: no files", refuse(".*", "/v1/files.*"),
        "upload", MISSING, "404 5: Not Found", fix="Answer POST /files", recovery=JobRecovery.UNTESTED, jobs=0,
    ),
    Case(
        "LocalAI: words for the phases", Defect(job=with_words({"validating_files": "loading_model"})),
        "status words", LIMITED, "not understood: 'loading_model'; the job gets a warning",
    ),
    Case(
        "a final word that is not understood", Defect(job=with_words({"cancelled": "terminated"})),
        "status words", MISSING, "not understood: 'terminated'; such a job is polled", ended=False,
    ),
    Case(
        "LocalAI: a restart turns running into stopped", Defect(job=with_words({"running": "stopped"})),
        "model id", MISSING, "the job ended as stopped", train=True, ended=False,
    ),
    Case(
        "LocalAI: a model needs an export", Defect(job=with_values(fine_tuned_model=None)),
        "model id", MISSING, "the job succeeded and names no model", fix="`fine_tuned_model`", train=True,
    ),
    Case(
        "LocalAI, Unsloth: another API", refuse(".*", "/v1/(files|fine_tuning).*"),
        "list jobs", MISSING, "404 5: Not Found", fix="Answer GET /fine_tuning/jobs",
        recovery=JobRecovery.UNTESTED, jobs=0,
    ),
    Case(
        "LiteLLM: the create drops the method", Defect(create=flatten_method),
        "hyperparameters", MISSING, "and not 1 as requested", fix='hyperparameter_format = "flat" or "both"',
    ),
    Case(
        "LiteLLM: list, get and cancel need a parameter", Defect(intercept=require_provider),
        "list jobs", MISSING, "custom_llm_provider is required", recovery=JobRecovery.UNREADABLE, ended=False,
    ),
    Case(
        "the list does not contain new jobs", Defect(listed=lambda job: None),
        "find job", MISSING, "the list does not contain the job", recovery=JobRecovery.NOT_FOUND,
    ),
    Case(
        "the list ignores the cursor", Defect(ignores=("after",)),
        "list pages", LIMITED, "the list ignores `after`", fix="Honour the parameter `after`",
    ),
    Case(
        "LiteLLM, OPEA: the list takes no parameters", Defect(ignores=("after", "limit")),
        "list pages", LIMITED, "the list ignores `after`",
    ),
    Case(
        "the suffix is cut", Defect(job=lambda job: without("metadata")(job) | {"user_provided_suffix": "support-0"}),
        "find job", MISSING, "or not with the tag that was sent", recovery=JobRecovery.NOT_FOUND,
    ),
    Case(
        "the answer to a create lacks a field", Defect(created=without("training_file")),
        "create job", MISSING, "unexpected shape", fix="id, status, model and training_file",
    ),
    Case(
        "an unknown id is answered with 500", refuse("GET", f"{JOBS}/.*000000", (500, {})),
        "unknown job", LIMITED, "500", fix="with 404 for an id that does not exist",
    ),
    Case(
        "a cancel is not confirmed", Defect(job=with_words({"cancelled": "running"})),
        "cancel job", MISSING, "the status is still 'running' after 60 s", ended=False,
    ),
    Case(
        "a file is not listed", Defect(files=with_values(data=[])),
        "find file", LIMITED, "the list does not contain the uploaded file",
    ),
    Case(
        "a file has no status", Defect(file=without("status")),
        "file status", LIMITED, "each job waits 10 minutes",
    ),
    Case(
        "the size of a file is wrong", Defect(file=lambda file: file | {"bytes": 3} if "bytes" in file else file),
        "upload", MISSING, "the server reports 3 bytes",
    ),
    Case(
        "a deleted file remains", refuse("DELETE", "/v1/files/.*", (200, {"id": "file", "deleted": True})),
        "delete file", LIMITED, "the server still has the file",
    ),
    Case(
        "no list of models", refuse("GET", "/v1/models.*"),
        "key", MISSING, "404 5: Not Found", fix="Answer GET /models",
    ),
]  # fmt: skip


def find_check(report: ConformanceReport, name: str) -> ContractCheck:
    [check] = [each for each in report.checks if each.name == name]
    return check


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_table_names_the_defect(case: Case) -> None:
    site = Site(case.defect, case.options)
    report = await site.test(train=case.train)
    check = find_check(report, case.check)
    assert (check.result, report.recovery) == (case.result, case.recovery), report.checks
    assert case.message in check.message
    assert case.fix in check.fix
    assert report.is_conforming == all(each.result is not MISSING for each in report.checks)
    assert len(site.statuses()) == case.jobs
    leftovers = [left for left in report.leftovers if left.startswith("job ")]
    if case.ended:
        assert set(site.statuses()) <= {"cancelled", "succeeded"}
        assert leftovers == []
    elif not case.train:
        assert len(leftovers) == 1


async def test_server_without_defects_fulfils_the_contract() -> None:
    site = Site(Defect(), {})
    report = await site.test()
    assert {check.result for check in report.checks} == {WORKS}
    assert (report.is_conforming, report.found_by, report.leftovers) == (True, "its metadata", ())
    assert (site.statuses(), site.world.files.of("lab")) == (["cancelled"], {})


async def test_server_is_tested_to_the_model() -> None:
    site = Site(Defect(), {})
    report = await site.test(train=True)
    assert find_check(report, "model id").result is WORKS
    assert (site.statuses(), report.is_conforming) == (["succeeded"], True)


async def test_refused_key_ends_the_test() -> None:
    site = Site(refuse("GET", "/v1/models.*", (401, {"detail": "wrong key"})), {})
    report = await site.test()
    assert [(check.name, check.result) for check in report.checks] == [("key", MISSING)]
    assert not report.is_conforming
    assert {request.partition(" ")[0] for request in site.server.requests} == {"GET"}


async def test_unknown_base_model_creates_no_job() -> None:
    site = Site(Defect(), {})
    report = await site.test(spec=TrainingSpec(base_model="no-such-model"))
    assert find_check(report, "base model").result is MISSING
    assert find_check(report, "create job").result is SKIPPED
    assert (site.statuses(), report.is_conforming) == ([], False)


async def test_lost_answer_to_a_create_is_never_followed_by_another_create() -> None:
    """A refusal allows another attempt with other options; an answer that may hide a job does not."""
    answers = iter([(400, {"detail": "no auto"}), (502, {})])
    site = Site(Defect(intercept=lambda request, body: next(answers) if is_create(request) else None), {})
    # Without room for the tag the metadata is not left out, so each attempt is one request.
    site.account = Account(
        name="lab", provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url="http://localhost/v1",
        suffix_length=8,
    )  # fmt: skip
    report = await site.test()
    assert site.server.requests.count(f"POST {JOBS}") == 2
    assert any(left.startswith("perhaps a job on file") for left in report.leftovers)


async def test_server_that_hides_older_jobs_is_not_trusted() -> None:
    site = Site(Defect(ignores=("after",)), {})
    await site.test()
    site.now += 60
    report = await site.test(nonce="fedcba9876543210")
    assert find_check(report, "list pages").result is MISSING
    assert (report.recovery, report.is_exactly_once) == (JobRecovery.NOT_FOUND, False)


def is_create(request: httpx2.Request) -> bool:
    return request.method == "POST" and request.url.path == JOBS


async def test_cancelled_test_ends_its_job() -> None:
    """Ctrl-C in the middle: the job is cancelled, and the file deleted."""
    site = Site(Defect(), {})

    def stop(request: httpx2.Request, body: Any) -> None:
        if request.url.path.endswith("/events"):
            raise KeyboardInterrupt

    site.server = DefectiveServer(site.app, Defect(intercept=stop))
    with pytest.raises(KeyboardInterrupt):
        await site.test()
    assert (site.statuses(), site.world.files.of("lab")) == (["cancelled"], {})


def test_dataset_differs_from_that_of_an_earlier_test(tmp_path: Path) -> None:
    account = Account(name="lab", provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY")
    hashes = set()
    for nonce in ("0123456789abcdef", "fedcba9876543210"):
        with write_dataset(account, SPEC, nonce) as (file, tag):
            assert (file.path.stat().st_size, tag) == (file.bytes, f"{nonce}.1")
            hashes.add(file.sha256)
        assert not file.path.exists()
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "kind",
    [
        OpenAIBench,
        CompatibleBench,
        AzureBench,
        NebiusBench,
        MantleBench,
        TogetherBench,
        FireworksBench,
        DashScopeBench,
    ],
)
async def test_fake_of_every_provider_fulfils_the_contract(kind: type[ProviderBench], tmp_path: Path) -> None:
    bench = kind(tmp_path)
    account = Account(
        name="acme", provider=bench.name, api_key="env:KEY", base_url=bench.base_url, organization="org-acme"
    )
    spec = bench.spec(n_epochs=1)

    async def sleep(seconds: float) -> None:
        bench.now += seconds

    with write_dataset(account, spec, "0123456789abcdef") as (file, tag):
        trial = Trial(
            account=account,
            connect=lambda account: bench.connect(account, Secret("sandbox-acme")),
            spec=spec,
            tag=tag,
            file=file,
            boottime=lambda: bench.now,
            sleep=sleep,
            max_wait_seconds=60.0,
        )
        report = await check_contract(trial, train=False)
    assert report.is_conforming, report.checks
    assert (report.leftovers, bench.jobs(), bench.contents()) == ((), 1, [])
