"""The cache of check results: the same result with and without it, whatever happens to the file."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.account import ProviderName
from orchestrator.core.structs import replace
from orchestrator.dataset import checker, parallel_checker
from orchestrator.dataset.cache import check_cache, fingerprint
from orchestrator.dataset.cache.check_cache import CacheFolder
from orchestrator.dataset.cache.result_file import TEMPORARY_SUFFIX, ResultFile
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.checks import corpus
from orchestrator.dataset.example_checker import CheckedChat, ExampleChecker
from orchestrator.dataset.formats import FORMATS
from orchestrator.dataset.formats.foreign import FOREIGN_FORMATS
from orchestrator.dataset.formats.sillytavern import SILLYTAVERN
from orchestrator.dataset.read import reader, source_files
from orchestrator.dataset.read.reader import ChatRecord
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

ROOT = Path(__file__).parents[4]
RULES = DatasetRules(minimum_examples=0)
SECRET = "sk-abcdefghijklmnopqrstuvwxyz123456"
LIMIT = 1 << 20


class Calls:
    """Counts the chats that are really checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        check = ExampleChecker.check

        def counting(one: ExampleChecker, record: ChatRecord, *, early: bool) -> CheckedChat:
            self.count += 1
            return check(one, record, early=early)

        monkeypatch.setattr(ExampleChecker, "check", counting)

    def take(self) -> int:
        """Return the number since the last call."""
        taken, self.count = self.count, 0
        return taken


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small datasets have a cache, several pieces a file, and both early and late examples."""
    monkeypatch.setattr(checker, "MIN_DATASET_BYTES", 0)
    monkeypatch.setattr(corpus, "MAX_EARLY_EXAMPLES", 20)
    monkeypatch.setattr(parallel_checker, "PART_BYTES", 3_000)
    for module in (reader, source_files):
        monkeypatch.setattr(module, "SMALL_FILE_BYTES", 3_000)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def make_chat(number: int, words: int = 40) -> dict[str, object]:
    """A chat in the words of its number; some have the same system message, a name, a duplicate, or a finding."""
    chance = random.Random(number % 90)
    text = ". ".join(" ".join(chance.choices(("sun", "moon", "star", "comet"), k=3)) for _ in range(words))
    extra = ("", " Mail jane@acme.com", f" My key is {SECRET}", " {{char}}")[number % 16] if number % 16 < 4 else ""
    return {
        "messages": [
            {"role": "system", "content": f"You are assistant {number % 3}."},
            {"role": "user", "content": f"My name is {'Anna' if number % 4 else 'Otto'}. {text}{extra}"},
            {"role": "robot" if number % 29 == 28 else "assistant", "content": f"Hello, {text}."},
        ]
    }


def write_folder(folder: Path) -> Path:
    """Write a file of each format, files with chats, one with an array, and a large file with one chat a line."""
    folder.mkdir()
    examples = [*(one.example for one in (*FORMATS, SILLYTAVERN)), *(one.example for one in FOREIGN_FORMATS)]
    for index, example in enumerate(examples):
        (folder / f"b-{index:02}.json").write_text(example)
    for number in range(30):
        (folder / f"c-{number:02}.json").write_text(json.dumps(make_chat(number), indent=number % 2))
    (folder / "d.json").write_text(json.dumps([make_chat(number) for number in range(40, 50)]))
    write_lines(folder / "e.jsonl", [json.dumps(make_chat(number)) for number in range(100, 150)])
    (folder / "f-table.jsonl").write_bytes(b"PAR1")
    (folder / "g-utf16.jsonl").write_bytes(
        "\n".join(json.dumps(make_chat(7)) for _ in range(9)).encode("utf-16")[:-1]
    )
    return folder


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def check(path: Path, cache: Path | None, rules: DatasetRules = RULES, limit: int = LIMIT) -> CheckResult:
    """Check without or with a cache; the excerpts are for a report, which uses no cache."""
    folder = CacheFolder(cache, limit) if cache else None
    return replace(check_dataset(path, rules, cache_folder=folder), excerpts={})


def find_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_sample_chats_have_the_same_result(tmp_path: Path, calls: Calls) -> None:
    rules = replace(
        RULES, method=None, base_models=("sandbox-small", "unknown-model"), providers=tuple(ProviderName)[:4]
    )
    expected = check(ROOT / "chats", None, rules)
    calls.take()
    assert check(ROOT / "chats", tmp_path / "cache", rules) == expected
    assert calls.take() == expected.summary.chats
    assert check(ROOT / "chats", tmp_path / "cache", rules) == expected
    assert calls.take() == 0


def change(folder: Path) -> None:
    (folder / "c-07.json").write_text(json.dumps(make_chat(67)))


def add(folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps(make_chat(68)))


def remove(folder: Path) -> None:
    (folder / "c-03.json").unlink()


def rename(folder: Path) -> None:
    (folder / "c-08.json").rename(folder / "c-99.json")


def insert_line(folder: Path) -> None:
    lines = (folder / "e.jsonl").read_text().splitlines()
    write_lines(folder / "e.jsonl", ["", json.dumps(make_chat(66)), *lines])


def delete_line(folder: Path) -> None:
    lines = (folder / "e.jsonl").read_text().splitlines()
    write_lines(folder / "e.jsonl", lines[:10] + lines[11:])


def remove_many(folder: Path) -> None:
    """Late examples become early ones."""
    for path in [*folder.glob("b-*"), *folder.glob("c-0*")]:
        path.unlink()


@pytest.mark.parametrize("edit", [change, add, remove, remove_many, rename, insert_line, delete_line])
def test_result_after_an_edit_is_that_of_a_full_check(tmp_path: Path, calls: Calls, edit: object) -> None:
    folder = write_folder(tmp_path / "chats")
    first = check(folder, tmp_path / "cache")
    assert len(first.counts) > 10
    assert first == check(folder, None)
    edit(folder)  # type: ignore[operator]
    expected = check(folder, None)
    assert expected != first
    calls.take()
    assert check(folder, tmp_path / "cache") == expected
    assert calls.take() < 60  # of some 150; a late example that became an early one is checked again
    assert check(folder, tmp_path / "cache") == expected


def test_only_the_changed_chat_is_checked(tmp_path: Path, calls: Calls) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.json").write_text(json.dumps(make_chat(number % 2)))  # without a finding of its own
    check(folder, tmp_path / "cache")
    (folder / "30.json").write_text(json.dumps(make_chat(4)))
    calls.take()
    check(folder, tmp_path / "cache")
    assert calls.take() <= 1 + 4  # and the texts that findings about the dataset quote


LINES = st.lists(st.integers(0, 120), max_size=40)
EDITS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 2), st.lists(st.integers(0, 120), max_size=3)), max_size=3
)


@settings(
    derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=LINES, edits=EDITS)
def test_any_edits_of_lines_give_the_result_of_a_full_check(
    tmp_path_factory: pytest.TempPathFactory, lines: list[int], edits: list[tuple[int, int, list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "chats.jsonl"
    for place, deleted, added in [(0, 0, []), *edits]:
        lines = lines[:place] + added + lines[place + deleted :]
        write_lines(path, [json.dumps(make_chat(number)) if number % 13 else "" for number in lines])
        assert check(path, folder / "cache") == check(path, None)


def test_two_processes_have_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, edited = tmp_path / "chats.jsonl", tmp_path / "edited" / "chats.jsonl"
    lines = [json.dumps(make_chat(number)) for number in range(60)]
    edited.parent.mkdir()
    write_lines(path, lines)
    write_lines(edited, ["", *lines])
    expected, expected_after_edit = check(path, None), check(edited, None)
    assert expected != expected_after_edit
    monkeypatch.setattr(checker, "count_workers", lambda _: 2)
    monkeypatch.setattr(checker, "MIN_BYTES_PER_WORKER", 0)
    assert check(path, tmp_path / "cache") == expected
    edited.replace(path)
    assert check(path, tmp_path / "cache") == expected_after_edit


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "garbage"])
def test_damaged_file_is_ignored_and_written_again(tmp_path: Path, calls: Calls, damage: str) -> None:
    folder = write_folder(tmp_path / "chats")
    expected = check(folder, tmp_path / "cache")
    path = find_file(tmp_path / "cache")
    content = path.read_bytes()
    every_fiftieth = bytes(byte ^ 255 if index % 50 == 0 else byte for index, byte in enumerate(content))
    path.write_bytes(
        {"truncate": content[:-7], "flip": every_fiftieth, "empty": b"", "garbage": b"orchchk1" * 99}[damage]
    )
    calls.take()
    assert check(folder, tmp_path / "cache") == expected
    assert calls.take() >= expected.summary.chats
    assert check(folder, tmp_path / "cache") == expected
    assert calls.take() < expected.summary.chats // 2


def test_damaged_value_is_checked_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "chats")
    expected = check(folder, tmp_path / "cache")
    path = find_file(tmp_path / "cache")
    content = path.read_bytes()
    for start in range(40, len(content) // 2, len(content) // 20):
        path.write_bytes(
            content[:start] + bytes(byte ^ 1 for byte in content[start : start + 9]) + content[start + 9 :]
        )
        assert check(folder, tmp_path / "cache") == expected


def test_file_is_private_and_has_no_text_of_the_chats(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "chats")
    assert check(folder, tmp_path / "cache").counts["secret"]
    path = find_file(tmp_path / "cache")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    content = path.read_bytes()
    for text in (SECRET, SECRET[-12:], "comet", "Anna", "jane", "You are assistant"):
        assert text.encode() not in content


def test_secret_is_not_stored_where_another_finding_quotes_a_part_of_it(tmp_path: Path, calls: Calls) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    answer = f"The sun is a star. And this long sentence without an end says that your key is {SECRET}"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer[:-3] + "abc"}]
    (folder / "a.json").write_text(json.dumps({"messages": messages}))
    first = check(folder, tmp_path / "cache")
    assert set(first.counts) == {"secret", "cut-off"}
    assert not (tmp_path / "cache").exists()
    calls.take()
    assert check(folder, tmp_path / "cache") == first
    assert calls.take() == 1


def test_check_works_where_nothing_can_be_stored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "chats")
    (tmp_path / "file").write_text("no folder")
    assert check(folder, tmp_path / "file") == check(folder, tmp_path / "file" / "below") == check(folder, None)


def test_file_that_others_may_write_is_ignored(tmp_path: Path, calls: Calls) -> None:
    folder = write_folder(tmp_path / "chats")
    check(folder, tmp_path / "cache")
    find_file(tmp_path / "cache").chmod(0o666)
    calls.take()
    chats = check(folder, tmp_path / "cache").summary.chats
    assert calls.take() >= chats


def test_other_rules_and_another_program_have_other_results(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "chats")
    chats = check(folder, tmp_path / "cache").summary.chats
    other = replace(RULES, base_models=("sandbox-small",))
    assert check(folder, tmp_path / "cache", other) == check(folder, None, other)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr(fingerprint, "LIBRARIES", ("pytest",))
    calls.take()
    check(folder, tmp_path / "cache")
    assert calls.take() >= chats
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_content_of_the_tokenizer_is_a_part_of_the_fingerprint(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    rules = replace(RULES, tokenizers={"open": tokenizer})
    seen = {fingerprint.compute_fingerprint(RULES), fingerprint.compute_fingerprint(rules)}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).write_text("{}")
        seen.add(fingerprint.compute_fingerprint(rules))
    seen.add(fingerprint.compute_fingerprint(replace(rules, method="dpo")))
    assert len(seen) == 6
    assert fingerprint.compute_fingerprint(replace(rules, method="dpo", seed=3, validation_fraction=0.5)) in seen


def test_unused_files_are_deleted_and_a_result_that_is_too_large_is_not_stored(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folders = [write_folder(tmp_path / name) for name in ("one", "two", "three")]
    check(folders[0], cache)
    size = find_file(cache).stat().st_size
    (cache / f"killed{TEMPORARY_SUFFIX}").write_bytes(b"")
    os.utime(cache / f"killed{TEMPORARY_SUFFIX}", (0, 0))
    os.utime(find_file_of(cache), (1, 1))
    oldest = find_file_of(cache)
    check(folders[1], cache)
    check(folders[2], cache, limit=size * 5 // 2)
    assert len(list(cache.iterdir())) == 2
    assert not oldest.exists()
    shutil.rmtree(cache)
    assert check(folders[0], cache, limit=size // 2) == check(folders[0], None)
    assert not list(cache.iterdir())


def find_file_of(cache: Path) -> Path:
    return min(cache.glob("*.check"))


def test_writers_at_the_same_time_leave_one_complete_file(tmp_path: Path) -> None:
    path, mark, key = tmp_path / "cache" / "x.check", b"f" * 32, b"k" * 16
    with ResultFile(path, mark, LIMIT) as one, ResultFile(path, mark, LIMIT) as other:
        one.add(key, b"one")
        other.add(key, b"other")
        one.save()
        other.save()
    with ResultFile(path, mark, LIMIT) as file:
        assert file.find(key) == b"other"
    assert list(path.parent.iterdir()) == [path]


def test_unchanged_dataset_writes_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "chats")
    for number in range(16):
        (folder / f"c-{number:02}.json").unlink()  # chats with several findings and a secret are never stored
    check(folder, tmp_path / "cache")
    before = find_file(tmp_path / "cache").stat().st_ino
    check(folder, tmp_path / "cache")
    assert find_file(tmp_path / "cache").stat().st_ino == before


def test_file_that_changes_during_the_check_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "chats")
    expected = check(folder, tmp_path / "cache")
    assert expected.counts["different-system"]

    def gone(*_: object) -> Iterator[ChatRecord]:
        return iter(())

    monkeypatch.setattr(checker, "read_chats_at", gone)
    assert check(folder, tmp_path / "cache") == expected


def test_small_datasets_have_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "MIN_DATASET_BYTES", check_cache.MIN_DATASET_BYTES)
    check(write_folder(tmp_path / "chats"), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
