"""What people do on the dashboard, in a real browser; and that it goes on by itself."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from browser import ARTIFACTS, Watched, open_page
from playwright.async_api import Browser, Page, expect
from served import NOT_ALLOWED, NOW, RUN, Dashboard, job, token

from orchestrator.core.access_token import Role
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.notifications.delivery import DeliveryStatus

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "operator-token"
LOOKS = "reader-token"
ROWS = "tbody[id]"
DEAR = Hold(
    HoldKind.RUN_TOO_EXPENSIVE, "the run is estimated at $186.00, more than max_total_usd = $40.00", "Approve it."
)
HIDE = "hidden => Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true})"
SHOWN = "document.dispatchEvent(new Event('visibilitychange'))"


async def test_all_three_hundred_that_failed_are_retried(dashboard: Dashboard, watched: Watched) -> None:
    failed = [job(f"school-{number:03}", JobState.FAILED, failure=NOT_ALLOWED) for number in range(300)]
    others = [job(f"other-{number:03}", JobState.RUNNING) for number in range(20)]
    await dashboard.fill([*failed, *others], run=replace(RUN, planned_usd=198.4))
    page = watched.page
    await page.goto(dashboard.url)
    await page.locator("#chip-failed").click()
    await expect(page.locator("#ticked")).to_have_text("All 300 that match")
    await page.locator("#act-retry").click()
    dialog = page.get_by_role("dialog", name="Retry 300 accounts?")
    await expect(dialog).to_contain_text("$186.00")
    await page.screenshot(path=ARTIFACTS / "dashboard-retry.png")
    await dialog.get_by_role("button", name="Retry 300 accounts").click()
    await expect(page.locator("#said")).to_have_text("Retrying 300 accounts")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#chip-planned b")).to_have_text("300")
    await expect(page.locator(ROWS)).to_have_count(0)
    assert (await dashboard.job("school-299")).state is JobState.PLANNED
    assert (await dashboard.job("other-000")).state is JobState.RUNNING


async def test_what_is_ticked_is_meant(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    for name in ("globex", "initech"):
        await page.locator(f"#tick-{name}").check()
    await expect(page.locator("#ticked")).to_have_text("2 ticked")
    await page.evaluate("htmx.trigger('#live', 'look')")
    await page.locator("#act-cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel 2 accounts?")
    await expect(dialog).to_contain_text("globex, initech")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#act-cancel")).to_be_focused()
    assert not (await dashboard.job("globex")).cancel_asked
    await page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Cancel 2 accounts").click()
    await expect(page.locator("#said")).to_have_text("Cancelling 2 accounts")
    assert [(await dashboard.job(name)).cancel_asked for name in ("globex", "initech", "umbrella")] == [
        True,
        True,
        False,
    ]
    await expect(page.locator("#tick-globex")).not_to_be_checked()


async def test_a_run_that_is_too_dear_is_approved_at_its_price(dashboard: Dashboard, watched: Watched) -> None:
    await dashboard.fill([job("acme", JobState.READY)], run=replace(RUN, hold=DEAR, planned_usd=186.0))
    page = watched.page
    await page.goto(f"{dashboard.url}/plan")
    await page.get_by_role("link", name="Approve").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("$186.00")
    await dialog.get_by_role("button", name="Approve").click()
    await expect(page.locator("#said")).to_have_text("The run is approved")
    await expect(page.locator(".notice")).to_have_count(0)
    run = await dashboard.run()
    assert (run.hold, run.approved_by, run.approved_usd) == (None, "loopback", 186.0)


async def test_what_changed_meanwhile_is_asked_once_more(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/accounts/globex")
    await page.locator("#act-cancel").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Cancel 1 account?")
    await dashboard.change("globex", JobState.SUCCEEDED)
    await dialog.get_by_role("button", name="Cancel 1 account").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("these are 0 accounts by now, not 1")
    watched.wrong.clear()  # the browser tells of the answer 409
    await dialog.get_by_role("link", name="Close").click()
    await expect(dialog).to_be_hidden()


async def test_what_was_given_up_is_told_again(dashboard: Dashboard, watched: Watched) -> None:
    await dashboard.told(*({"attempts": 8, "error": "503: try later"} for _ in range(3)), {"delivered_at": NOW})
    page = watched.page
    await page.goto(f"{dashboard.url}/deliveries")
    await page.locator("#chip-dead").click()
    await expect(page.locator(ROWS)).to_have_count(3)
    await page.locator("#ask-redeliver-2").click()
    dialog = page.get_by_role("dialog", name="Tell 1 message again?")
    await dialog.get_by_role("button", name="Tell 1 message again").click()
    await expect(page.locator("#said")).to_have_text("Telling 1 message again")
    await expect(page.locator(ROWS)).to_have_count(2)
    assert [delivery.id for delivery in await dashboard.deliveries(DeliveryStatus.PENDING)] == [2]
    await page.locator("#ask-redeliver").click()
    await page.get_by_role("dialog").get_by_role("button", name="Tell 2 messages again").click()
    await expect(page.locator(".empty")).to_contain_text("None of them is dead")
    assert await dashboard.deliveries(DeliveryStatus.FAILED) == []


async def test_who_may_only_look_cannot_act(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN), token("eyes", LOOKS, Role.READER)]
    page = await open_page(browser)
    await log_in(page, dashboard, LOOKS)
    await expect(page.locator(".who")).to_have_text("eyes, reader")
    await expect(page.locator("#act, .tick, dialog, .button")).to_have_count(0)
    posted = """() => fetch('/act', {method: 'POST', body: new URLSearchParams(
        {verb: 'cancel', expect: '4', csrf: document.querySelector('[name=csrf]').value})}).then(one => one.status)"""
    assert await page.evaluate(posted) == 403
    assert not (await dashboard.job("globex")).cancel_asked
    await page.context.close()


async def test_log_in_and_out(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await open_page(browser)
    await page.goto(f"{dashboard.url}/?state=running")
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("none of the service’s tokens")
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
    await page.context.close()


async def test_a_session_that_ends_leads_to_the_login_page(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await open_page(browser)
    await log_in(page, dashboard, TOKEN, "/?state=running")
    dashboard.time += 24 * 3600
    await page.evaluate(SHOWN)
    await expect(page).to_have_url(f"{dashboard.url}/login?to=%2F%3Fstate%3Drunning")
    await page.context.close()


async def test_a_change_is_seen_without_a_reload(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    async with page.expect_response(lambda answer: answer.url.endswith("/api/v1/events")):
        await page.goto(dashboard.url)
    await page.locator("#q").fill("e")
    await expect(page).to_have_url(f"{dashboard.url}/?q=e")
    await page.locator("#tick-globex").check()
    row = await page.locator("#account-globex").element_handle()
    polls = watched.polls(200, 304)
    await dashboard.change("globex", JobState.SUCCEEDED, fine_tuned_model="ft:new")
    await expect(page).to_have_title("3/5 · support-tone")
    await expect(page.locator("#account-globex .pill")).to_have_text("succeeded")
    await expect(page.locator("#account-globex")).to_contain_text("ft:new")
    assert watched.polls(200, 304) <= polls + 2  # told by the stream, not found by asking
    assert row is not None
    assert await row.evaluate("row => row.isConnected")
    assert await page.locator("#tick-globex").is_checked()
    assert await page.locator("#q").input_value() == "e"


async def test_nothing_new_is_not_sent_and_not_swapped(dashboard: Dashboard, watched: Watched) -> None:
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
            await page.evaluate("htmx.trigger('#live', 'look')")
    assert watched.polls(200) == 1
    assert await page.evaluate("window.changes") == 0


async def test_a_hidden_tab_does_not_ask(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.evaluate(HIDE, True)
    await page.evaluate(SHOWN)
    before = watched.polls(200, 304)
    await page.evaluate("htmx.trigger('#live', 'look')")
    await dashboard.change("globex", JobState.FAILED)
    await asyncio.sleep(0.5)
    assert watched.polls(200, 304) == before
    await page.evaluate(HIDE, False)
    await page.evaluate(SHOWN)
    await expect(page.locator("#account-globex .pill")).to_have_text("failed")


async def test_a_service_that_is_gone_is_told_and_comes_back(browser: Browser, dashboard: Dashboard) -> None:
    page = await open_page(browser)
    await page.goto(dashboard.url)
    await expect(page.locator("#lost")).to_be_hidden()
    await dashboard.stop()
    await expect(page.locator("#lost")).to_be_visible()
    await expect(page.locator(ROWS)).to_have_count(5)
    await dashboard.change("globex", state=JobState.FAILED)
    await dashboard.start()
    await expect(page.locator("#lost")).to_be_hidden()
    await expect(page.locator("#account-globex .pill")).to_have_text("failed")


async def test_it_works_without_scripts(browser: Browser, dashboard: Dashboard) -> None:
    page = await open_page(browser, java_script_enabled=False)
    await page.goto(dashboard.url)
    await page.locator("#chip-held").click()
    await expect(page.locator(ROWS)).to_have_count(1)
    await page.locator("#q").fill("globex")
    await page.locator("#q").press("Enter")
    await expect(page).to_have_url(re.compile("state=held.*q=globex"))
    await page.get_by_role("link", name="Show all").first.click()
    await expect(page.locator(ROWS)).to_have_count(5)
    await page.locator("#tick-globex").check()
    await page.locator("#act-cancel").click()
    await page.get_by_role("button", name="Cancel 1 account").click()
    await expect(page).to_have_url(f"{dashboard.url}/")
    assert (await dashboard.job("globex")).cancel_asked


async def log_in(page: Page, dashboard: Dashboard, text: str, path: str = "/") -> None:
    await page.goto(dashboard.url + path)
    await page.get_by_label("Token").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account-globex")).to_be_visible()
