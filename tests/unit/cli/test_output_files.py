"""An output file is the old one or the new one as a whole, whatever happens, and as private as the user wants it."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from orchestrator.cli.output import write_text
from orchestrator.cli.session import print_errors
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor
from orchestrator.system.atomic_file import replace_file


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can become larger than `size`: the write fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_leaves_the_old_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "models.env"
    target.write_text("MODEL_ACME=ft:old\n")
    with pytest.raises(typer.Exit) as ended, print_errors(Redactor()), full_disk(10):
        write_text("MODEL_ACME=ft:new\n", target)
    assert target.read_text() == "MODEL_ACME=ft:old\n"
    assert list(tmp_path.iterdir()) == [target]
    assert ended.value.exit_code == 1, "it may work later"
    assert f"error: {target}: " in (err := capsys.readouterr().err)
    assert "hint: Free disk space" in err


def test_new_file_has_the_permissions_that_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text("x", tmp_path / "models.env")
        replace_file(tmp_path / "report.html", b"x")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "models.env": 0o600,
        "report.html": 0o600,
    }


def test_existing_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "models.env", tmp_path / "link"
    target.touch()
    target.chmod(0o640)
    link.symlink_to(target)
    write_text("\udce9", link)
    assert (link.is_symlink(), target.read_text(), target.stat().st_mode & 0o777) == (True, "\\udce9", 0o640)


def test_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text("MODEL_ACME=ft:new\n", pipe)
    reader.join(60)
    assert read == ["MODEL_ACME=ft:new\n"]
    assert pipe.is_fifo()


def test_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        replace_file(pipe, b"x")
    assert pipe.is_fifo(), "as root the same would have replaced /dev/null"


def test_folder_that_is_missing_or_the_target_is_an_error_of_the_argument(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "missing" / "models.env"):
        with pytest.raises(ConfigError, match="cannot be written"):
            write_text("x", target)
