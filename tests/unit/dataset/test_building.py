"""The dataset on disk: the same bytes everywhere, a split by the seed, no files after an error."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.core.errors import DatasetError
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.read.source_files import compute_fingerprint
from orchestrator.dataset.rules import DatasetRules

SAMPLES = Path(__file__).parents[3] / "chats"


def chats(folder: Path, count: int, text: str = "Hällo 👋 {}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        messages = [
            {"content": text.format(number), "role": "user"},
            {"name": "juniper", "content": "Welcome!", "role": "assistant"},
        ]
        folder.joinpath(f"{number:03}.json").write_text(json.dumps(messages, indent=1), encoding="utf-8")
    return folder


def contents(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_sample_chats_are_a_valid_dataset(tmp_path: Path) -> None:
    rules = DatasetRules(base_models=("gpt-4.1-mini-2025-04-14",), validation_fraction=0.1, seed=42)
    built = build_dataset(SAMPLES, tmp_path, rules)
    assert built.check_result.findings == ()
    assert built.dataset.training.examples == 13
    assert built.dataset.validation is not None
    assert built.dataset.validation.examples == 1
    assert built.dataset.training.tokens == built.tokens["gpt-4.1-mini-2025-04-14"]
    assert 3_000 < (built.dataset.training.tokens or 0) < 6_000


def test_line_is_canonical(tmp_path: Path) -> None:
    built = build_dataset(chats(tmp_path / "chats", 10), tmp_path / "out")
    assert contents(built.dataset.training.path)[3] == (
        '{"messages":[{"role":"user","content":"Hällo 👋 3"},'
        '{"role":"assistant","content":"Welcome!","name":"juniper"}]}'
    )


def test_bytes_are_the_same_on_every_machine(tmp_path: Path) -> None:
    """Pinned: if this fails, everyone's datasets change their identity."""
    built = build_dataset(
        chats(tmp_path / "chats", 20), tmp_path / "out", DatasetRules(validation_fraction=0.2, seed=7)
    )
    assert built.dataset.sha256 == "3452a8c02dbcf93b06c439bef1a813825ac7284fc581aaacfc3212131ceef0bb"


def test_part_is_named_by_its_hash(tmp_path: Path) -> None:
    training = build_dataset(chats(tmp_path / "chats", 10), tmp_path / "out").dataset.training
    content = training.path.read_bytes()
    assert training.sha256 == sha256(content).hexdigest()
    assert training.path == tmp_path / "out" / f"{training.sha256[:16]}.jsonl"
    assert (training.bytes, training.examples, training.tokens) == (len(content), 10, None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [training.path.name]


def test_split_keeps_order_and_loses_nothing(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 40)
    whole = contents(build_dataset(folder, tmp_path / "whole").dataset.training.path)
    dataset = build_dataset(folder, tmp_path / "split", DatasetRules(validation_fraction=0.25, seed=1)).dataset
    assert dataset.validation is not None
    training, validation = contents(dataset.training.path), contents(dataset.validation.path)
    assert len(validation) == 10
    assert training == [line for line in whole if line not in validation]
    assert validation == [line for line in whole if line not in training]


def test_split_depends_on_the_seed(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 40)
    first, second = (
        build_dataset(folder, tmp_path / "out", DatasetRules(validation_fraction=0.25, seed=seed)).dataset
        for seed in (1, 2)
    )
    assert first.sha256 != second.sha256


def test_equal_examples_stay_in_the_same_part(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 40)
    for path in list(folder.iterdir()):
        path.with_stem(path.stem + "-copy").write_bytes(path.read_bytes())
    dataset = build_dataset(folder, tmp_path / "out", DatasetRules(validation_fraction=0.2, seed=3)).dataset
    assert dataset.validation is not None
    assert dataset.validation.examples == 16
    assert not set(contents(dataset.training.path)) & set(contents(dataset.validation.path))


def test_refused_build_has_every_finding_and_no_file(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 9)
    (folder / "bad.json").write_text('[{"role": "robot", "content": ""}]')
    with pytest.raises(DatasetError) as caught:
        build_dataset(folder, tmp_path / "out")
    codes = [found.code for found in caught.value.findings]
    assert codes == ["unknown-role", "empty-content", "too-few-examples"]
    assert "bad.json:1" in caught.value.message
    assert "2 more" in caught.value.message
    assert list((tmp_path / "out").iterdir()) == []


def test_too_few_examples_after_the_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least 10"):
        build_dataset(chats(tmp_path / "chats", 10), tmp_path / "out", DatasetRules(validation_fraction=0.1))


def test_too_few_examples_after_equal_examples_moved_are_refused(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 11, text="the same")
    chats(folder / "more", 1)
    with pytest.raises(DatasetError, match="at least 10"):
        build_dataset(folder, tmp_path / "out", DatasetRules(validation_fraction=0.5, minimum_examples=10))


def test_fingerprint_changes_without_reading_the_content(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 3)
    before = compute_fingerprint(folder)
    assert compute_fingerprint(folder) == before
    (folder / "notes.txt").write_text("not a chat")
    assert compute_fingerprint(folder) == before
    (folder / "000.json").write_text("[]")
    assert compute_fingerprint(folder) != before
    assert compute_fingerprint(tmp_path / "nowhere") == compute_fingerprint(tmp_path / "elsewhere")


def test_summary_adds_up(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 4)
    (folder / "more.jsonl").write_text('{"messages": []}\n\n{"messages": [{"role": "assistant", "content": "x"}]}\n{')
    (folder / "notes.txt").write_text("not a chat")
    summary = check_dataset(folder).summary
    assert (summary.chats, summary.examples, summary.refused) == (7, 5, 2)
    assert summary.ignored == ("notes.txt",)
    assert [(file.file, file.chats, file.refused) for file in summary.files][-1] == ("more.jsonl", 3, 2)


def test_progress_ends_with_the_total(tmp_path: Path) -> None:
    folder = chats(tmp_path / "chats", 3, text="x" * 800_000 + "{}")
    told: list[tuple[int, int]] = []
    check_dataset(folder, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in folder.iterdir())


def test_package_import_loads_no_tokenizer() -> None:
    heavy = "any(name in sys.modules for name in ('tiktoken', 'openai', 'rich'))"
    code = f"import sys, orchestrator.dataset; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
