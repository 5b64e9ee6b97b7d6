"""Wrong arguments of the sandbox end it with one message and exit code 2, never with a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.commands import app
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.sandbox import run_sandbox
from orchestrator.sandbox.server import open_listener

DEFAULTS: dict[str, Any] = {"state": None, "faults": None, "webhooks": None, "seconds": 1.0, "seed": 0}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "99999"), ("--port", "-1"), ("--seconds", "-1"), ("--seconds", "nan"), ("--seconds", "inf")],
)
def test_numbers_out_of_range_are_usage_errors(option: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cli.handlers.sandbox.run_sandbox", lambda *_, **__: ExitCode.DONE)
    result = CliRunner().invoke(app, ["sandbox", option, value])
    assert result.exit_code == ExitCode.USAGE
    assert f"Invalid value for '{option}'" in result.output


def test_a_state_file_must_be_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "accounts.toml"
    text.write_text("[run]\n" * 100, "utf-8")
    for path, reason in ((text, "file is not a database"), (tmp_path, "unable to open database file")):
        assert run_sandbox("127.0.0.1", 0, **DEFAULTS | {"state": path}) == ExitCode.USAGE
        error, hint = capsys.readouterr().err.splitlines()
        assert error == f"error: {path} is not usable as the state file: {reason}"
        assert hint.startswith("hint: --state is a SQLite file")
    assert text.read_text("utf-8") == "[run]\n" * 100


def test_a_port_in_use_has_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert run_sandbox("127.0.0.1", port, **DEFAULTS) == ExitCode.USAGE
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: 127.0.0.1 port {port} is already in use"
    assert "--port" in hint


def test_a_missing_faults_file_has_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "faults.toml"
    assert run_sandbox("127.0.0.1", 0, **DEFAULTS | {"faults": missing}) == ExitCode.USAGE
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: {missing}: No such file or directory"
    assert hint.startswith("hint: Check that the path exists")
