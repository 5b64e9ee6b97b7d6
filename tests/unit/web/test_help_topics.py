"""The help page explains every term that the dashboard shows, and every link to it leads to an explanation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from web_values import REFUSED, WebServiceDouble, job

from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.web.help_topics import HELP_SECTIONS, find_help_href

TEMPLATES = Path(__file__).parents[3] / "orchestrator" / "web" / "templates"


async def read(path: str, service: WebServiceDouble | None = None) -> str:
    async with (service or WebServiceDouble()).client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer.text


async def test_help_explains_every_state_hold_and_finding() -> None:
    page = await read("/help")
    anchors = re.findall(r'id="([\w-]+)"', page)
    assert len(anchors) == len(set(anchors)), "an anchor is used twice"
    wanted = [*HoldKind, *(f"state-{state}" for state in JobState), *(f"finding-{code.slug}" for code in FindingCode)]
    assert set(wanted) <= set(anchors)
    assert "<code>budget_usd</code>" in page


async def test_every_help_link_of_a_template_has_its_section() -> None:
    anchors = set(re.findall(r'id="([\w-]+)"', await read("/help")))
    texts = [path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.html")]
    linked = {name for text in texts for name in re.findall(r'help_link\("([\w-]+)"', text)}
    assert {"states", "holds", "prices", "phases"} <= linked <= anchors
    sections = [section.anchor for section in HELP_SECTIONS]
    assert {"states", "deployment-states", "verdicts", "holds", "errors", "prices", "phases", "findings"} == set(
        sections
    )


@pytest.mark.parametrize(
    ("anchor", "href"),
    [
        ("over_budget", "/help#over_budget"),
        ("training_not_allowed", "/help#training_not_allowed"),
        ("weird_error_of_a_provider", ""),
    ],
)
def test_term_without_an_explanation_has_no_link(anchor: str, href: str) -> None:
    assert find_help_href(anchor) == href


async def test_problem_of_an_account_links_to_its_explanation() -> None:
    page = await read("/", WebServiceDouble(job("acme", "failed", error=REFUSED)))
    assert 'href="/help#training_not_allowed">What it means</a>' in page
    assert 'href="/help#states" aria-label="Help: states"' in page
