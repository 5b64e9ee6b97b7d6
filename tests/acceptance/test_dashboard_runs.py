"""The dashboard of three runs over thirty accounts: the overview, the choice of a run, and actions on one run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from browser import ARTIFACTS, PageOpener, WatchedPage
from playwright.async_api import Page, expect
from served_dashboard import NOW, PERMISSION_HOLD, RUN, ServedDashboard, job, standing, succeeded_job

from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACCOUNTS = [
    f"{name}-{region}"
    for name in (
        "acme",
        "blue-harbour",
        "globex",
        "initech",
        "northwind",
        "red-dune",
        "school",
        "stark",
        "umbra",
        "wayne",
    )
    for region in ("apac", "eu", "us")
]
PAGES = {
    "overview": "/overview",
    "run-of-several": "/?run=support-tone",
    "account-of-several": "/accounts/acme-eu?run=support-tone",
    "timeline-of-several": "/timeline?run=support-tone",
}
BAD_FILE = Failure("invalid_file", "Line 14 of the training file has no assistant message.", "Correct the chats.")
TOO_EXPENSIVE = Hold(
    HoldKind.RUN_TOO_EXPENSIVE,
    "the run is estimated at $61.20, above the limit of $50.00",
    "Run `orchestrator approve`.",
)
RUNS = (
    replace(RUN, id=RunId("run-facts"), name="product-facts", priority=10, planned_usd=18.6, created_at=NOW - 900),
    replace(RUN, planned_usd=18.6),
    replace(
        RUN, id=RunId("run-style"), name="house-style", planned_usd=61.2, hold=TOO_EXPENSIVE, created_at=NOW - 60
    ),
)


def jobs_of(number: int) -> list[Job]:
    """The jobs of one of the runs, in all states that occur."""
    return [replace(_build_job(number, index, name), run_id=RUNS[number].id) for index, name in enumerate(ACCOUNTS)]


def _build_job(number: int, index: int, name: str) -> Job:
    job_id: dict[str, Any] = {"id": JobId(f"{number}-{name}"), "remote_job_id": f"ftjob-{number}{index:022}"}
    if number == 2:
        return job(name, JobState.PLANNED, id=job_id["id"])
    match (index + 3 * number) % 10:
        case 0 | 1 | 2 | 3:
            made = succeeded_job(name, f"CZk{number}{index:04}", f"8Kq2vWmZr0aXcT4nYb71{number}{index:02}")
            return replace(made, **job_id)
        case 4 | 5:
            return job(name, JobState.RUNNING, progress=index / 30, **job_id)
        case 6:
            return job(name, JobState.QUEUED, **job_id)
        case 7:
            return job(name, JobState.FAILED, failure=BAD_FILE, **job_id)
        case 8:
            return job(name, JobState.READY, id=job_id["id"])
        case _:
            return job(name, JobState.PROCESSING, id=job_id["id"])


async def show_runs(served: ServedDashboard, run_jobs: Sequence[Sequence[Job]]) -> None:
    standings = [
        standing(name, name.rpartition("-")[2], hold=PERMISSION_HOLD if name == "stark-eu" else None)
        for name in ACCOUNTS
    ]
    await served.replace_run(run_jobs[0], standings, RUNS[0])
    for run, jobs in zip(RUNS[1:], run_jobs[1:], strict=True):
        await served.add_run(run, jobs)


@pytest_asyncio.fixture(loop_scope="session")
async def three_runs(served: ServedDashboard) -> ServedDashboard:
    """Thirty accounts in three runs; the third run has only those of two regions."""
    style = [each for each in jobs_of(2) if not each.account.endswith("-us")]
    await show_runs(served, [jobs_of(0), jobs_of(1), style])
    return served


async def test_bare_address_leads_to_the_overview(three_runs: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(three_runs.url)
    await expect(page).to_have_url(f"{three_runs.url}/overview")
    await expect(page.locator(".run-card h2")).to_have_text(["product-facts", "support-tone", "house-style"])
    await expect(page.locator(".run-card").first).to_contain_text("priority 10")
    await expect(page.locator(".matrix thead th")).to_have_text(
        ["Account", "product-facts", "support-tone", "house-style"]
    )
    await expect(page.locator(".matrix tbody")).to_have_count(30)
    cells = page.locator("#account-acme-us td")
    await expect(cells).to_have_text(["succeeded", "running 6%", "–"])
    await expect(page.locator(".run-card").last).to_contain_text("the run is estimated at $61.20")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900)])
async def test_matrix_of_30_accounts_and_3_runs_fits_a_laptop_screen(
    opener: PageOpener, three_runs: ServedDashboard, width: int, height: int
) -> None:
    page = await opener.open(width, height)
    await page.goto(f"{three_runs.url}/overview")
    await page.screenshot(path=ARTIFACTS / f"overview-{width}.png")
    last = await page.locator(".matrix tbody").last.bounding_box()
    assert last is not None
    assert last["y"] + last["height"] <= height


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_pages_of_several_runs_are_accessible_and_fit(
    opener: PageOpener, three_runs: ServedDashboard, scheme: Any, width: int
) -> None:
    page = await opener.open(width, 900, color_scheme=scheme)
    for name, path in PAGES.items():
        await page.goto(three_runs.url + path)
        await expect(page.locator("main")).to_be_visible()
        await page.screenshot(path=ARTIFACTS / f"{name}-{scheme}-{width}.png")
        assert await list_violations(page) == [], name
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, name


async def test_switch_and_links_keep_the_run(three_runs: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(f"{three_runs.url}/timeline?run=support-tone")
    choice = page.locator(".run-choice")
    await expect(choice.locator("[aria-current]")).to_have_text("support-tone")
    await choice.get_by_text("product-facts").click()
    await expect(page).to_have_url(f"{three_runs.url}/timeline?run=product-facts")
    await page.locator(".pages").get_by_text("Plan", exact=True).click()
    await expect(page).to_have_url(f"{three_runs.url}/plan?run=product-facts")
    await page.locator(".pages").get_by_text("Run", exact=True).click()
    await expect(page.locator("h1")).to_have_text("product-facts")
    await page.locator("#chip-failed").click()
    await expect(page).to_have_url(f"{three_runs.url}/?state=failed&run=product-facts")
    await choice.get_by_text("All runs").click()
    await page.get_by_role("link", name="acme-us in support-tone: running, 6%").click()
    await expect(page.locator(".crumbs")).to_have_text(re.compile("support-tone"))
    await expect(page.locator("h1")).to_have_text("acme-us")
    await expect(page.locator(".headline .pill")).to_have_text("running")


async def test_action_on_a_run_page_changes_jobs_of_that_run_only(
    three_runs: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(f"{three_runs.url}/?run=support-tone&q=blue-harbour-us")
    await page.locator("#select-blue-harbour-us").check()
    await page.locator("#act-cancel").click()
    await page.locator("#yes").click()
    await expect(page.locator("#toast")).to_have_text(re.compile("1 account"))
    changed = {each.run_id: each.cancel_asked for each in await three_runs.list_jobs("blue-harbour-us")}
    assert changed == {RUNS[0].id: False, RUNS[1].id: True}


async def test_run_is_approved_on_the_overview(three_runs: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(f"{three_runs.url}/overview")
    await page.get_by_role("link", name="Approve").click()
    await expect(page.locator("#confirm-title")).to_contain_text("house-style")
    await expect(page.locator(".price")).to_contain_text("$61.20")
    await page.locator("#yes").click()
    await expect(page.get_by_role("link", name="Approve")).to_have_count(0)
    await expect(page.locator("#account-acme-eu td").last).to_have_text("planned")


async def test_filter_shows_all_jobs_of_the_matching_accounts(
    three_runs: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(f"{three_runs.url}/overview?state=failed")
    await expect(page.locator(".matrix tbody")).to_have_count(6)
    await expect(page.locator("#account-globex-eu td")).to_have_text(
        ["failed invalid file", "succeeded", "held run too expensive"]
    )


async def list_violations(page: Page) -> list[str]:
    found = (await Axe().run(page)).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
