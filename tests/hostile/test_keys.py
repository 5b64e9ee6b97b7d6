"""Keys: whoever repeats one, in whatever form, finds no way into a text, and no child process gets one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog
from dialects import BENCHES
from key_encodings import ENCODINGS
from provider_bench import ProviderBench

from orchestrator.core.errors import ProviderError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.dataset.browse.example_library import ExampleLibrary
from orchestrator.dataset.build_process import BuildProcess
from orchestrator.dataset.rules import DatasetRules
from orchestrator.log import configure
from orchestrator.providers.redaction import redact_provider

KEY = "sk-proj-Xq7_vZ93pLm2-TbR8sWfK4yNd6Jc"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture(params=BENCHES, ids=lambda bench: str(bench.name))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderBench:
    made: ProviderBench = request.param(tmp_path)
    made.redact.add(Secret(KEY))
    return made


def build_echoes(text: str) -> list[tuple[object, int, dict[str, str]]]:
    """The answers in which a provider can repeat a text: body, status and headers."""
    job = dict.fromkeys(("id", "name", "job_id", "jobName", "model", "baseModel", "output_name", "suffix"), text)
    return [
        ({"error": {"message": f"Incorrect API key provided: {text}", "code": text, "type": text}}, 401, {}),
        ({"error": text, "message": text, "detail": text}, 400, {"x-request-id": text}),
        (f"<html>{text}</html>".encode(), 502, {}),
        (b"", 302, {"location": f"https://elsewhere.example/{text}?key={text}"}),
        (job | {"status": text, "state": text, "fine_tuned_model": text, "created_at": 1}, 200, {}),
    ]


async def test_a_key_that_a_provider_repeats_is_in_no_result_and_no_error(bench: ProviderBench) -> None:
    provider, shown = redact_provider(bench.provider(), bench.redact), {}
    for name, encode in ENCODINGS.items():
        text = encode(KEY)
        for body, status, headers in build_echoes(text):
            with bench.answering(body, status, headers):
                try:
                    answer: object = await provider.get_job("ft-1")
                except ProviderError as error:
                    answer = (error.message, error.hint, error.__dict__)
            if any(each.lower() in repr(answer).lower() for each in (text, repr(text)[1:-1])):
                shown[name, status] = repr(answer)
    assert shown == {}


def test_a_key_in_any_form_is_in_no_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """As text, in a nested value, as a name, in bytes, in an exception, and in a traceback with local values."""
    redact = Redactor()
    redact.add(Secret(KEY))
    for log_format in ("json", "console"):
        configure(log_format, "debug", redact, sys.stderr)
        for encode in ENCODINGS.values():
            text = encode(KEY)
            try:
                fail_with({"headers": [text, text.encode()]})
            except ValueError as error:
                value = {text: [text, text.encode(), Path(text)]}
                structlog.get_logger().exception(f"broken {text}", value=value, error=error)
    shown = capsys.readouterr().err.lower()
    assert "traceback" in shown
    assert [name for name, encode in ENCODINGS.items() if encode(KEY).lower() in shown] == []
    assert [name for name, encode in ENCODINGS.items() if json.dumps(encode(KEY))[1:-1].lower() in shown] == []


def fail_with(value: object) -> None:
    raise ValueError(value)


@LINUX
def test_child_processes_of_the_dataset_get_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "ACME_API_KEY": KEY,
        "ORCHESTRATOR_TOKEN": f"token-{KEY}",
        "ORCHESTRATOR_DATABASE_URL": f"postgresql://u:{KEY}@h/d",
        "HTTPS_PROXY": f"http://u:{KEY}@proxy:1",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "chats").mkdir()
    with BuildProcess(tmp_path / "chats", tmp_path / "out", DatasetRules()) as build:
        assert build._process is not None
        of_build = read_environment(build._process)
    library = ExampleLibrary(tmp_path, lambda: 0.0)
    library._start_builder(tmp_path / "none.jsonl", "gpt-4.1")
    assert library._builder is not None
    of_index = read_environment(library._builder)
    library._builder.kill()
    library._builder.wait()
    for environment in (of_build, of_index):
        assert environment["PATH"] == os.environ["PATH"], "it was read"
        assert KEY not in repr(environment)
        assert not secrets.keys() & environment.keys()


def read_environment(process: subprocess.Popen[bytes]) -> Mapping[str, str]:
    """Return the environment of a process that has just been started; the kernel shows it a moment later."""
    while process.poll() is None:
        if text := Path(f"/proc/{process.pid}/environ").read_text():
            return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)
    raise AssertionError("the process ended too early")
