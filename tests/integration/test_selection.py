"""What the database chooses is what the rules of core say of each job."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date
from functools import partial
from typing import Any

import pytest
from store_values import NOW, RUN, a_job, a_standing, fill, id_of

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import JobColumn, JobSortOrder
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.structs import replace
from orchestrator.status import (
    JobView,
    find_run_overview,
    get_loss_curves,
    get_run_matrix,
    get_status,
    list_jobs,
    preview_action,
)
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, job_search, losses, runs

REFUSED = Failure("training_not_allowed", "project 7 may not train", "Ask for `train`.")
HOLDS = [
    None,
    Hold(HoldKind.OVER_BUDGET, "too dear", "Raise `budget_usd`."),
    Hold("quota_exhausted", "no credit until noon", "Add credit.", until=NOW + 60),
    Hold("quota_exhausted", "no credit until a minute ago", "Add credit.", until=NOW - 60),
]
PRICE_HOLD = replace(RUN, hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "too much", "Approve it."))
BARE = replace(RUN, moderation=Moderation(state=ModerationStatus.MISSING, by="", at=NOW, reason="no account"))


def every_case() -> tuple[list[Job], list[AccountState]]:
    """Each state with each hold of its own and of its account, listed and removed."""
    jobs, standings = [], []
    cases = itertools.product(JobState, HOLDS, HOLDS, (None, NOW), (None, "ftjob-1"))
    for number, (state, own, aside, removed, remote) in enumerate(cases):
        name = f"a{number:03}"
        failure = REFUSED if number % 3 == 0 else None
        jobs.append(a_job(name, state=state, hold=own, failure=failure, remote_job_id=remote))
        standings.append(a_standing(name, hold=aside, removed_at=removed))
    return jobs, standings


async def put(database: Database, jobs: list[Job], standings: list[AccountState], run: Run = RUN) -> None:
    async def change(tx: Transaction) -> None:
        for standing in standings:
            await accounts.save(tx, standing)

    await database.write(change)
    await fill(database, jobs, run)


async def names(database: Database, selection: JobFilter, now: float) -> list[str]:
    listing = await list_jobs(database, selection, now, limit=10_000)
    assert listing is not None
    return [job.account for job in listing.jobs]


def shown(job: JobView) -> str:
    return "held" if job.held else job.state


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", JobColumn)
async def test_jobs_are_sorted_by_each_column_and_empty_values_come_last(
    database: Database, column: JobColumn, descending: bool
) -> None:
    later: dict[str, Any] = {"state": JobState.SUCCEEDED, "fine_tuned_model": "ft:z", "remote_job_id": "job-z"}
    later |= {"retires_on": date(2027, 3, 1), "estimated_usd": 2.0, "state_since": NOW - 900}
    later |= {"submitted_at": NOW - 200, "finished_at": NOW}
    earlier: dict[str, Any] = {"state": JobState.RUNNING, "fine_tuned_model": "ft:a", "remote_job_id": "job-a"}
    earlier |= {"retires_on": date(2026, 3, 1), "estimated_usd": 1.0, "state_since": NOW - 60}
    earlier |= {"submitted_at": NOW - 300, "finished_at": NOW - 250}
    empty = {"state": JobState.RUNNING, "state_since": NOW - 60, "estimated_usd": None}
    jobs = [a_job("c", **later), a_job("b", **earlier), a_job("a", **earlier), a_job("d", **empty)]
    await put(database, jobs, [a_standing(each.account) for each in jobs])
    listing = await list_jobs(database, JobFilter(), NOW, order=JobSortOrder(column, descending))
    assert listing is not None
    expected = {
        JobColumn.ACCOUNT: "dcba" if descending else "abcd",
        JobColumn.STATE: "cabd" if descending else "abdc",
        JobColumn.SINCE: "cabd" if descending else "abdc",
    }.get(column, "cabd" if descending else "abcd")
    assert "".join(each.account for each in listing.jobs) == expected
    overview = await find_run_overview(database, NOW)
    assert overview is not None
    assert overview.first_retirement == date(2026, 3, 1)


@pytest.mark.parametrize("run", [RUN, replace(PRICE_HOLD, moderation=BARE.moderation)], ids=["free", "held"])
async def test_database_selection_matches_the_rules(database: Database, run: Run) -> None:
    await put(database, *every_case(), run)
    whole = await get_status(database, NOW)
    listing = await list_jobs(database, JobFilter(), NOW, limit=10_000)
    assert listing is not None
    assert listing.jobs == whole.jobs
    assert listing.counts == dict(whole.counts)
    for kind in sorted({job.error.kind for job in whole.jobs if job.error}):
        found = await names(database, JobFilter(error=kind), NOW)
        assert found == [job.account for job in whole.jobs if job.error and job.error.kind == kind]
    for state, held in itertools.product(["", *JobState], [None, True, False]):
        wanted = [job for job in whole.jobs if state in ("", job.state) and held in (None, job.held)]
        found = await names(database, JobFilter(state=state, held=held), NOW)
        assert found == [job.account for job in wanted]
        page = await list_jobs(database, JobFilter(state=state, held=held), NOW, limit=1)
        assert page is not None
        assert (page.total, page.counts) == (len(wanted), listing.counts), (state, held)
        assert page.jobs == tuple(wanted[:1])
        if state not in ("", JobState.FAILED):
            continue
        matrix = await get_run_matrix(database, JobFilter(state=state, held=held), NOW, limit=5, skip=2)
        assert [row.account for row in matrix.rows] == [job.account for job in wanted[2:7]]
        assert (matrix.total, matrix.counts) == (len(wanted), listing.counts)


async def test_page_without_counts_has_the_same_jobs(database: Database) -> None:
    await put(database, *every_case())
    for query in (JobFilter(), JobFilter(state=JobState.FAILED), JobFilter(text="a01")):
        whole = await list_jobs(database, query, NOW, limit=5, skip=3)
        page = await list_jobs(database, query, NOW, limit=5, skip=3, with_counts=False)
        assert whole is not None
        assert page == replace(whole, counts={}, total=0)


async def test_causes_cover_every_job_that_needs_a_person(database: Database) -> None:
    await put(database, *every_case(), PRICE_HOLD)
    whole, seen = await get_status(database, NOW), await find_run_overview(database, NOW)
    assert whole.run is not None
    assert seen is not None
    needy = [
        job for job in whole.jobs if job.state == JobState.FAILED or (job.held and job.error not in whole.run.holds)
    ]
    expected = Counter(job.error.kind if job.error else "unknown" for job in needy)
    found: Counter[str] = Counter()
    for cause in seen.problem_groups:
        found[cause.error.kind] += cause.count
    assert found == expected
    assert seen.needs_attention == len(needy)
    assert [cause.count for cause in seen.problem_groups] == sorted(
        (cause.count for cause in seen.problem_groups), reverse=True
    )


async def test_unsent_jobs_of_an_earlier_run_are_held(database: Database) -> None:
    jobs = [a_job("sent", state=JobState.RUNNING), a_job("waiting", state=JobState.READY)]
    await put(database, jobs, [])
    await database.write(lambda tx: runs.save(tx, replace(RUN, current=False)))
    assert await list_jobs(database, JobFilter(), NOW) is None
    listing = await list_jobs(database, JobFilter(), NOW, run_id=RUN.id)
    assert listing is not None
    assert [(job.account, shown(job)) for job in listing.jobs] == [("sent", "running"), ("waiting", "held")]
    assert listing.counts == {"running": 1, "held": 1}
    seen = await find_run_overview(database, NOW, run_id=RUN.id)
    assert seen is not None
    assert (seen.current, seen.problem_groups) == (False, ())


async def test_pages_follow_each_other_by_cursor_and_by_number(database: Database) -> None:
    await put(database, [a_job(f"a{number}", state=JobState.QUEUED) for number in range(7)], [])
    found, after = [], ""
    while True:
        listing = await list_jobs(database, JobFilter(), NOW, limit=3, after=after)
        assert listing is not None
        assert listing.total == 7
        found.append([job.account for job in listing.jobs])
        if listing.next is None:
            break
        after = listing.next
    assert found == [["a0", "a1", "a2"], ["a3", "a4", "a5"], ["a6"]]
    skipped = await list_jobs(database, JobFilter(), NOW, limit=3, skip=3)
    assert skipped is not None
    assert [job.account for job in skipped.jobs] == found[1]


TEXTS = [
    ("", ["acme-eu", "globex"]),
    ("ACME", ["acme-eu"]),
    ("eu-west", ["globex"]),
    ("org-9", ["globex"]),
    ("together", ["globex"]),
    ("ft:gpt", ["acme-eu"]),
    ("ftjob-1", ["acme-eu"]),
    ("no credit", ["globex"]),
    ("quota_exhausted", ["globex"]),
    ("held", ["globex"]),
    ("100%", []),
    ("acme_eu", []),
    ("nothing", []),
]


async def test_search_covers_every_shown_field(database: Database) -> None:
    done = a_job("acme-eu", state=JobState.SUCCEEDED, remote_job_id="ftjob-1", fine_tuned_model="ft:gpt:x")
    aside = a_standing(
        "globex", provider=ProviderName.TOGETHER, labels=("eu-west",), organization="org-9", hold=HOLDS[2]
    )
    waiting = a_job("globex", state=JobState.QUEUED, provider=ProviderName.TOGETHER)
    await put(database, [done, waiting], [aside])
    for text, found in TEXTS:
        assert (text, await names(database, JobFilter(text=text), NOW)) == (text, found)


async def test_provider_label_and_accounts_narrow(database: Database) -> None:
    standings = [a_standing("a", labels=("eu", "süd")), a_standing("b", labels=("europe",)), a_standing("c")]
    await put(database, [a_job(name) for name in "ab"] + [a_job("c", provider=ProviderName.NEBIUS)], standings)
    for selection, found in [
        (JobFilter(label="eu"), ["a"]),
        (JobFilter(label="süd"), ["a"]),
        (JobFilter(provider="nebius"), ["c"]),
        (JobFilter(accounts=("b", "c", "x")), ["b", "c"]),
        (JobFilter(accounts=("b", "c"), provider="openai"), ["b"]),
    ]:
        assert await names(database, selection, NOW) == found
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.labels == ("eu", "europe", "süd")


async def test_label_is_selected_in_its_case_only(database: Database) -> None:
    """An action on the accounts of a label must not reach those of another one."""
    labels = {"a": ("eu",), "b": ("EU",), "c": ("Eu", "%"), "d": ('"eu"', "eu_1")}
    await put(database, [a_job(name) for name in labels], [a_standing(name, labels=labels[name]) for name in labels])
    for label, names in (("eu", ["a"]), ("EU", ["b"]), ("%", ["c"]), ('"eu"', ["d"]), ("eu_1", ["d"]), ("_u", [])):
        preview = await preview_action(database, OperatorAction.HOLD, JobFilter(label=label), NOW)
        assert list(preview.accounts) == names


@pytest.mark.parametrize("sampled", [1, 2, 500])
async def test_labels_of_all_accounts_of_the_run_are_listed(
    database: Database, monkeypatch: pytest.MonkeyPatch, sampled: int
) -> None:
    monkeypatch.setattr(job_search, "MAX_SAMPLED_ACCOUNTS", sampled)
    standings = [a_standing("a", labels=("eu",)), a_standing("b"), a_standing("c", labels=("us", "süd"))]
    elsewhere = [a_standing("gone", labels=("gone",), removed_at=NOW), a_standing("x", labels=("no-job",))]
    await put(database, [a_job(name) for name in ("a", "b", "c", "gone")], standings + elsewhere)
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.labels == ("eu", "süd", "us")


async def test_counts_are_of_the_same_selection_in_any_state(database: Database) -> None:
    jobs = [a_job("a", state=JobState.RUNNING), a_job("b", state=JobState.FAILED, failure=REFUSED), a_job("c")]
    await put(database, jobs, [a_standing("c", labels=("eu",))])
    listing = await list_jobs(database, JobFilter(state=JobState.FAILED, held=False, text="a"), NOW)
    assert listing is not None
    assert [job.account for job in listing.jobs] == ["b"]
    assert listing.counts == {"running": 1, "failed": 1, "planned": 1}
    assert listing.total == 1


async def test_money_and_time_come_from_the_jobs(database: Database) -> None:
    sent = {"submitted_at": NOW - 100, "estimated_usd": 0.5}
    jobs = [
        a_job("a", state=JobState.SUCCEEDED, finished_at=NOW - 40, **sent),
        a_job("b", state=JobState.SUCCEEDED, finished_at=NOW - 60, **sent),
        a_job("c", state=JobState.RUNNING, estimated_finish=NOW + 30, **sent),
        a_job("d", state=JobState.READY, estimated_usd=0.5),
    ]
    await put(database, jobs, [])
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.submitted_usd == 1.5
    assert {share.state: share.lasted for share in seen.state_counts} == {
        "succeeded": 50,
        "running": None,
        "ready": None,
    }
    unknown = a_job("e", state=JobState.RUNNING, submitted_at=NOW)
    await fill(database, [unknown])
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.submitted_usd is None
    assert seen.total == 5


async def test_hints_that_differ_by_the_account_are_one_cause(database: Database) -> None:
    names_ = ("a", "acme", "globex")
    held = [
        a_standing(name, hold=Hold(HoldKind.BY_OPERATOR, "a look", f"Run `orchestrator release {name}` to continue."))
        for name in names_
    ]
    await put(database, [a_job(name) for name in names_], held)
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    [cause] = seen.problem_groups
    assert (cause.count, cause.message_count, cause.held, cause.accounts) == (3, 1, True, names_)
    assert cause.error.hint == "Run `orchestrator release NAME` to continue."


async def test_unknown_run_is_reported(database: Database) -> None:
    assert await find_run_overview(database, NOW) is None
    assert await list_jobs(database, JobFilter(), NOW, run_id="nowhere") is None


async def test_curves_are_limited_to_the_first_jobs_with_losses(database: Database) -> None:
    await put(database, [a_job(name) for name in "abcd"], [])
    for name in "bcd":
        await database.write(partial(losses.add, job_id=id_of(name), reported=[Loss(2, 0.5), Loss(1, 0.9)]))
    found = await get_loss_curves(database, JobFilter(), NOW, limit=2)
    assert found == {"b": [Loss(1, 0.9), Loss(2, 0.5)], "c": [Loss(1, 0.9), Loss(2, 0.5)]}
    assert list(await get_loss_curves(database, JobFilter(accounts=("a", "d")), NOW, limit=2)) == ["d"]
