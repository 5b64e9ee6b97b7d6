"""The report of a comparison: one file that needs nothing else, with other people's texts in it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from compared_run import NOW, ComparedRun, create_compared_run
from comparison_worlds import World

from orchestrator.core.structs import replace
from orchestrator.web.dashboard.comparisons.report import (
    MAX_REPORTED_ANSWERS,
    build_report_name,
    list_reported_probes,
    render_report,
)

HOSTILE = "</style><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)> & [more]"
WORLD = World(seed=5, accounts=4, probes=60)


class ReportReader(HTMLParser):
    """Collects the tags, their addresses and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.ids: Counter[str] = Counter()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [value or "" for name, value in attributes if name in {"src", "href", "action", "data"}]
        self.ids.update(value or "" for name, value in attributes if name == "id")
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def compared() -> ComparedRun:
    return create_compared_run(WORLD, replace(WORLD, refused=0.5))


def render(run: ComparedRun) -> str:
    wanted = list_reported_probes(run.comparison)
    return render_report(
        run.comparison, "support & co", run.probes, [each for each in run.answers if each.probe_id in wanted], NOW
    )


def test_report_has_verdicts_map_and_answers_and_needs_no_other_file(compared: ComparedRun) -> None:
    text = render(compared)
    report = ReportReader(text)
    assert report.tags["script"] == report.tags["link"] == report.tags["img"] == report.tags["iframe"] == 0
    assert all(address.startswith("#probe-") for address in report.addresses)
    assert {address.removeprefix("#") for address in report.addresses} <= set(report.ids)
    assert {name: count for name, count in report.ids.items() if count > 1} == {}
    assert "support & co" in report.text
    assert "outlier-1 refuses" in report.text
    assert "I cannot help with that." in report.text
    assert "url(" not in text
    assert "@import" not in text


def test_texts_of_other_people_are_not_markup(compared: ComparedRun) -> None:
    harmless = ReportReader(render(compared)).tags
    answers = [replace(each, text=HOSTILE, text_sha256=f"{each.model}{each.round}") for each in compared.answers]
    probes = {
        key: replace(probe, messages=probe.messages.replace("You answer briefly.", "</p><script>x</script>"))
        for key, probe in compared.probes.items()
    }
    report = ReportReader(render(replace(compared, answers=answers, probes=probes)))
    assert report.tags["script"] == report.tags["img"] == 0
    assert report.tags["style"] == harmless["style"] == 1
    assert HOSTILE in report.text
    assert "</p><script>x</script>" in report.text


def test_report_is_bounded(compared: ComparedRun) -> None:
    large = create_compared_run(
        World(seed=7, accounts=30, probes=30, variation=1.0), World(seed=7, accounts=2, probes=30, refused=1.0)
    )
    text = render(large)
    assert text.count('<article class="answer') <= len(list_reported_probes(large.comparison)) * (
        MAX_REPORTED_ANSWERS + 1
    )
    assert "not in this report" in text
    assert re.fullmatch(r"comparison-a-b-[0-9a-f]{8}\.html", build_report_name(large.comparison, 'a"/..\\\nb'))
