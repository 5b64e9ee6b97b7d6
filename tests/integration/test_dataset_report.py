"""The report in a real browser: no console error, nothing loaded, readable in light and dark."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from clock import todays_environ
from playwright.async_api import async_playwright

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.example import create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.moderation.runner import ModerationResult
from orchestrator.dataset.output.html_report import to_html
from orchestrator.dataset.output.report_examples import ReportExamples
from orchestrator.dataset.rules import DatasetRules

ROOT = Path(__file__).parents[2]
FLAGGED = create_finding(
    FindingCode.FLAGGED, "bad.json", "the provider's moderation flags this text: harassment 0.97", line=1, path="$[0]"
)
MODERATED = ModerationResult(texts=142, known=140, findings=[FLAGGED])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_report_opens_without_errors_or_external_requests(tmp_path: Path, scheme: str) -> None:
    for chat in (ROOT / "chats").iterdir():
        shutil.copy(chat, tmp_path)
    (tmp_path / "bad.json").write_text('[{"role": "bot", "content": "<img src=x onerror=alert(1)> a@b.co"}]')
    attack = [{"role": "user", "content": "<script>attacked = 1</script>"}, {"role": "assistant", "content": "No."}]
    (tmp_path / "attack.json").write_text(json.dumps(attack))
    examples = ReportExamples()
    rules = DatasetRules(base_models=("gpt-4.1-2025-04-14",))
    result = check_dataset(tmp_path, rules, observer=examples)
    page_text = to_html(result, title="chats", moderation=MODERATED, examples=examples)
    (tmp_path / "report.html").write_text(page_text, encoding="utf-8")
    said: list[str] = []
    loaded: list[str] = []
    async with async_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(path).exists():  # noqa: ASYNC240 - nothing else runs yet
            pytest.skip("no Chromium: install your system's, or run `.venv/bin/playwright install chromium`")
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [], env={**todays_environ()}
        )
        page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        await page.goto((tmp_path / "report.html").as_uri())
        colours = await page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        bars = await page.locator("svg rect").count()
        chats, attacked = await page.locator(".example .message").count(), await page.evaluate("window.attacked")
        wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        await page.screenshot(path=ROOT / "test-artifacts" / f"report-{scheme}.png", full_page=True)
        found = (await Axe().run(page)).response["violations"]
        await browser.close()
    assert [each["id"] for each in found] == []
    assert chats > 5
    assert attacked is None
    assert said == []
    assert [url.rsplit("/", 1)[-1] for url in loaded] == ["report.html"]
    assert contrast(*colours) > 7
    assert bars > 10
    assert not wide


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two `rgb(…)` colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
