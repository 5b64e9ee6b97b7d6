"""A change of the chats counts once, and only when it is complete."""

from __future__ import annotations

from pathlib import Path

from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.dataset.read.source_files import compute_fingerprint


async def test_a_change_counts_once_it_stays_the_same(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    assert not await watcher.has_changed(), "nothing is watched yet"
    watcher.set_baseline(tmp_path)
    results = [await watcher.has_changed(), await watcher.has_changed()]

    for content in ("[", "[1", "[1]"):  # it is being written
        (tmp_path / "a.json").write_text(content)
        results.append(await watcher.has_changed())

    results += [await watcher.has_changed(), await watcher.has_changed()]
    assert results == [False, False, False, False, False, True, False]


async def test_reverted_change_is_ignored(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline(tmp_path)
    (tmp_path / "a.json").touch()
    assert not await watcher.has_changed()
    (tmp_path / "a.json").unlink()

    assert [await watcher.has_changed(), await watcher.has_changed()] == [False, False]


async def test_a_change_while_the_dataset_is_built_is_noticed(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline(tmp_path)  # the build begins
    (tmp_path / "a.json").touch()

    assert [await watcher.has_changed(), await watcher.has_changed()] == [False, True]


async def test_another_dataset_is_watched_from_its_own_state(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (other / "a.json").touch()
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline(one)
    watcher.set_baseline(other)

    assert [await watcher.has_changed(), await watcher.has_changed()] == [False, False]
