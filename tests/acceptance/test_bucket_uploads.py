"""The benchmark of uploads to buckets, small: a kill in the middle costs only the parts that it cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import clean_environ

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bucket_uploads.py"
MAX_MEMORY_MB = 200
PART_BYTES = 16 * 1024 * 1024


@pytest.mark.parametrize("store", ["gcs", "s3"])
def test_kill_in_the_middle_repeats_no_finished_part(store: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--megabytes", "20", "--accounts", "3", "--no-wait", "--stores", store]
    environment = clean_environ() | {"BENCHMARK_RESULTS": str(tmp_path)}
    limit = scale_seconds(240)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    figures = json.loads(ended.stdout)[store]
    assert (figures["killed"]["code"], figures["restarted"]["code"]) == (-9, 0)
    assert figures["parts cut off by the kill"] + figures["parts finished but not answered at the kill"] > 0
    assert figures["finished parts sent again"] == 0
    assert figures["right objects"] == 3
    sent_again = (figures["received / all files"] - 1) * 3 * figures["bytes of a file"]
    assert sent_again <= figures["parts cut off by the kill"] * PART_BYTES
    assert figures["peak memory MB"] < MAX_MEMORY_MB
