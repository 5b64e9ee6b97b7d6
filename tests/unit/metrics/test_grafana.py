"""The Grafana dashboard asks for metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from metric_names import every_name
from prometheus_client import CollectorRegistry, ProcessCollector

from orchestrator.metrics import ALL_METRICS

ROOT = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/orchestrator.json").read_text(encoding="utf-8"))
LABELS = {name: set(metric.labels) for metric in ALL_METRICS for name in every_name(metric)}
SCRAPED = {"job", "instance"}  # what Prometheus itself adds
WORDS = {"by", "sum", "min", "max", "count", "rate", "time", "histogram_quantile"}
GROUP = r"\bby \(([^)]*)\)"


def expressions() -> Iterator[tuple[str, str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


def process_names() -> set[str]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return {sample.name for family in registry.collect() for sample in family.samples}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z_]+", text)


@pytest.mark.parametrize(("panel", "expression", "legend"), list(expressions()))
def test_dashboard_uses_existing_metrics_and_labels(panel: str, expression: str, legend: str) -> None:
    selectors = re.findall(r"([a-z_]+)\{([^}]*)\}", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", re.sub(GROUP, "", expression))
    names = {name for name, _ in selectors}
    assert names, f"{panel}: asks for nothing"
    assert set(words(bare)) - WORDS == names, "every metric has a selector, and there are no other words"
    assert names <= set(LABELS) | process_names()

    known = {"le", *SCRAPED}.union(*(LABELS.get(name, set()) for name in names))
    asked = {label for _, inside in selectors for label in re.findall(r"([a-z_]+)[!=]", inside)}
    assert all('job=~"$job"' in inside for _, inside in selectors)
    assert asked <= known
    grouped = {label for group in re.findall(GROUP, expression) for label in words(group)}
    assert grouped <= known
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (grouped or known), "a legend shows only labels that are left"


def test_every_metric_is_on_the_dashboard() -> None:
    asked = " ".join(expression for _, expression, _ in expressions())
    assert [metric.name for metric in ALL_METRICS if metric.name not in asked] == []


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
