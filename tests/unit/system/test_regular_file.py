"""Only regular files are opened, and nothing waits for the others."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.system.regular_file import FileTooLarge, NotRegularFile, read_regular_file


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "a named pipe"),
        (make_socket, "a socket"),
        (link_to("/dev/zero"), "a device"),
        (Path.mkdir, "a folder"),
    ],
)
def test_special_file_is_refused_without_waiting(
    make: Callable[[Path], None], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    path = Path("it")
    make(path)

    with pytest.raises(NotRegularFile) as raised:
        read_regular_file(path)

    assert raised.value.strerror == f"it is {what}, not a regular file"


def test_pipe_that_replaces_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    seen_before = file.stat()
    monkeypatch.setattr(Path, "stat", lambda _path: seen_before)  # as it was a moment before

    with pytest.raises(NotRegularFile, match="named pipe"):
        read_regular_file(pipe)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    assert read_regular_file(tmp_path / "link") == b"content"


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert read_regular_file(path, 5) == b"12345"
    with pytest.raises(FileTooLarge) as raised:
        read_regular_file(path, 4)
    assert raised.value.strerror == "it has more than 4 bytes"
