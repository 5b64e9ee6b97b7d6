"""A change of the chats counts once, and only when it is complete."""

from __future__ import annotations

from pathlib import Path

from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.dataset.read.source_files import compute_fingerprint


async def has_changed(watcher: DatasetWatcher) -> bool:
    return await watcher.list_changed() == ["tone"]


async def test_a_change_counts_once_it_stays_the_same(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    assert not await has_changed(watcher), "nothing is watched yet"
    watcher.set_baseline("tone", tmp_path)
    results = [await has_changed(watcher), await has_changed(watcher)]

    for content in ("[", "[1", "[1]"):  # it is being written
        (tmp_path / "a.json").write_text(content)
        results.append(await has_changed(watcher))

    results += [await has_changed(watcher), await has_changed(watcher)]
    assert results == [False, False, False, False, False, True, False]


async def test_reverted_change_is_ignored(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline("tone", tmp_path)
    (tmp_path / "a.json").touch()
    assert not await has_changed(watcher)
    (tmp_path / "a.json").unlink()

    assert [await has_changed(watcher), await has_changed(watcher)] == [False, False]


async def test_a_change_while_the_dataset_is_built_is_noticed(tmp_path: Path) -> None:
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline("tone", tmp_path)  # the build begins
    (tmp_path / "a.json").touch()

    assert [await has_changed(watcher), await has_changed(watcher)] == [False, True]


async def test_another_dataset_is_watched_from_its_own_state(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (other / "a.json").touch()
    watcher = DatasetWatcher(30.0, compute_fingerprint)
    watcher.set_baseline("tone", one)
    watcher.set_baseline("tone", other)

    assert [await has_changed(watcher), await has_changed(watcher)] == [False, False]


async def test_only_the_run_whose_chats_changed_is_reported(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.mkdir()
    shared.mkdir()
    compared: list[object] = []
    watcher = DatasetWatcher(30.0, lambda paths: compared.append(paths) or compute_fingerprint(paths))  # type: ignore[func-returns-value]
    for run, folder in (("tone", own), ("facts", shared), ("style", shared), ("gone", own)):
        watcher.set_baseline(run, folder)
    watcher.retain(["tone", "facts", "style"])
    (shared / "a.json").touch()
    compared.clear()
    assert [await watcher.list_changed() for _ in range(3)] == [[], ["facts", "style"], []]
    assert compared == [own, shared] * 3, "chats that runs share are compared once"
    (own / "a.json").touch()
    assert [await watcher.list_changed() for _ in range(2)] == [[], ["tone"]]
