"""What an operator gets wrong ends in one message and the right exit code, never in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from processes import PROGRAM, Site


def outcome(site: Site, *arguments: str, shell: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A command's bytes as they are. `shell` says where its stdout leads."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", *PROGRAM, *arguments]
    ended = subprocess.run(
        command, cwd=site.folder, env=site.environ | environ, capture_output=True, timeout=120, check=False
    )
    assert b"Traceback" not in ended.stderr, ended.stderr.decode()
    return ended


def test_a_data_folder_that_cannot_be(site: Site) -> None:
    site.accounts("a")
    (site.folder / "file").touch()

    ran = outcome(site, "run", ORCHESTRATOR_DATA_DIR="file")
    made = outcome(site, "format", ORCHESTRATOR_DATA_DIR="file")

    assert (ran.returncode, made.returncode) == (2, 2)
    assert b"the data folder file cannot be created (File exists)" in ran.stderr
    assert b"error: file/datasets: Not a directory" in made.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_knows_few_characters(encoding: str, site: Site) -> None:
    site.accounts("a")
    site.chat("smile", "Say it with a picture.", "\N{GRINNING FACE}\N{GRINNING FACE}")
    (site.chats / "\N{SNOWMAN}.json").write_text("[")

    for command in ("status", "config"):
        assert outcome(site, command, PYTHONIOENCODING=encoding).returncode == 0
    text = outcome(site, "check", PYTHONIOENCODING=encoding)
    as_json = outcome(site, "check", "--format", "json", PYTHONIOENCODING=encoding)

    assert (text.returncode, as_json.returncode) == (1, 1)
    assert b"\\u2603.json:1" in text.stdout
    found = json.loads(as_json.stdout.decode("ascii" if encoding == "ascii" else "cp1252"))["findings"]
    assert "chats/\N{SNOWMAN}.json" in [one["file"] for one in found]


def test_a_file_name_that_is_not_utf_8(site: Site) -> None:
    site.accounts("a")
    Path(os.fsdecode(os.fsencode(site.chats) + b"/\xff.json")).write_text("[")

    as_json = outcome(site, "check", "--format", "json", LC_ALL="C", PYTHONUTF8="0")
    report = outcome(site, "check", "--report", "report.html")

    assert (as_json.returncode, report.returncode) == (1, 1)
    files = json.loads(as_json.stdout.decode("utf-8"))["summary"]["files"]
    assert "chats/\udcff.json" in [one["file"] for one in files]
    assert "\\udcff.json" in (site.folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize("shell", [">&-", ">/dev/full"])
def test_an_output_that_cannot_be_written(shell: str, site: Site) -> None:
    for command in (["status"], ["config"], ["--version"]):
        ended = outcome(site, *command, shell=shell)
        assert ended.returncode == 1
        assert b"error: the output cannot be written to stdout: " in ended.stderr


def test_a_database_that_is_none(site: Site) -> None:
    site.accounts("a")
    site.data.mkdir()
    (site.data / "orchestrator.db").write_bytes(b"\xff" * 20_000)

    corrupt = outcome(site, "serve")
    option = outcome(site, "status", ORCHESTRATOR_DATABASE_URL="postgresql://u@127.0.0.1:1/db?foo=bar")
    examined = outcome(site, "doctor", "--offline", ORCHESTRATOR_DATABASE_URL="postgresql://u@127.0.0.1:1/db?foo=bar")

    assert (corrupt.returncode, option.returncode, examined.returncode) == (2, 2, 1)
    assert b"cannot be opened: file is not a database" in corrupt.stderr
    assert b"cannot be opened: connect() got an unexpected keyword argument 'foo'" in option.stderr
