"""The other pages: what they say, and that they say it safely."""

from __future__ import annotations

from typing import Any

import pytest
from web_values import NOW, REFUSED, WebServiceDouble, job, ready, status

from orchestrator import status as read
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.loss import Loss
from orchestrator.status import (
    AccountView,
    DatasetRow,
    DatasetView,
    EventData,
    JobView,
    RunJob,
    RunListItem,
    RunOverview,
)
from orchestrator.web.dashboard import account_page, curves_page, history_pages
from orchestrator.web.dashboard.page_query import PageQuery

CURVE = [Loss(1, 0.9), Loss(2, 0.7, 0.8), Loss(3, 0.6)]
RUN = status().run
SPEC = {"base_model": "gpt-4.1-mini", "n_epochs": 3, "batch_size": "auto", "seed": None}


def account_view(*jobs: JobView, **values: Any) -> AccountView:
    known: dict[str, Any] = {"name": "acme", "provider": "openai", "organization": "org-1", "project": None}
    known |= {"labels": ["eu"], "key_fingerprint": "1f2e3d4c", "verified_at": NOW, "removed_at": None, "hold": None}
    of_runs = [
        RunJob(run=f"run-{n}", run_name="tone", current=n == 0, dataset_sha256="ab" * 32, spec=SPEC, job=each)
        for n, each in enumerate(jobs)
    ]
    events = (
        EventData(at=NOW, cause="service", note="file uploaded", state_before="uploading", state_after="processing"),
    )
    return AccountView(**known | {"jobs": tuple(of_runs), "events": events} | values)


async def html(service: WebServiceDouble, path: str) -> str:
    async with service.client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer.text


async def test_account_page_shows_ids_settings_cost_and_events() -> None:
    done = ready("acme", remote_job_id="ftjob-1", estimated_usd=0.5, trained_tokens=9, retires_on="2026-12-01")
    service = WebServiceDouble()
    service.answers[read.find_account] = account_view(done)
    page = await html(service, "/accounts/acme")
    for text in ("ft:gpt-4.1-mini:acme", 'data-copy="ftjob-1"', "$0.50", "2026-12-01", "file uploaded", "1f2e3d4c"):
        assert text in page


def test_settings_show_requested_and_used_values() -> None:
    done = ready("acme", hyperparameters={"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 2.0})
    view = account_page.build_account_page(account_view(done), NOW, has_curve=False)
    assert [(each.name, each.requested, each.effective) for each in view.hyperparameters] == [
        ("base model", "gpt-4.1-mini", None),
        ("epochs", "3", "3"),
        ("batch size", "auto", "8"),
        ("learning rate multiplier", None, "2"),
    ]


@pytest.mark.parametrize(
    ("shown", "verbs"),
    [
        (ready("acme"), ["hold"]),
        (job("acme", "failed", error=REFUSED), ["retry", "hold"]),
        (job("acme", "running"), ["cancel", "hold"]),
        (job("acme", "planned", held=True, error=REFUSED), ["cancel", "hold", "release"]),
    ],
)
def test_only_applicable_actions_are_offered(shown: JobView, verbs: list[str]) -> None:
    assert account_page.build_account_page(account_view(shown), NOW, has_curve=False).actions == tuple(verbs)


def test_held_account_whose_job_has_ended_can_be_released() -> None:
    hold = Failure("by_operator", "audit", "Release it.")
    view = account_page.build_account_page(account_view(ready("acme"), hold=hold), NOW, has_curve=False)
    assert (view.hold, view.actions) == (hold, ("release",))


async def test_ambiguous_job_offers_a_selection() -> None:
    service = WebServiceDouble()
    service.answers[read.find_account] = account_view(job("acme", "submitting", held=True, error=REFUSED))
    assert "verb=adopt" in await html(service, "/accounts/acme")
    service.answers[read.find_account] = account_view(job("acme", "submitting"))
    assert "verb=adopt" not in await html(service, "/accounts/acme")


def test_account_without_a_job_has_a_page() -> None:
    view = account_page.build_account_page(account_view(), NOW, has_curve=False)
    assert (view.run, view.actions, view.ids) == (None, (), ())


@pytest.mark.parametrize("path", ["/accounts/nobody", "/datasets/ab", "/?run=nowhere"])
async def test_unknown_page_is_reported(path: str) -> None:
    service = WebServiceDouble()
    service.answers[read.find_run_overview] = None
    async with service.client() as client:
        answer = await client.get(path)
    assert (answer.status_code, bool(answer.json()["hint"])) == (404, True)


async def test_plan_page_lists_the_planned_step_per_account() -> None:
    shown = [
        job("a", "planned", estimated_usd=0.5),
        job("b", "running", estimated_usd=0.5),
        ready("c", estimated_usd=0.5),
        job("d", "planned", held=True, error=REFUSED, estimated_usd=0.5),
        job("e", "failed", error=REFUSED, estimated_usd=None),
    ]
    page = await html(WebServiceDouble(*shown), "/plan")
    for text in ("upload the file, then train", "in progress at the provider", "done", "not train"):
        assert text in page
    assert "On hold: 1 account." in page
    assert "unknown" in page


async def test_a_held_run_offers_its_approval_on_the_plan() -> None:
    service = WebServiceDouble()
    service.status = status(job("a", "planned"), holds=[REFUSED])
    assert "/confirm?verb=approve" in await html(service, "/plan")


async def test_curves_are_a_chart_and_figures() -> None:
    service = WebServiceDouble(ready("acme"))
    service.answers[read.get_loss_curves] = {"acme": CURVE}
    page = await html(service, "/curves?q=a")
    assert 'data-curves="/curves.json?q=a"' in page
    assert "0.6000" in page
    async with service.client() as client:
        points = (await client.get("/curves.json")).json()
    assert points == {
        "curves": [
            {"account": "acme", "steps": [1, 2, 3], "training": [0.9, 0.7, 0.6], "validation": [None, 0.8, None]}
        ]
    }


def test_curve_limit_is_stated() -> None:
    many = {f"a{number}": CURVE for number in range(curves_page.MAX_CURVES)}
    overview = RunOverview(run=RUN, current=True, state_counts=(), problem_groups=(), labels=())  # type: ignore[arg-type]
    assert curves_page.build_curves_page(overview, many, PageQuery()).is_truncated
    assert not curves_page.build_curves_page(overview, {"a": CURVE}, PageQuery()).is_truncated


def test_runs_and_datasets_are_listed_with_their_state() -> None:
    assert RUN is not None
    lines = (RunListItem(run=RUN, current=False, counts={"succeeded": 1, "failed": 1}),)
    [line] = history_pages.build_run_list_page(lines).rows
    assert (line.href, line.ready, line.total) == ("/?run=run-1", 1, 2)
    row = DatasetRow(
        sha256="ab" * 32,
        examples=12,
        tokens=None,
        bytes=1000,
        validation_sha256=None,
        validation_examples=None,
        validation_tokens=None,
        created_at=NOW,
    )
    facts = dict(history_pages.build_dataset_page(DatasetView(dataset=row, runs=lines)).facts)
    assert (facts["Tokens"], facts["Validation"], facts["Size"]) == (
        "not counted",
        "no validation split",
        "1,000 bytes of JSONL",
    )


@pytest.mark.parametrize("path", ["/", "/plan", "/curves", "/runs"])
async def test_every_page_renders_before_the_first_run(path: str) -> None:
    service = WebServiceDouble()
    service.status = read.StatusSnapshot(run=None)
    service.answers |= {read.get_loss_curves: {}, read.list_runs: ()}
    assert "No " in await html(service, path)
