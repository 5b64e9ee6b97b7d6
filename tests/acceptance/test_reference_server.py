"""The reference server of examples/: it fulfils the contract, trains a model that answers, and survives a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ports import reserve_port
from processes import HTTP, Site, eventually

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "reference_server" / "server.py"
KEY = "key-of-the-reference-server"
HEADERS = {"authorization": f"Bearer {KEY}"}


class ReferenceServer:
    """The server as a process on one port, which can be killed and started again."""

    def __init__(self, folder: Path, pause: float) -> None:
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._folder, self._pause = folder, pause
        self._log = folder / "server.log"
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(PROGRAM), "--port", str(self.port), "--pause", str(self._pause)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--folder", str(self._folder / "state")],
                env=os.environ | {"SERVER_KEY": KEY},
                stdout=log,
                stderr=log,
            )
        eventually(self._is_ready, "the reference server answers")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return HTTP.get(f"{self.url}/models", headers=HEADERS).status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def get(self, path: str) -> Any:
        return HTTP.get(f"{self.url}{path}", headers=HEADERS).raise_for_status().json()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReferenceServer]:
    server = ReferenceServer(tmp_path, pause=2.0)
    yield server
    server.kill()


@pytest.fixture
def own_site(tmp_path: Path, server: ReferenceServer) -> Iterator[Site]:
    site = Site(tmp_path, server.url)
    (site.folder / "keys" / "lab").write_text(KEY)
    (site.folder / "accounts.toml").write_text(
        "\n".join(
            [
                "[run]",
                'name = "own"',
                'moderation_waived = "a test"',
                "allow_unknown_price = true",
                "[run.openai-compatible]",
                'base_model = "tiny-trigrams"',
                "n_epochs = 2",
                "[[accounts]]",
                'name = "lab"',
                'provider = "openai-compatible"',
                f'base_url = "{server.url}"',
                'api_key = "file:keys/lab"',
            ]
        )
    )
    yield site
    site.close()


def test_reference_server_fulfils_the_contract(own_site: Site, server: ReferenceServer) -> None:
    tested = own_site.run("conformance", "lab", "--json")
    assert tested.code == 0, tested.out + tested.err
    assert {check["name"]: check["result"] for check in tested.json["checks"]} == dict.fromkeys(
        (check["name"] for check in tested.json["checks"]), "works"
    )
    assert (tested.json["exactly_once"], tested.json["found_by"]) == (True, "its metadata")
    assert [job["status"] for job in server.get("/fine_tuning/jobs")["data"]] == ["cancelled"]
    assert server.get("/files")["data"] == []
    trained = own_site.run("conformance", "lab", "--train")
    assert trained.code == 0, trained.out + trained.err


def test_run_ends_with_a_model_that_answers_although_the_server_was_killed(
    own_site: Site, server: ReferenceServer
) -> None:
    running = own_site.start("run")
    eventually(lambda: [j for j in list_jobs(server) if j["status"] == "running"], "the job is running")
    server.kill()
    server.start()
    result = running.result()
    assert result.code == 0, result.err
    [job] = list_jobs(server)
    model = own_site.run("models", "--json").json["lab"]
    assert (job["status"], job["fine_tuned_model"]) == ("succeeded", model)

    chat = json.loads(next(iter(sorted(own_site.chats.glob("*.json")))).read_text())
    asked = {"model": model, "messages": chat[:-1]}
    answer = HTTP.post(f"{server.url}/chat/completions", headers=HEADERS, json=asked).raise_for_status().json()
    words = answer["choices"][0]["message"]["content"].split()
    known = set(re.findall(r"\S+", " ".join(read_texts(own_site.chats))))
    assert len(words) > 1
    assert set(words) <= known
    losses = [event["data"]["train_loss"] for event in server.get(f"/fine_tuning/jobs/{job['id']}/events")["data"]]
    assert losses[0] < losses[-1]  # newest first


def list_jobs(server: ReferenceServer) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = server.get("/fine_tuning/jobs")["data"]
    return jobs


def read_texts(chats: Path) -> list[str]:
    def find(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from find(list(value.values()))
        elif isinstance(value, list):
            for each in value:
                yield from find(each)
        elif isinstance(value, str):
            yield value

    return [text for path in chats.glob("*.json") for text in find(json.loads(path.read_text()))]


def test_separators_within_a_text_do_not_end_a_line(server: ReferenceServer) -> None:
    chat = {"messages": [{"role": "user", "content": "a\u2028b"}, {"role": "assistant", "content": "c\x85d"}]}
    line = json.dumps(chat, ensure_ascii=False).encode() + b"\n"
    uploaded = HTTP.post(
        f"{server.url}/files", headers=HEADERS, data={"purpose": "fine-tune"}, files={"file": ("a.jsonl", line)}
    )
    assert uploaded.raise_for_status().json()["status"] == "processed"
