"""The tables of docs/explanation/scale.md are those that the simulation prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "scale.md"


@pytest.mark.parametrize("options", [[], ["--in-flight", "200"]], ids=["default", "more calls"])
def test_page_has_the_table_of_the_simulation(options: list[str]) -> None:
    script = ROOT / "benchmarks" / "scale_simulation.py"
    command = [sys.executable, f"{script}", "--accounts", "1000000", "--markdown", *options]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.count("\n") > 5
    assert printed in PAGE.read_text(encoding="utf-8")
