from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from deploy_files import ROOT, parse

from orchestrator.cli.exit_code import ExitCode
from orchestrator.settings import PREFIX, load_settings

UNIT = (ROOT / "deploy/systemd/orchestrator.service").read_text(encoding="utf-8")


def values(name: str) -> list[str]:
    """Of this option, also where it is commented out."""
    lines = (line.removeprefix("#") for line in UNIT.splitlines())
    return [line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}=")]


def test_systemd_command_exists() -> None:
    (command,) = values("ExecStart")
    program, *arguments = command.split()
    assert program.endswith("/bin/orchestrator")
    parse(arguments)


def test_systemd_settings_exist(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-the-test")
    environ = dict(value.replace("%d", str(tmp_path)).split("=", 1) for value in values("Environment"))
    assert environ.pop("MALLOC_MMAP_THRESHOLD_") == "131072"
    assert all(name.startswith(PREFIX) for name in environ)
    settings = load_settings(environ)
    assert settings.token is not None
    assert f"{settings.data_dir}" == f"/var/lib/{values('StateDirectory')[0]}"


def test_configuration_error_is_not_restarted() -> None:
    assert values("RestartPreventExitStatus") == [str(ExitCode.USAGE)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "orchestrator.service"
    unit.write_text(UNIT.replace("/opt/orchestrator/bin/orchestrator", shutil.which("true") or "/bin/true"))
    answer = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
