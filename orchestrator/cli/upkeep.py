"""The verbs that look after an installation, printed."""

from __future__ import annotations

import os
from dataclasses import asdict

from orchestrator.cli.render import console, print_json, simple_table
from orchestrator.settings import in_force


def config(*, as_json: bool) -> None:
    """Every setting, its value and its source."""
    settings = in_force(os.environ)
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    rows = [(setting.name, setting.value or "–", setting.source) for setting in settings]
    console().print(simple_table(("setting", "value", "from"), rows))
