"""What an operator gets wrong ends in one message and the right exit code, never in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from machine_speed import scale_seconds
from processes import PROGRAM, Site, start_program


def run_command(site: Site, *arguments: str, shell: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A command's bytes as they are. `shell` says where its stdout leads."""
    ended = run_in_shell(site, arguments, shell, environ) if shell else run_without_shell(site, arguments, environ)
    assert b"Traceback" not in ended.stderr, ended.stderr.decode()
    return ended


def run_in_shell(
    site: Site, arguments: Sequence[str], shell: str, environ: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", *PROGRAM, *arguments]
    seconds = scale_seconds(120)
    return subprocess.run(
        command, cwd=site.folder, env=site.environ | environ, capture_output=True, timeout=seconds, check=False
    )


def run_without_shell(
    site: Site, arguments: Sequence[str], environ: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    with TemporaryFile() as out, TemporaryFile() as err:
        outputs = (out.fileno(), err.fileno())
        process = start_program(arguments, site.folder, site.environ | environ, outputs, fresh=False)
        code = process.wait(scale_seconds(120))
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def test_data_folder_that_cannot_be_created_is_explained(site: Site) -> None:
    site.write_accounts("a")
    (site.folder / "file").touch()

    ran = run_command(site, "run", ORCHESTRATOR_DATA_DIR="file")
    made = run_command(site, "format", ORCHESTRATOR_DATA_DIR="file")

    assert (ran.returncode, made.returncode) == (2, 2)
    assert b"the data folder file cannot be created (File exists)" in ran.stderr
    assert b"error: file/datasets: Not a directory" in made.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_is_escaped_for_a_limited_terminal_encoding(encoding: str, site: Site) -> None:
    site.write_accounts("a")
    site.write_chat("smile", "Say it with a picture.", "\N{GRINNING FACE}\N{GRINNING FACE}")
    (site.chats / "\N{SNOWMAN}.json").write_text("[")

    for command in ("status", "config"):
        assert run_command(site, command, PYTHONIOENCODING=encoding).returncode == 0
    text = run_command(site, "check", PYTHONIOENCODING=encoding)
    as_json = run_command(site, "check", "--format", "json", PYTHONIOENCODING=encoding)

    assert (text.returncode, as_json.returncode) == (1, 1)
    assert b"\\u2603.json:1" in text.stdout
    found = json.loads(as_json.stdout.decode("ascii" if encoding == "ascii" else "cp1252"))["findings"]
    assert "chats/\N{SNOWMAN}.json" in [one["file"] for one in found]


def test_file_name_that_is_not_utf8_is_reported(site: Site) -> None:
    site.write_accounts("a")
    Path(os.fsdecode(os.fsencode(site.chats) + b"/\xff.json")).write_text("[")

    as_json = run_command(site, "check", "--format", "json", LC_ALL="C", PYTHONUTF8="0")
    report = run_command(site, "check", "--report", "report.html")

    assert (as_json.returncode, report.returncode) == (1, 1)
    files = json.loads(as_json.stdout.decode("utf-8"))["summary"]["files"]
    assert "chats/\udcff.json" in [one["file"] for one in files]
    assert "\\udcff.json" in (site.folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize("shell", [">&-", ">/dev/full"])
def test_unwritable_stdout_is_an_error(shell: str, site: Site) -> None:
    for command in (["status"], ["config"], ["--version"]):
        ended = run_command(site, *command, shell=shell)
        assert ended.returncode == 1
        assert b"error: the output cannot be written to stdout: " in ended.stderr


def test_invalid_database_file_or_url_is_explained(site: Site) -> None:
    site.write_accounts("a")
    site.data.mkdir()
    (site.data / "orchestrator.db").write_bytes(b"\xff" * 20_000)

    corrupt = run_command(site, "serve")
    option = run_command(site, "status", ORCHESTRATOR_DATABASE_URL="postgresql://u@127.0.0.1:1/db?foo=bar")
    examined = run_command(
        site, "doctor", "--offline", ORCHESTRATOR_DATABASE_URL="postgresql://u@127.0.0.1:1/db?foo=bar"
    )

    assert (corrupt.returncode, option.returncode, examined.returncode) == (2, 2, 1)
    assert b"cannot be opened: file is not a database" in corrupt.stderr
    assert b"cannot be opened: connect() got an unexpected keyword argument 'foo'" in option.stderr
