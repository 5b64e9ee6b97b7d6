"""The Python client, built from the OpenAPI document, reads and controls a service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from machine_speed import scale_seconds
from processes import HTTP, Site, clean_environ

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "clients" / "drive_api.py"
EXAMPLE = ROOT / "docs" / "examples" / "train_and_wait.py"
PAGE = ROOT / "docs" / "how-to" / "use-the-api-from-python.md"
CLIENTS = ROOT / ".venv-clients"
TOKEN = "a-token-of-more-than-32-characters"
MISSING = not (CLIENTS / ".installed").exists() and os.environ.get("CI") != "true"
pytestmark = pytest.mark.skipif(MISSING, reason=".venv-clients is not installed; `make acceptance` does it")


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, installed as a user does, but from packages that are there already."""
    folder = tmp_path_factory.mktemp("client")
    install: list[str | Path] = [
        Path(sys.executable).with_name("uv"),
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-cache",
    ]
    where: list[str | Path] = ["--python", CLIENTS / "bin" / "python", "--target", folder]
    call([*install, *where, "--no-build-isolation", "--no-deps", ROOT / "clients" / "python"], {})
    return folder


def test_client_reads_and_controls_a_service(site: Site, client_folder: Path) -> None:
    site.write_accounts("acme", "blue-sea", run="max_total_usd = 0.000001")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_TOKEN=TOKEN)
    url = service.wait_for_output(r'"(http://[^"]+)/status"')
    service.wait_for_output(r'"(run\.held)"')
    served = HTTP.get(f"{url}/api/v1/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert served == json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))

    seen = drive(url, "control", client_folder)
    assert seen["ready"] is True
    assert (seen["holds"], seen["approved"], seen["holds_after"]) == (["run_too_dear"], "approve", [])
    assert seen["accounts"] == ["acme", "blue-sea"]
    statuses = {name: error["status"] for name, error in seen["errors"].items()}
    assert statuses == {"wrong token": 401, "no such job": 404, "another price": 409}
    assert all(error["detail"] and error["hint"] for error in seen["errors"].values())

    models = json.loads(run_python(client_folder, [EXAMPLE], ORCHESTRATOR_URL=url, ORCHESTRATOR_TOKEN=TOKEN))
    assert models == site.run("models", "--json").json
    assert all(models.values())

    page = PAGE.read_text(encoding="utf-8").replace("http://127.0.0.1:8080", url).replace("orch_…", TOKEN)
    reading, acting, _ = re.findall(r"^```python\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    shown = run_python(client_folder, ["-c", reading + acting], code=1)  # 1: nothing is left to approve
    assert all(model in shown for model in models.values())
    assert "Traceback" not in shown

    seen = drive(url, "read", client_folder)
    assert seen["pages"] == [["acme"], ["blue-sea"]]
    assert seen["states"] == ["succeeded"] * 2
    assert seen["models"] == list(models.values())
    assert len(seen["events"]) == 3
    assert seen["stream"] == seen["events"]
    assert seen["examples"]["numbers"] == [1, 2]
    assert seen["examples"]["found"][0] == 1
    assert seen["examples"]["unchanged"] == seen["examples"]["total"] > 2
    assert seen["examples"]["stranger"] == 401
    assert len(seen["exports"]) == 6
    for form, text in seen["exports"].items():
        assert text.replace("\r\n", "\n") == site.run("models", "--format", form).out, form
    assert service.stop().code == 0


def test_example_reports_a_hold_and_a_wrong_token(site: Site, client_folder: Path) -> None:
    site.write_accounts("acme", run="max_total_usd = 0.000001")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_TOKEN=TOKEN)
    url = service.wait_for_output(r'"(http://[^"]+)/status"')
    service.wait_for_output(r'"(run\.held)"')
    held = run_python(client_folder, [EXAMPLE], code=1, ORCHESTRATOR_URL=url, ORCHESTRATOR_TOKEN=TOKEN)
    assert "on hold" in held
    assert "max_total_usd" in held
    refused = run_python(client_folder, [EXAMPLE], code=1, ORCHESTRATOR_URL=url, ORCHESTRATOR_TOKEN="wrong")
    assert "token" in refused
    assert service.stop().code == 0


def drive(url: str, part: str, client_folder: Path) -> Any:
    """Return what the driver saw through the client."""
    return json.loads(run_python(client_folder, [DRIVER, url, TOKEN, part]))


def run_python(client_folder: Path, arguments: Sequence[str | Path], *, code: int = 0, **environ: str) -> str:
    """Run a script with the client on its path."""
    command = [CLIENTS / "bin" / "python", *arguments]
    return call(command, {"PYTHONPATH": str(client_folder), **environ}, code=code)


def call(command: Sequence[str | Path], environ: Mapping[str, str], *, code: int = 0) -> str:
    """Return what a program prints; it ends with this exit code. Of a failure, that includes the error."""
    ended = subprocess.run(
        command,
        env=clean_environ() | dict(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=scale_seconds(240),
    )
    assert ended.returncode == code, (ended.stdout + ended.stderr)[-3000:]
    return ended.stdout if code == 0 else ended.stdout + ended.stderr
