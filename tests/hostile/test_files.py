"""Accounts files, chats and archives that are broken, huge or malicious: one message each, and bounded work."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzzing import FUZZING, IS_CAMPAIGN
from hostile_inputs import ACCOUNTS_FILES, RULES, VALID_FILE, chat_folders, use_accounts_file, use_chats
from hypothesis import given, settings

from orchestrator.app.backup import restore_backup
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Severity
from orchestrator.dataset.checker import DatasetChecker, check_dataset
from orchestrator.dataset.polish.polisher import PolishOptions, polish_dataset
from orchestrator.dataset.read.source_files import compute_fingerprint
from orchestrator.dataset.rules import DatasetRules
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.settings import Settings, load_settings

FEW = settings(FUZZING, max_examples=FUZZING.max_examples if IS_CAMPAIGN else 25)  # one takes a tenth of a second
CHAT = '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'


@FUZZING
@given(ACCOUNTS_FILES)
def test_any_accounts_file_is_used_or_refused_with_a_message(text: str) -> None:
    use_accounts_file(text)


def test_generated_accounts_files_start_from_a_valid_one() -> None:
    assert use_accounts_file(VALID_FILE)


@FEW
@given(chat_folders(), RULES)
def test_any_chats_are_used_or_refused_with_a_finding(files: dict[str, bytes], rules: DatasetRules) -> None:
    use_chats(files, rules)


@pytest.mark.parametrize("body", ['{"role": []}', '{"role": "system", "content": [{"text": 5}]}'])
def test_polish_copes_with_values_of_a_wrong_type(body: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f"[{body}]")

    (polished,) = polish_dataset(tmp_path, PolishOptions(text_roles=frozenset({"user"}), drop_empty_system=True))

    assert polished.before


def test_huge_accounts_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    with pytest.raises(ConfigError, match=r"it has more than 16 MiB"):
        load_accounts_file(path)


def test_problems_of_an_accounts_file_are_counted_beyond_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(
        "".join(f"k{number} = 1\n" for number in range(3_000)) + f'{"k" * 100_000} = 1\n[run]\nname = "x"\n'
    )

    with pytest.raises(ConfigError, match=r"300[0-9] problems") as caught:
        load_accounts_file(path)

    assert len(caught.value.problems) == 1_001
    assert "more problems" in caught.value.problems[-1]
    assert max(map(len, caught.value.problems)) < 1_100


def make_tar(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def make_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    return member


def make_sparse_tar(size: int) -> bytes:
    """Return an archive of a few bytes whose member is a file with a hole of this size."""
    header = bytearray(make_member("orchestrator.db", tarfile.GNUTYPE_SPARSE, size=512).tobuf(tarfile.GNU_FORMAT))
    for start, length, value in ((386, 12, 0), (398, 12, 512), (483, 12, size)):
        header[start : start + length] = b"%0*o\0" % (length - 1, value)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(10_240)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a link out of the archive": lambda: make_tar(make_member("orchestrator.db", tarfile.SYMTYPE, "/etc/passwd")),
    "a link to itself": lambda: make_tar(make_member("orchestrator.db", tarfile.SYMTYPE, "orchestrator.db")),
    "a hard link": lambda: make_tar(make_member("orchestrator.db", tarfile.LNKTYPE, "/etc/passwd")),
    "a named pipe": lambda: make_tar(make_member("orchestrator.db", tarfile.FIFOTYPE)),
    "a device": lambda: make_tar(make_member("orchestrator.db", tarfile.CHRTYPE)),
    "an absolute path": lambda: make_tar(make_member("/tmp/orchestrator.db")),
    "a path upwards": lambda: make_tar(make_member("datasets/../../orchestrator.db")),
    "a member twice": lambda: make_tar(make_member("orchestrator.db"), make_member("orchestrator.db")),
    "a hole of four gigabytes": lambda: make_sparse_tar(2**32),
    "a compressed bomb": lambda: gzip.compress(
        make_tar(make_member("orchestrator.db", size=10**7), content=bytes(10**7))
    ),
    "a name of 100 KB": lambda: make_tar(make_member("datasets/" + "x" * 100_000)),
    "an empty file": lambda: b"",
    "garbage": lambda: b"garbage" * 1_000,
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archive_is_refused_before_it_fills_the_disk(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backup.tar").write_bytes(ARCHIVES[name]())
    written: list[int] = []
    copy = "orchestrator.app.backup.shutil.copyfileobj"
    monkeypatch.setattr(copy, lambda source, target: written.append(len(source.read(1_000_000))))

    with pytest.raises(ConfigError, match=r"backup\.tar is") as caught:
        restore_backup(settings_in(tmp_path / "data"), tmp_path / "backup.tar")

    assert sum(written) == 0
    assert len(caught.value.message) < 600
    assert len(caught.value.message.splitlines()) == 1
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.suffix != ".lock"] == []


def test_archive_that_is_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "backup.tar")

    with pytest.raises(ConfigError, match="it is a named pipe, not a regular file"):
        restore_backup(settings_in(tmp_path / "data"), tmp_path / "backup.tar")


def settings_in(folder: Path) -> Settings:
    return load_settings({"ORCHESTRATOR_DATA_DIR": str(folder)})


def test_files_that_vanish_or_change_while_they_are_read_are_findings(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.json").write_text(CHAT)
    checker = DatasetChecker(tmp_path, DatasetRules(minimum_examples=0))
    accepted = checker.iter_accepted()

    next(accepted)
    (tmp_path / "b.json").unlink()
    (tmp_path / "c.json").unlink()
    os.mkfifo(tmp_path / "c.json")
    (tmp_path / "d.json").write_text(CHAT[:20])
    (tmp_path / "e.json").unlink()
    (tmp_path / "e.json").mkdir()
    assert list(accepted) == []

    errors = {each.file for each in checker.build_result().findings if each.severity is Severity.ERROR}
    assert errors == {"b.json", "c.json", "d.json", "e.json"}


def test_links_in_a_loop_are_findings(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    (tmp_path / "c").symlink_to(tmp_path)
    (tmp_path / "d.json").write_text(CHAT)

    result = check_dataset(tmp_path, DatasetRules(minimum_examples=0))

    assert {each.file for each in result.errors} == {"a.json", "b.json"}
    assert result.summary.examples == 1
    assert compute_fingerprint(tmp_path)


@contextmanager
def as_another_user() -> Iterator[None]:
    """Give up root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_without_permission_is_a_finding(tmp_path: Path) -> None:
    check_dataset(tmp_path, DatasetRules())  # imports everything while the code can be read
    folder = tmp_path / "chats"
    folder.mkdir()
    (folder / "a.json").write_text(CHAT)
    (folder / "a.json").chmod(0)
    for parent in [folder, *folder.parents][:-2]:
        parent.chmod(0o755)

    with as_another_user():
        result = check_dataset(folder, DatasetRules(minimum_examples=0))

    (error,) = result.errors
    assert "Permission denied" in error.message


def test_tiny_files_take_little_memory_each(tmp_path: Path) -> None:
    """A million of them must fit: the check runs in a process with a limit, the fingerprint in the service."""

    def measure(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir(exist_ok=True)
        for number in range(count):
            (folder / f"{number}.json").write_text(CHAT.replace('"q"', f'"q{number}"'))
        tracemalloc.start()
        try:
            compute_fingerprint(folder)
            check_dataset(folder, DatasetRules(minimum_examples=0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    measure(2)  # imports and caches
    # A table of the interpreter that grows at a random moment, such as that of its strings, takes 4 MB once.
    few, many = measure(50), min(measure(350), measure(350))
    assert (many - few) / 300 < 4_000
