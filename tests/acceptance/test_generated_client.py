"""A Python client that is generated from the service's OpenAPI document reads what the service answers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import HTTP, Site, clean_environ

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
MISSING = not (CLIENTS / ".installed").exists() and os.environ.get("CI") != "true"


@pytest.mark.skipif(MISSING, reason=".venv-clients is not installed; `make acceptance` does it")
def test_a_generated_client_reads_every_form_of_the_models(site: Site) -> None:
    site.write_accounts("acme", "blue-sea")
    assert site.run("run").code == 0
    service = site.start("serve", "--port", "0")
    url = service.wait_for_output(r'"(http://[^"]+)/status"')
    document = site.folder / "openapi.json"
    document.write_text(HTTP.get(f"{url}/api/v1/openapi.json").text)
    generate = ["generate", "--path", str(document), "--output-path", "generated", "--meta", "none"]
    call(site, "openapi-python-client", *generate)
    told = json.loads(call(site, "python", str(ROOT / "tests" / "clients" / "drive_api.py"), url))
    assert told["models"] == list(site.run("models", "--json").json.values())
    assert told["jobs"] == ["succeeded"] * 2
    assert told["events"] > 0
    for form, text in told["exports"].items():
        assert text.replace("\r\n", "\n") == site.run("models", "--format", form).out, form
    assert len(told["exports"]) == 6
    assert service.stop().code == 0


def call(site: Site, program: str, *arguments: str) -> str:
    """What a program of the clients' environment prints."""
    folder = CLIENTS / "bin"
    environ = clean_environ()
    environ["PATH"] = f"{folder}{os.pathsep}{environ.get('PATH', '')}"
    ended = subprocess.run(
        [folder / program, *arguments],
        cwd=site.folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=scale_seconds(240),
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
    return ended.stdout
