"""Where `check` keeps the results of earlier checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.handlers.dataset import find_cache_folder
from orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_results_are_in_the_data_folder_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path / "data", check_cache_mb=3)
    found = find_cache_folder(settings)
    assert found
    assert (found.path, found.max_bytes) == (tmp_path / "home" / ".cache" / "orchestrator", 3 << 20)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert (found := find_cache_folder(settings))
    assert found.path == tmp_path / "xdg" / "orchestrator"
    (tmp_path / "data").mkdir()
    assert (found := find_cache_folder(settings))
    assert found.path == tmp_path / "data" / "check-cache"


def test_relative_folder_of_the_environment_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert (found := find_cache_folder(Settings(data_dir=tmp_path / "data")))
    assert found.path == tmp_path / "home" / ".cache" / "orchestrator"


def test_size_of_zero_keeps_no_results(tmp_path: Path) -> None:
    assert find_cache_folder(Settings(data_dir=tmp_path, check_cache_mb=0)) is None


def test_user_without_a_home_has_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", fail)
    assert find_cache_folder(Settings(data_dir=tmp_path / "data")) is None


def test_home_that_does_not_exist_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert find_cache_folder(Settings(data_dir=tmp_path / "data")) is None
