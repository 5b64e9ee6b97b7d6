"""No core dump, and no child without its parent. Each in a process of its own, for it cannot be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE = """
import ctypes, resource
from orchestrator.system.hardening import forbid_core_dumps
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
MEMORY = """
from orchestrator.system.memory import limit_memory
limit_memory(256 << 20)
try:
    bytearray(512 << 20)
except MemoryError:
    print("refused")
"""


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_process_leaves_no_core_dump() -> None:
    assert printed(CORE) == "0 0"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_DATA does not limit every allocation")
def test_allocation_beyond_the_memory_limit_is_refused() -> None:
    assert printed(MEMORY) == "refused"
