"""Texts of providers, chats and accounts files reach people and programs as text: nothing in them is executed."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import requests
import structlog
import yaml
from export_values import account as an_account
from export_values import job as an_exported_job
from hostile_inputs import StrictPage
from processes import clean_environ
from terminal import Terminal
from web_values import WebServiceDouble, job, status

from orchestrator import log
from orchestrator.core.errors import Failure
from orchestrator.core.notifications.delivery import Channel, Delivery, NotificationTarget
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.secret import Redactor, Secret
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.output.formatters import to_sarif
from orchestrator.dataset.output.html_report import to_html
from orchestrator.dataset.output.report_examples import ReportExamples
from orchestrator.dataset.rules import DatasetRules
from orchestrator.exports import ExportFormat, ModelSet, export, select_models
from orchestrator.metrics.definitions import ALL_METRICS, MetricDefinition
from orchestrator.notify.sender_factory import build_sender
from orchestrator.providers.http.response_decoder import RemoteId

MARK = "executed"  # the file that an attack would create
MODEL = f"=ft:\"';$(touch {MARK})`touch {MARK}`\n<script>alert(1)</script>{{{{7*7}}}}${{X}}%s \\ é #x: - @!"
PAYLOAD_LINE = "q-zzz succeeded ft:forged"
OWN_WORDS = {
    "verdict",
    "provider",
    "operation",
    "outcome",
    "state",
    "kind",
    "version",
    "python",
}  # labels with values that the program chooses
MESSAGE = f"<img src=https://evil.example/x> <!channel> @everyone [a](https://evil.example)\n{PAYLOAD_LINE}\x1b[2J"


def models(*texts: str) -> ModelSet:
    jobs = [an_exported_job(f"a{number}", model=text, labels=(text,)) for number, text in enumerate(texts)]
    return select_models(MODEL, jobs, {each.account: an_account(each.account) for each in jobs})


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish"])
def test_shell_that_sources_the_models_executes_nothing(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "models.env").write_text(export(ExportFormat.ENV, models(MODEL, f"x\\'; touch {MARK}; '")).text)

    ran = subprocess.run(
        [shell, "-c", '. ./models.env; printf "%s" "$MODEL_A0"'], cwd=tmp_path, capture_output=True, check=False
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == ["models.env"]
    if shell != "fish":  # it has another syntax for variables, and refuses the file
        assert ran.stdout.decode() == MODEL


def test_config_files_of_other_programs_keep_the_text_as_it_is() -> None:
    listed = models(MODEL)

    read_toml = tomllib.loads(export(ExportFormat.TOML, listed).text)
    read_yaml = yaml.safe_load(export(ExportFormat.LITELLM, listed).text)
    profiles = json.loads(export(ExportFormat.SILLYTAVERN, listed).text)

    assert read_toml["models"]["a0"]["fine_tuned_model"] == MODEL
    assert len(read_toml["models"]) == len(read_yaml["model_list"]) == 1
    assert read_yaml["model_list"][0]["litellm_params"]["model"] == f"openai/{MODEL}"
    assert profiles["extension_settings"]["connectionManager"]["profiles"][0]["model"] == MODEL


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_spreadsheet_gets_no_formula(start: str) -> None:
    text = export(ExportFormat.CSV, models(f"{start}cmd|' /C calc'!A0")).text

    (row,) = csv.DictReader(io.StringIO(text))

    assert row["fine_tuned_model"].startswith("'")
    assert row["labels"].startswith("'")


@pytest.mark.parametrize("text", ["ft:x\n", "ft:\x9b31m", "ft:\u202ex", "ft:\x1b[2J", "ft:\u2028x"])
def test_id_that_a_terminal_would_execute_is_no_id(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=RemoteId)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_log_has_one_line_for_an_event(log_format: Any) -> None:
    stream = io.StringIO()
    log.configure(log_format, "info", Redactor(), stream)

    structlog.get_logger("orchestrator").warning("job.updated", account="acme", message=MESSAGE, labels=[MESSAGE])

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.fixture
def sent_requests(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what apprise sends to messengers; nothing leaves the machine."""
    sent: list[dict[str, Any]] = []

    def request(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        sent.append(json.loads(options["data"]))
        response = requests.Response()
        response.status_code, response._content = 200, b"ok"
        return response

    monkeypatch.setattr(requests.Session, "request", request)
    return sent


def no_client(address: str) -> httpx2.AsyncClient:
    raise AssertionError(f"an alert needs no client of its own for {address}")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
async def test_alert_is_text_for_every_messenger(sent_requests: list[dict[str, Any]]) -> None:
    failure = Failure("job_failed", MESSAGE, "Read the message.")
    payload = Notification(topic=Topic.JOB_FAILED, at=0.0, account="acme", error=failure).to_payload()
    delivery = Delivery(id=1, message="m", target="env:T", topic=Topic.JOB_FAILED, payload=payload, created_at=0.0)
    addresses = {
        "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#g",
        "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    }

    for address in addresses.values():
        target = NotificationTarget(channel=Channel.ALERT, url="env:T")
        send = build_sender(target, {"env:T": Secret(address)}, no_client, Redactor())
        assert await send(delivery, 0.0) is None

    telegram, slack, discord = sent_requests
    assert "&lt;img src" in telegram["text"]
    assert "&lt;!channel&gt;" in slack["attachments"][0]["text"]
    for text in (telegram["text"], slack["attachments"][0]["text"], discord["content"]):
        assert not re.search(r"@everyone|\]\(|\x1b", text), text
        assert not [line for line in text.splitlines() if line.startswith(PAYLOAD_LINE)]


def test_finding_is_no_link_in_a_sarif_viewer(tmp_path: Path) -> None:
    role = "[fix](https://evil.example)"
    (tmp_path / "a.json").write_text(json.dumps([{"role": role, "content": "x"}, {"role": "user", "content": "y"}]))

    document = to_sarif(check_dataset(tmp_path, DatasetRules(minimum_examples=0)))

    texts = [result["message"]["text"] for result in document["runs"][0]["results"]]
    assert [text for text in texts if r"[fix\](https://evil.example)" in text]
    assert not [text for text in texts if role in text]


def test_report_lets_the_browser_execute_and_load_nothing(tmp_path: Path) -> None:
    hostile = "<script src=https://evil.example/x.js></script><img src=https://evil.example/y onerror=alert(1)>"
    for name in (f"{hostile.replace('/', '_')}.json", "a.json"):
        (tmp_path / name).write_text(json.dumps([{"role": hostile, "content": hostile}]))
    (tmp_path / "good.json").write_text(
        json.dumps([{"role": "user", "content": hostile}, {"role": "assistant", "content": hostile}])
    )
    examples = ReportExamples()
    result = check_dataset(tmp_path, DatasetRules(minimum_examples=0), observer=examples)

    html = to_html(result, title=hostile, examples=examples)

    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert html.index("Content-Security-Policy") < html.index("<title>")
    StrictPage(convert_charrefs=True).feed(html)


async def test_page_shows_marks_that_reverse_the_text() -> None:
    reversing = "paid \u202e00.1$ \u2066<b>\x9b31m"
    error = Failure("job_failed", reversing, "`hint`")
    failed = job("acme", "failed", error=error, labels=[reversing], fine_tuned_model=reversing)
    service = WebServiceDouble()
    service.status = status(failed, name=reversing)

    async with service.client() as client:
        html = (await client.get("/")).text + (await client.get("/accounts/acme")).text

    assert "\\u202e00.1$" in html
    assert not set(html) & set("\u202e\u2066\x9b")


@pytest.mark.parametrize("metric", ALL_METRICS, ids=lambda metric: metric.name)
def test_no_label_of_a_metric_holds_a_text_of_others(metric: MetricDefinition) -> None:
    assert set(metric.labels) <= OWN_WORDS


NAMES = (
    f"x\\$(touch {MARK})",
    f"x`touch {MARK}`",
    f"x;touch {MARK}",
    f"x\\';touch {MARK};'",
    f'x\\");touch {MARK};("',
)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_tab_in_a_shell_executes_no_name_of_an_accounts_file(tmp_path: Path) -> None:
    accounts = [f"[[accounts]]\nname = {json.dumps(name)}\n" for name in (*NAMES, "x-plain")]
    (tmp_path / "accounts.toml").write_text("".join(accounts))
    environ = clean_environ() | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "PS1": "$ ",
        "COLUMNS": "400",
    }  # fmt: skip
    shell = Terminal(tmp_path, ["zsh", "-f", "-i"], environ)
    try:
        prepare = 'autoload -U compinit; compinit -u -D; eval "$(orchestrator completion zsh)"'
        shell.answer("", f"{prepare}; echo shell''-is-ready\n")
        shell.answer("shell-is-ready", "orchestrator logs x\t")
        shell.answer("orchestrator logs x-plain", "\x15")
    finally:
        shell.close()

    assert MARK not in [path.name for path in tmp_path.iterdir()]


def test_completion_suggests_plain_words_only(tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(
        "".join(f"[[accounts]]\nname = {json.dumps(name)}\n" for name in (*NAMES, "x plain", "x*", "x-plain"))
    )
    for shell in ("bash", "zsh", "fish"):
        line = "orchestrator logs x"
        environ = clean_environ() | {
            "_ORCHESTRATOR_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, "COMP_WORDS": line,
            "COMP_CWORD": "2", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }  # fmt: skip
        ran = subprocess.run(
            [Path(sys.executable).parent / "orchestrator"],
            cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "x-plain" in ran.stdout, (shell, ran)
        assert "touch" not in ran.stdout
        assert "x plain" not in ran.stdout
