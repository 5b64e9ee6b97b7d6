"""What people do on the dashboard, in a real browser; and that it goes on by itself."""

from __future__ import annotations

import asyncio
import re

import pytest
from browser import ARTIFACTS, PageOpener, WatchedPage, open_page
from playwright.async_api import Browser, Page, expect
from served_dashboard import NOT_ALLOWED_FAILURE, NOW, RUN, ServedDashboard, job, token

from orchestrator.core.access_token import Role
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.core.structs import replace

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "operator-token"
READER_TOKEN = "reader-token"
ROWS = "tbody[id]"
PRICE_HOLD = Hold(
    HoldKind.RUN_TOO_EXPENSIVE, "the run is estimated at $186.00, more than max_total_usd = $40.00", "Approve it."
)
HIDE = "hidden => Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true})"
SHOWN = "document.dispatchEvent(new Event('visibilitychange'))"


async def test_retry_covers_all_300_failed_accounts_of_the_filter(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    failed = [job(f"school-{number:03}", JobState.FAILED, failure=NOT_ALLOWED_FAILURE) for number in range(300)]
    others = [job(f"other-{number:03}", JobState.RUNNING) for number in range(20)]
    await dashboard.replace_run([*failed, *others], run=replace(RUN, planned_usd=198.4))
    page = watched.page
    await page.goto(dashboard.url)
    await page.locator("#chip-failed").click()
    for button in await page.locator("#bulk-actions button").all():
        await expect(button).to_be_disabled()
    await page.get_by_label("All 300 matching").check()
    await expect(page.locator("#selection-count")).to_have_text("all selected")
    await page.locator("#select-school-007").uncheck()
    await expect(page.locator("#selection-count")).to_have_text("49 selected")
    await page.get_by_label("All 300 matching").check()
    await page.evaluate("htmx.trigger('#live', 'refresh')")
    await expect(page.locator("#act-retry")).to_be_enabled()
    await page.locator("#act-retry").click()
    dialog = page.get_by_role("dialog", name="Retry the failed jobs of 300 accounts?")
    await expect(dialog).to_contain_text("$186.00")
    await page.screenshot(path=ARTIFACTS / "dashboard-retry.png")
    await dialog.get_by_role("button", name="Retry jobs").click()
    await expect(page.locator("#toast")).to_have_text("Retrying the jobs of 300 accounts")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#chip-planned b")).to_have_text("300")
    await expect(page.locator(ROWS)).to_have_count(0)
    assert (await dashboard.load_job("school-299")).state is JobState.PLANNED
    assert (await dashboard.load_job("other-000")).state is JobState.RUNNING


async def test_action_covers_exactly_the_ticked_accounts(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    for name in ("globex", "initech"):
        await page.locator(f"#select-{name}").check()
    await expect(page.locator("#selection-count")).to_have_text("2 selected")
    await page.evaluate("htmx.trigger('#live', 'refresh')")
    await page.locator("#act-cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel the jobs of 2 accounts?")
    await expect(dialog).to_contain_text("globex, initech")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#act-cancel")).to_be_focused()
    assert not (await dashboard.load_job("globex")).cancel_asked
    await page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Cancel jobs").click()
    await expect(page.locator("#toast")).to_have_text("Cancelling the jobs of 2 accounts")
    assert [(await dashboard.load_job(name)).cancel_asked for name in ("globex", "initech", "umbrella")] == [
        True,
        True,
        False,
    ]
    await expect(page.locator("#select-globex")).not_to_be_checked()
    await expect(page.locator("#act-cancel")).to_be_disabled()


async def test_another_search_deselects_all_matching_accounts(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/?q=globex")
    await page.locator("#select-matching").check()
    await page.locator("#q").fill("e")
    await expect(page.locator("#match-count")).to_have_text("5 of 5")
    await expect(page.locator("#select-matching")).not_to_be_checked()
    await page.locator("#select-all").uncheck()
    await expect(page.locator("#act-cancel")).to_be_disabled()


async def test_run_over_the_price_limit_is_approved_at_its_shown_price(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    await dashboard.replace_run([job("acme", JobState.READY)], run=replace(RUN, hold=PRICE_HOLD, planned_usd=186.0))
    page = watched.page
    await page.goto(f"{dashboard.url}/plan")
    await page.get_by_role("link", name="Approve").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("$186.00")
    await dialog.get_by_role("button", name="Approve").click()
    await expect(page.locator("#toast")).to_have_text("Run approved")
    await expect(page.locator(".notice")).to_have_count(0)
    run = await dashboard.load_run()
    assert (run.hold, run.approved_by, run.approved_usd) == (None, "loopback", 186.0)


async def test_action_asks_again_when_the_selection_has_changed(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/accounts/globex")
    await page.locator("#act-cancel").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Cancel the jobs of 1 account?")
    await dashboard.change_job("globex", JobState.SUCCEEDED)
    await dialog.get_by_role("button", name="Cancel jobs").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("The selection now matches 0 accounts, expected 1.")
    watched.errors.clear()  # the browser tells of the answer 409
    await dialog.get_by_role("link", name="Close").click()
    await expect(dialog).to_be_hidden()


async def test_dead_delivery_is_sent_again(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    await dashboard.add_deliveries(
        *({"attempts": 8, "error": "503: try later"} for _ in range(3)), {"delivered_at": NOW}
    )
    page = watched.page
    await page.goto(f"{dashboard.url}/deliveries")
    await page.locator("#chip-dead").click()
    await expect(page.locator(ROWS)).to_have_count(3)
    await page.locator("#act-redeliver-2").click()
    dialog = page.get_by_role("dialog", name="Retry 1 delivery?")
    await dialog.get_by_role("button", name="Retry 1 delivery").click()
    await expect(page.locator("#toast")).to_have_text("Retrying 1 delivery")
    await expect(page.locator(ROWS)).to_have_count(2)
    assert [delivery.id for delivery in await dashboard.list_deliveries(DeliveryStatus.PENDING)] == [2]
    await page.locator("#act-redeliver").click()
    await page.get_by_role("dialog").get_by_role("button", name="Retry 2 deliveries").click()
    await expect(page.locator(".empty")).to_contain_text("No deliveries are in the state failed")
    assert await dashboard.list_deliveries(DeliveryStatus.FAILED) == []


async def test_page_renewed_at_once_after_an_action_does_not_open_the_dialog_again(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    await dashboard.add_deliveries({"attempts": 8, "error": "503: try later"})
    page = watched.page
    await page.goto(f"{dashboard.url}/deliveries")
    await page.locator("#act-redeliver-1").click()
    await expect(page.get_by_role("dialog", name="Retry 1 delivery?")).to_be_visible()
    is_open = """() => {
        document.dispatchEvent(new CustomEvent('actionPerformed', {detail: {message: 'Done'}}));
        document.dispatchEvent(new CustomEvent('htmx:after:swap'));  // before the event that the dialog was closed
        return document.getElementById('action-dialog').open; }"""
    assert not await page.evaluate(is_open)
    await expect(page.locator("#toast")).to_have_text("Done")


async def test_reader_sees_no_actions(opener: PageOpener, dashboard: ServedDashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN), token("eyes", READER_TOKEN, Role.READER)]
    page = await opener.open()
    await log_in(page, dashboard, READER_TOKEN)
    await expect(page.locator(".who")).to_have_text("eyes, reader")
    await expect(page.locator("#bulk-actions, .select, #action-dialog, .button[hx-get]")).to_have_count(0)
    posted = """() => fetch('/act', {method: 'POST', body: new URLSearchParams(
        {verb: 'cancel', expect: '4', csrf: document.querySelector('[name=csrf]').value})}).then(one => one.status)"""
    assert await page.evaluate(posted) == 403
    assert not (await dashboard.load_job("globex")).cancel_asked


async def test_log_in_and_out(opener: PageOpener, dashboard: ServedDashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await opener.open()
    await page.goto(f"{dashboard.url}/?state=running")
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Invalid token.")
    await page.screenshot(path=ARTIFACTS / "login.png")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{dashboard.url}/?state=running")
    await expect(page.locator(ROWS)).to_have_count(1)
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{dashboard.url}/login")
    await page.go_back()
    await expect(page.locator(ROWS)).to_have_count(0)
    await page.goto(dashboard.url)
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_session_that_ends_leads_to_the_login_page(opener: PageOpener, dashboard: ServedDashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await opener.open()
    await log_in(page, dashboard, TOKEN, "/?state=running")
    dashboard.time += 24 * 3600
    await page.evaluate(SHOWN)
    await expect(page).to_have_url(f"{dashboard.url}/login?to=%2F%3Fstate%3Drunning")


async def test_job_change_appears_without_a_reload(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    async with page.expect_response(lambda answer: answer.url.endswith("/api/v1/events")):
        await page.goto(dashboard.url)
    await page.locator("#q").fill("e")
    await expect(page).to_have_url(f"{dashboard.url}/?q=e")
    await page.locator("#select-globex").check()
    row = await page.locator("#account-globex").element_handle()
    polls = watched.count_polls(200, 304)
    await dashboard.change_job("globex", JobState.SUCCEEDED, fine_tuned_model="ft:new")
    await expect(page).to_have_title("3/5 · support-tone")
    await expect(page.locator("#account-globex .pill")).to_have_text("succeeded")
    await expect(page.locator("#account-globex")).to_contain_text("ft:new")
    assert watched.count_polls(200, 304) <= polls + 2  # told by the stream, not found by asking
    assert row is not None
    assert await row.evaluate("row => row.isConnected")
    assert await page.locator("#select-globex").is_checked()
    assert await page.locator("#q").input_value() == "e"


async def test_unchanged_page_is_neither_sent_nor_swapped(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.evaluate(
        """() => {
            window.changes = 0;
            new MutationObserver(() => { window.changes += 1; })
                .observe(document.querySelector("#live"), {childList: true, subtree: true, characterData: true});
        }"""
    )
    for _ in range(2):
        async with page.expect_response(lambda answer: answer.status == 304):
            await page.evaluate("htmx.trigger('#live', 'refresh')")
    assert watched.count_polls(200) == 1
    assert await page.evaluate("window.changes") == 0


async def test_hidden_tab_does_not_poll(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.evaluate(HIDE, True)
    await page.evaluate(SHOWN)
    before = watched.count_polls(200, 304)
    await page.evaluate("htmx.trigger('#live', 'refresh')")
    await dashboard.change_job("globex", JobState.FAILED)
    await asyncio.sleep(0.5)
    assert watched.count_polls(200, 304) == before
    await page.evaluate(HIDE, False)
    await page.evaluate(SHOWN)
    await expect(page.locator("#account-globex .pill")).to_have_text("failed")


async def test_page_reports_a_lost_service_and_recovers(opener: PageOpener, dashboard: ServedDashboard) -> None:
    page = await opener.open()
    await page.goto(dashboard.url)
    await expect(page.locator("#connection-lost")).to_be_hidden()
    await dashboard.stop()
    await expect(page.locator("#connection-lost")).to_be_visible()
    await expect(page.locator(ROWS)).to_have_count(5)
    await dashboard.change_job("globex", state=JobState.FAILED)
    await dashboard.start()
    await expect(page.locator("#connection-lost")).to_be_hidden()
    await expect(page.locator("#account-globex .pill")).to_have_text("failed")


async def test_actions_work_without_javascript(browser: Browser, dashboard: ServedDashboard) -> None:
    page = await open_page(browser, java_script_enabled=False)
    await page.goto(dashboard.url)
    await page.locator("#chip-held").click()
    await expect(page.locator(ROWS)).to_have_count(1)
    await page.locator("#q").fill("globex")
    await page.locator("#q").press("Enter")
    await expect(page).to_have_url(re.compile("state=held.*q=globex"))
    await page.get_by_role("link", name="Show all").first.click()
    await expect(page.locator(ROWS)).to_have_count(5)
    await page.locator("#act-cancel").click()
    await expect(page.get_by_role("heading", name="No accounts are selected")).to_be_visible()
    await page.get_by_role("link", name="Close").click()
    await page.locator("#select-globex").check()
    await page.locator("#act-cancel").click()
    await page.get_by_role("button", name="Cancel jobs").click()
    await expect(page).to_have_url(f"{dashboard.url}/")
    assert (await dashboard.load_job("globex")).cancel_asked


async def log_in(page: Page, dashboard: ServedDashboard, text: str, path: str = "/") -> None:
    await page.goto(dashboard.url + path)
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-globex")).to_be_visible()
