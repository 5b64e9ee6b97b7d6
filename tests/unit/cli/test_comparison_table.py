"""The table of a comparison fits a terminal of 80 columns and shows every verdict with its reason."""

from __future__ import annotations

from io import StringIO

import pytest
from comparison_worlds import World, create_input
from rich.cells import cell_len
from rich.console import Console

from orchestrator.cli.comparison_table import build_comparison_table
from orchestrator.core.comparison.comparator import ComparisonResult, compare_models
from orchestrator.core.comparison.document import ComparisonFacts, build_document
from orchestrator.core.structs import replace

FACTS = ComparisonFacts(run_id="5f1c2b7a9d3e4f60", probe_set="ab" * 32, probes=60, requests=420, usd=0.1234)


def draw(result: ComparisonResult, width: int) -> str:
    file = StringIO()
    Console(file=file, width=width, color_system=None).print(
        build_comparison_table(build_document(result, FACTS), width)
    )
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("world", "words"),
    [
        (World(seed=3, accounts=3, probes=60, refused=0.5), ["DIFFERENT", "refuses", "see the probes"]),
        (World(seed=1, accounts=3, probes=15), ["NOT SURE", "would decide"]),
        (World(seed=1, accounts=3, probes=60, added_prompt_tokens=3), ["NOT COMPARABLE", "chat template"]),
        (World(seed=1, accounts=1, probes=20), ["NOT SURE", "no other account"]),
    ],
)
def test_table_fits_the_width(world: World, words: list[str], width: int) -> None:
    text = draw(compare_models(create_input(world)), width)
    assert [line for line in text.splitlines() if cell_len(line) > width] == []
    joined = " ".join(text.replace("│", " ").split())
    assert [word for word in words if not all(part in joined for part in word.split())] == []
    assert "Comparison of run 5f1c2b7a9d3e4f60" in text
    assert "$0.12" in text


def test_control_characters_of_names_are_not_printed() -> None:
    result = compare_models(create_input(World(seed=1, accounts=1, probes=20)))
    (verdict,) = result.gate.verdicts
    accepted = replace(result.gate, verdicts=(replace(verdict, accepted_by="ann\x1b[31m"),))
    assert "\x1b" not in draw(replace(result, gate=accepted), 80)
