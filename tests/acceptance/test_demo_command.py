"""demo: five models without a key or a setting, a dashboard as long as it runs, and nothing left afterwards."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from processes import HTTP, Result, RunningProgram, clean_environ, eventually, run_program

MODEL = re.compile(r"^(\S+) +openai +succeeded .* (ft:sandbox-small:\S+)", re.MULTILINE)
ACCOUNTS = {"acme-eu", "acme-us", "blue-harbour", "green-valley", "sunrise-school"}


def environ_of(folder: Path) -> dict[str, str]:
    """Temporary files go into the folder, so that one sees what is left of them."""
    temporary = folder / "temporary"
    temporary.mkdir()
    return clean_environ() | {"TMPDIR": str(temporary)}


def read_states(dashboard: str) -> dict[str, str]:
    return {job["account"]: job["state"] for job in HTTP.get(f"{dashboard}status").json()["jobs"]}


def assert_five_models(ended: Result, folder: Path) -> None:
    assert ended.code == 0, ended.out + ended.err
    models = dict(MODEL.findall(ended.out))
    assert set(models) == ACCOUNTS, ended.out
    assert len(set(models.values())) == len(ACCOUNTS)
    assert "\n5 succeeded\n" in ended.out
    assert "Traceback" not in ended.err
    assert not list((folder / "temporary").iterdir())


def test_demo_prints_five_models(tmp_path: Path) -> None:
    assert_five_models(run_program(["demo"], tmp_path, environ_of(tmp_path)), tmp_path)


def test_kept_dashboard_ends_at_ctrl_c(tmp_path: Path) -> None:
    demo = RunningProgram(["demo", "--keep"], tmp_path, environ_of(tmp_path))
    try:
        dashboard = demo.wait_for_output(r"dashboard +(http://\S+)")
        demo.wait_for_output(r"(The dashboard keeps running at \S+ until you press Ctrl-C)")
        eventually(
            lambda: read_states(dashboard) == dict.fromkeys(ACCOUNTS, "succeeded"), "five models in the status"
        )
        page = HTTP.get(dashboard)
        demo.send(signal.SIGINT)
        ended = demo.result()
    finally:
        demo.kill()
    assert "sunrise-school" in page.text
    assert_five_models(ended, tmp_path)
