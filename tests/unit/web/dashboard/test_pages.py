"""The other pages: what they say, and that they say it safely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from web_values import NOW, REFUSED, WebServiceDouble, job, ready, status

from orchestrator import status as read
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.gate import ModelComparison
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.loss_summary import summarise_curves
from orchestrator.core.structs import replace
from orchestrator.status import (
    AccountView,
    DatasetRow,
    DatasetView,
    EventData,
    JobView,
    LastLoss,
    LossOverview,
    RunJob,
    RunListItem,
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


async def test_ids_link_to_the_console_of_the_provider_but_not_for_own_servers() -> None:
    done = ready("acme", remote_job_id="ftjob-1", remote_file_id="file-1")
    service = WebServiceDouble(done)
    service.answers[read.find_account] = account_view(done)
    known = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY")
    service.accounts = {"acme": known}
    page = await html(service, "/accounts/acme")
    for path in ("finetune/ftjob-1", "storage/files/file-1", "playground/chat?models=ft:gpt-4.1-mini:acme"):
        assert f'href="https://platform.openai.com/{path}"' in page
    assert page.count('rel="noopener noreferrer"') == 3
    assert 'href="https://platform.openai.com/finetune/ftjob-1"' in await html(service, "/")
    service.accounts = {"acme": replace(known, base_url="http://127.0.0.1:9/v1")}
    assert "platform.openai.com" not in await html(service, "/accounts/acme") + await html(service, "/")


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


def comparison(verdict: ComparisonVerdict, **values: Any) -> ModelComparison:
    return ModelComparison(model="ft:gpt-4.1-mini:acme", verdict=verdict, comparison_id="c1", at=NOW, **values)


@pytest.mark.parametrize(
    ("known", "gated", "offered"),
    [
        (None, False, []),
        (None, True, ["accept"]),
        (comparison(ComparisonVerdict.ALIKE), True, []),
        (comparison(ComparisonVerdict.NOT_SURE), False, ["accept"]),
        (comparison(ComparisonVerdict.DIFFERENT), True, ["accept"]),
        (comparison(ComparisonVerdict.DIFFERENT, accepted_by="operator:ada"), True, ["revoke_acceptance"]),
    ],
)
async def test_model_that_is_not_alike_can_be_accepted(
    known: ModelComparison | None, gated: bool, offered: list[str]
) -> None:
    view = account_view(ready("acme", comparison=known, gated=gated))
    actions = account_page.build_account_page(view, NOW, has_curve=False).actions
    assert [each for each in actions if each != "hold"] == offered
    service = WebServiceDouble()
    service.answers[read.find_account] = view
    page = await html(service, "/accounts/acme")
    assert [verb for verb in ("accept", "revoke_acceptance") if f"verb={verb}&" in page] == offered
    assert ("Revoke acceptance" in page) is ("revoke_acceptance" in offered)


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


def loss_overview(curves: Mapping[str, list[Loss]]) -> LossOverview:
    summary = summarise_curves(curves)
    last = [
        LastLoss(account=name, step=curve[-1].step, training=curve[-1].training, validation=curve[-1].validation)
        for name, curve in curves.items()
    ]
    return LossOverview(
        run_name="tone",
        total=len(curves) + 1,
        curve_count=len(curves),
        last_losses=tuple(last),
        summary=summary,
        outlier_curves={each.account: curves[each.account] for each in summary.outliers},
    )


def many_curves(count: int) -> dict[str, list[Loss]]:
    """Curves of accounts that train alike, and the last two that differ."""
    levels = {f"a{n:03}": 0.4 + n / 1000 for n in range(count - 2)} | {"z-high": 2.0, "z-low": 0.1}
    return {
        name: [Loss(step, level, level + 0.1 if step % 4 == 0 else None) for step in range(1, 21)]
        for name, level in levels.items()
    }


async def test_few_curves_are_drawn_one_by_one_with_their_figures() -> None:
    service = WebServiceDouble(ready("acme"))
    service.answers |= {
        read.get_loss_curves: {"acme": CURVE},
        read.find_loss_overview: loss_overview({"acme": CURVE}),
    }
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


async def test_many_curves_are_a_band_with_named_outliers() -> None:
    service = WebServiceDouble(ready("acme"))
    service.answers[read.find_loss_overview] = loss_overview(many_curves(40))
    page = await html(service, "/curves")
    assert '2 accounts far from the others: <a href="/accounts/z-high">z-high</a>' in page
    assert page.index('id="loss-z-high"') < page.index('id="loss-z-low"') < page.index('id="loss-a000"')
    assert "far above the others" in page
    async with service.client() as client:
        points = (await client.get("/curves.json")).json()
    assert points["summary"]["training"]["steps"] == list(range(1, 21))
    assert points["summary"]["validation"]["steps"] == [4, 8, 12, 16, 20]
    assert [curve["account"] for curve in points["curves"]] == ["z-high", "z-low"]


def test_table_of_the_bands_ends_with_the_last_step_and_has_the_validation() -> None:
    view = curves_page.build_curves_page(loss_overview(many_curves(40)), PageQuery())
    assert view.is_summary
    assert len(view.band_rows) <= curves_page.MAX_BAND_ROWS
    last = view.band_rows[-1]
    assert (last.step, last.accounts, last.median) == ("20", "40", "0.4185")
    assert last.validation == "0.5185"
    assert last.band.startswith("0.40")
    assert " to 0.4" in last.band


def test_table_of_many_accounts_is_paged() -> None:
    overview = loss_overview(many_curves(120))
    view = curves_page.build_curves_page(overview, PageQuery(page=9))
    assert (view.query.page, view.page_count, len(view.rows)) == (3, 3, 20)
    assert view.page_href(1) == "/curves"


def test_eight_curves_are_drawn_and_nine_are_summarised() -> None:
    for count, expected in ((curves_page.MAX_SINGLE_CURVES, False), (curves_page.MAX_SINGLE_CURVES + 1, True)):
        assert curves_page.shows_summary(loss_overview(many_curves(count))) is expected


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
    service.answers |= {read.list_runs: ()}
    assert "No " in await html(service, path)


async def test_page_asks_for_the_jobs_of_the_run_that_it_shows() -> None:
    """Another run may become the current one between the two reads."""

    class CountingService(WebServiceDouble):
        asked: ClassVar[list[str | None]] = []

        async def _call(self, ask: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
            if ask is read.list_jobs:
                self.asked.append(options["run_id"])
            return await super()._call(ask, *arguments, **options)

    page = await html(CountingService(ready("acme"), ready("globex")), "/")
    assert "ft:gpt-4.1-mini:acme" in page
    assert RUN is not None
    assert CountingService.asked == [RUN.id]
