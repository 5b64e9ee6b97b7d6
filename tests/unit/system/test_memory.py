"""The default limit of memory comes from the machine or, where that allows less, from the container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.system import memory
from orchestrator.system.memory import default_memory_limit


@pytest.mark.parametrize("content", ["1073741824\n", "max\n"])
def test_container_memory_limit_takes_precedence(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(content)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    allowed = min(physical, 1 << 30) if content[0] == "1" else physical
    assert default_memory_limit() == int(allowed * 0.75)
