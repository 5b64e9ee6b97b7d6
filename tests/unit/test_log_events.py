from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate_log_events.py"))


def test_log_events_page_matches_the_code(generator: dict[str, Any]) -> None:
    written = (DOCS / "reference" / "log-events.md").read_text(encoding="utf-8")
    assert written == generator["page"](), "log-events.md has drifted; run: python docs/generate_log_events.py"


def test_every_meaning_belongs_to_an_event_that_is_logged(generator: dict[str, Any]) -> None:
    assert generator["find_events"]().keys() == generator["MEANINGS"].keys()


@pytest.mark.parametrize(
    "call", ["log.info(name)", "self._log.error('it broke')", "structlog.get_logger('a').log(1, x)"]
)
def test_log_call_without_a_constant_event_name_is_found(
    generator: dict[str, Any], call: str, tmp_path: Path
) -> None:
    (tmp_path / "module.py").write_text(f"{call}\n")
    with pytest.raises(ValueError, match=r"module\.py:1: log the event by its name"):
        generator["find_events"](tmp_path)
