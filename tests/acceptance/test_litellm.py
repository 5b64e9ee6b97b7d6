"""The exported router configuration, in LiteLLM."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import SandboxProcess, Site, clean_environ

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-litellm" / "bin" / "python"
OPTIONS = 'organization = "org-acme"\nlabels = ["eu"]'
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM is not installed; `make acceptance` does it")
def test_litellm_balances_one_group_over_both_accounts(site: Site, sandbox: SandboxProcess) -> None:
    """One key is in the environment under its own name, one in a file and gets a name."""
    site.environ["ACME_KEY"] = "sandbox-acme"
    site.write_accounts("acme", "blue.sea", keys={"acme": "env:ACME_KEY"}, options={"acme": OPTIONS})
    site.write_key("blue.sea", "sandbox-blue-sea")
    assert site.run("run").code == 0
    exported = site.run("models", "--format", "litellm", "--output", "router.yaml")
    assert exported.code == 0, exported.err

    environ = {"ACME_KEY": "sandbox-acme", "API_KEY_BLUE_SEA": "sandbox-blue-sea"}
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    asked = subprocess.run(
        [LITELLM, ROOT / "tests" / "clients" / "ask_litellm.py", "router.yaml"],
        cwd=site.folder,
        env=clean_environ() | environ | offline,
        capture_output=True,
        text=True,
        check=False,
        timeout=scale_seconds(240),
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    told = json.loads(asked.stdout)
    answers = told["answers"]
    assert told["streamed"] in {answer["text"] for answer in answers.values()} - {""}
    ids = {name: answer["model"] for name, answer in answers.items()}
    assert ids == site.run("models", "--json").json
    requests = sandbox.state()["requests_by_account"]
    assert all(requests[name]["chat.create"].keys() == {"200"} for name in ("acme", "blue-sea"))

    european = site.run("models", "--format", "env", "--label", "eu")
    assert european.out.splitlines()[1:] == [f"MODEL_ACME={ids['acme']}"]
