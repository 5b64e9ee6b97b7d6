"""A provider that needs a package of an extra names the extra in one message; all others work without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine_speed import scale_seconds

WITHOUT = """
import sys
for name in ("google.auth", "botocore.auth"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
from orchestrator.cli import main
sys.argv = ["orchestrator", {command!r}]
main()
"""
CHAT = '{"messages": [{"role": "user", "content": "Late?"}, {"role": "assistant", "content": "Yes."}]}\n'
ENTRIES = {
    "vertex": 'project = "p-1"\nregion = "us-central1"\nbucket = "chats"\napi_key = "file:account.json"\n',
    "bedrock": 'region = "us-east-1"\nbucket = "chats"\nrole_arn = "arn:aws:iam::123456789012:role/T"\n'
    'api_key = "file:account.json"\n',
}


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(command=command)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path)), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=scale_seconds(120),
    )


@pytest.mark.parametrize("provider", ENTRIES)
@pytest.mark.parametrize("command", ["accounts", "doctor"])
def test_missing_extra_is_one_clear_message(tmp_path: Path, provider: str, command: str) -> None:
    (tmp_path / "chats.jsonl").write_text(CHAT * 12)
    (tmp_path / "account.json").write_text(json.dumps({"type": "service_account", "private_key": "key-canary-0042"}))
    (tmp_path / "accounts.toml").write_text(
        f'[run]\nname = "t"\ndataset = "chats.jsonl"\n[run.{provider}]\nbase_model = "m"\n'
        f'[[accounts]]\nname = "acme"\nprovider = "{provider}"\nbase_url = "http://127.0.0.1:1"\n' + ENTRIES[provider]
    )
    ended = run(tmp_path, command)
    output = ended.stdout + ended.stderr
    assert ended.returncode == (2 if command == "accounts" else 1), output
    assert f"pip install 'orchestrator[{provider}]'" in " ".join(output.split())
    assert "Traceback" not in output
    assert "canary" not in output
