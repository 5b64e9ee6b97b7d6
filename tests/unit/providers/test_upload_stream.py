from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import TemporaryError
from orchestrator.providers.base import DatasetFile
from orchestrator.providers.upload_stream import open_upload_stream


def a_file(path: Path) -> DatasetFile:
    return DatasetFile(path=path, filename="a.jsonl", bytes=3, sha256="0" * 64, examples=1)


def test_missing_local_file_is_retried_with_a_hint(tmp_path: Path) -> None:
    with (
        pytest.raises(TemporaryError, match="cannot be read") as caught,
        open_upload_stream(a_file(tmp_path / "gone")),
    ):
        pass
    assert "SIGHUP" in caught.value.hint


def test_each_upload_has_a_handle_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with open_upload_stream(a_file(tmp_path / "a")) as one, open_upload_stream(a_file(tmp_path / "a")) as other:
        assert (one.read(2), other.read(2)) == (b"ab", b"ab")
