"""The price that `compare` proposes to confirm is one with which it starts."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.cli.handlers.comparisons import _confirm


@pytest.mark.parametrize("usd", [0.00004, 0.02, 0.0203, 0.0249, 17.001])
def test_the_proposed_limit_is_not_below_the_price(
    usd: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    assert not _confirm(cast(Any, SimpleNamespace(plan=SimpleNamespace(usd=usd))))
    (limit,) = re.findall(r"--max-usd (\d+\.\d\d),", capsys.readouterr().out)
    assert usd <= float(limit) < usd + 0.01
