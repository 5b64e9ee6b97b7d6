"""What the sandbox answers to keys, headers, files and jobs that are not as they should be."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from machine_speed import scale_seconds
from sandboxes import MODEL, InProcess, get, process, training_file

from orchestrator.sandbox import NotLoopback, SandboxSettings, serve, server

JOBS = "/fine_tuning/jobs"


def error(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    return answer.status_code, told["code"], told["param"]


async def test_a_wrong_key_is_refused_and_echoed() -> None:
    async with InProcess().client() as client:
        answer = await client.get("/models", headers={"authorization": "Bearer sk-very-secret"})
        assert error(answer) == (401, "invalid_api_key", None)
        assert "sk-very-secret" in answer.json()["error"]["message"]
        assert answer.headers["x-request-id"].startswith("req_")
        assert "openai-organization" not in answer.headers
        assert error(await client.get("/models", headers={"authorization": ""})) == (401, None, None)
        assert error(await client.get("/models", headers={"authorization": "Bearer sandbox-UPPER"}))[0] == 401


async def test_organisation_and_project_must_be_the_keys_own() -> None:
    async with InProcess().client("acme-eu_s3cr3t") as client:
        answer = await client.get("/models", headers={"openai-organization": "org-acme-eu"})
        assert answer.status_code == 200
        assert answer.headers["openai-organization"] == "org-acme-eu"
        assert answer.headers["openai-processing-ms"].isdecimal()
        answer = await client.get("/models", headers={"openai-organization": "org-other"})
        assert error(answer) == (401, "mismatched_organization", None)
        answer = await client.get("/models", headers={"openai-project": "proj_other"})
        assert error(answer) == (401, "mismatched_project", None)


async def test_accounts_are_isolated() -> None:
    sandbox = InProcess()
    async with sandbox.client("one_a") as one, sandbox.client("one_b") as same, sandbox.client("two") as two:
        job = await sandbox.start(one)
        sandbox.now += 60
        model = (await get(one, f"{JOBS}/{job['id']}"))["fine_tuned_model"]
        assert (await get(same, JOBS))["data"][0]["id"] == job["id"]
        for path in (f"{JOBS}/{job['id']}", f"/files/{job['training_file']}", f"/models/{model}"):
            assert (await one.get(path)).status_code == 200
            assert (await two.get(path)).status_code == 404
        assert (await get(two, JOBS))["data"] == (await get(two, "/files"))["data"] == []
        refused = await two.post(JOBS, json={"model": MODEL, "training_file": job["training_file"]})
        assert error(refused) == (400, "file_not_found", "training_file")


async def test_an_unknown_url_has_the_error_shape() -> None:
    async with InProcess().client() as client:
        assert error(await client.get("/nothing")) == (404, "unknown_url", None)
        assert error(await client.put("/models"))[0] == 405


@pytest.mark.parametrize(
    ("fields", "name", "content", "expected"),
    [
        ({}, "a.jsonl", b"{}", "purpose"),
        ({"purpose": "fun"}, "a.jsonl", b"{}", "purpose"),
        ({"purpose": "fine-tune"}, "a.txt", b"{}", "file"),
        ({"purpose": "fine-tune"}, "a.jsonl", b"", "file"),
        ({"purpose": "fine-tune", "colour": "red"}, "a.jsonl", b"{}", "colour"),
        ({"purpose": "fine-tune", "expires_after[anchor]": "now"}, "a.jsonl", b"{}", "expires_after.anchor"),
        (
            {"purpose": "fine-tune", "expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            "a.jsonl",
            b"{}",
            "expires_after.seconds",
        ),
    ],
)
async def test_refused_upload_stores_nothing(
    fields: dict[str, str], name: str, content: bytes, expected: str
) -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        answer = await client.post("/files", data=fields, files={"file": (name, content)})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, expected)
        assert (await get(client, "/files"))["data"] == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=x"]
)
async def test_a_broken_form_is_refused(content_type: str) -> None:
    async with InProcess().client() as client:
        answer = await client.post("/files", content=b"nonsense", headers={"content-type": content_type})
        assert error(answer)[0] == 400


async def test_a_file_expires() -> None:
    sandbox = InProcess()
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    async with sandbox.client() as client:
        file = await sandbox.upload(client, fields=expiry)
        assert file["expires_at"] == file["created_at"] + 3600
        sandbox.now += 3600
        assert (await client.get(f"/files/{file['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": "gpt-9"}, "model", "model_not_found"),
        ({"model": "gpt-5-mini-2025-08-07"}, "model", "model_not_found"),
        ({"training_file": "file-none"}, "training_file", "file_not_found"),
        ({"validation_file": "file-none"}, "validation_file", "file_not_found"),
        ({"suffix": "x" * 65}, "suffix", "invalid_value"),
        ({"suffix": ""}, "suffix", "invalid_value"),
        ({"seed": 2**31}, "seed", "invalid_value"),
        ({"seed": "7"}, "seed", "invalid_type"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"method": {"type": "magic"}}, "method.type", "invalid_value"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs", "invalid_value"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs", "invalid_value"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 0}}}},
            "method.supervised.hyperparameters.batch_size",
            "invalid_value",
        ),
        ({"method": {"type": "dpo"}, "model": "gpt-4o-mini-2024-07-18"}, "method", "unsupported_method"),
        ({"trainingType": "Standard"}, "trainingType", "unknown_parameter"),
    ],
)
async def test_refused_job_stores_nothing(change: dict[str, Any], param: str, code: str) -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        body = {"model": MODEL, "training_file": await sandbox.ready_file(client)} | change
        assert error(await client.post(JOBS, json=body)) == (400, code, param)
        assert (await get(client, JOBS))["data"] == []


async def test_a_job_of_an_unprocessed_file_validates_until_the_file_is_processed() -> None:
    sandbox = InProcess(SandboxSettings(file_seconds=30, validating_seconds=1))
    async with sandbox.client() as client:
        first, second = await sandbox.upload(client), await sandbox.upload(client)
        body = {"model": MODEL, "training_file": first["id"], "validation_file": second["id"]}
        job = (await client.post(JOBS, json=body)).json()
        path = f"{JOBS}/{job['id']}"
        assert job["status"] == "validating_files"
        sandbox.now += 30.9
        assert (await get(client, path))["status"] == "validating_files"
        assert (await get(client, f"/files/{first['id']}"))["status"] == "processed"
        sandbox.now += 0.1
        assert (await get(client, path))["status"] == "queued"
        sandbox.now += 11
        assert (await get(client, path))["status"] == "succeeded"


async def test_job_of_an_unprocessable_file_fails_after_processing() -> None:
    sandbox = InProcess(SandboxSettings(file_seconds=30, validating_seconds=1))
    async with sandbox.client() as client:
        broken = await sandbox.upload(client, training_file() + b"{")
        await sandbox.put_faults({"kind": "reject_file", "message": "Too odd."})
        rejected = await sandbox.upload(client)
        made = [await sandbox.start(client, training_file=file["id"]) for file in (broken, rejected)]
        assert [job["status"] for job in made] == ["validating_files"] * 2
        sandbox.now += 31
        failed = [await get(client, f"{JOBS}/{job['id']}") for job in made]
        assert [(job["status"], job["error"]["code"]) for job in failed] == [("failed", "invalid_training_file")] * 2
        assert "Line 13 is not valid JSON" in failed[0]["error"]["message"]
        assert "Too odd." in failed[1]["error"]["message"]


async def test_a_file_must_be_for_fine_tuning() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        other = await sandbox.upload(client, fields={"purpose": "user_data"})
        wrong = await client.post(JOBS, json={"model": MODEL, "training_file": other["id"]})
        assert error(wrong) == (400, "invalid_file_purpose", "training_file")


async def test_unreadable_lines_fail_the_file_and_untrainable_lines_fail_the_job() -> None:
    sandbox = InProcess()
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    wrong = {"messages": [*row["messages"], {"role": "user", "content": "c"}]}
    lines = [json.dumps(row)] * 11
    async with sandbox.client() as client:
        broken = await sandbox.ready_file(client, "\n".join([*lines, "{"]).encode())
        file = await get(client, f"/files/{broken}")
        assert file["status"] == "error"
        assert file["status_details"].startswith("Line 12 ")
        bad = await sandbox.ready_file(client, "\n".join([*lines[:4], json.dumps(wrong), *lines]).encode())
        assert (await get(client, f"/files/{bad}"))["status"] == "processed"
        job = await sandbox.start(client, training_file=bad)
        assert (job["status"], job["error"]) == ("validating_files", None)
        sandbox.now += 1
        job = await get(client, f"{JOBS}/{job['id']}")
        assert (job["status"], job["error"]["code"]) == ("failed", "invalid_training_file")
        assert "Line 5: the last message must be from the assistant" in job["error"]["message"]
        assert job["finished_at"] == job["created_at"] + 1


async def test_automatic_hyperparameters_are_resolved_when_training_starts() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        job = await sandbox.start(client, hyperparameters={"n_epochs": "auto", "batch_size": 4})
        automatic = {"n_epochs": "auto", "batch_size": 4, "learning_rate_multiplier": "auto"}
        assert job["hyperparameters"] == automatic
        sandbox.now += 2
        job = await get(client, f"{JOBS}/{job['id']}")
        assert (job["status"], job["hyperparameters"]["n_epochs"]) == ("running", 3)
        assert job["estimated_finish"] == job["created_at"] + 12


async def test_three_jobs_run_and_the_rest_stay_queued() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        file = await sandbox.ready_file(client)
        made = [await sandbox.start(client, training_file=file) for _ in range(5)]
        sandbox.now += 3
        statuses = [(await get(client, f"{JOBS}/{job['id']}"))["status"] for job in made]
        assert statuses == ["running"] * 3 + ["queued"] * 2
        await client.post(f"{JOBS}/{made[1]['id']}/cancel")
        assert (await get(client, f"{JOBS}/{made[3]['id']}"))["status"] == "running"
        assert (await get(client, f"{JOBS}/{made[4]['id']}"))["status"] == "queued"


async def test_same_training_has_the_same_results_in_any_account() -> None:
    sandbox = InProcess()
    answers = []
    for account in ("one", "two"):
        async with sandbox.client(account) as client:
            job = await sandbox.start(client, seed=1)
            sandbox.now += 60
            model = (await get(client, f"{JOBS}/{job['id']}"))["fine_tuned_model"]
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            answers.append((await client.post("/chat/completions", json=body)).json()["choices"])
            again = await client.post(JOBS, json={"model": model, "training_file": job["training_file"]})
            assert again.json()["model"] == model
    assert answers[0] == answers[1]


async def test_a_cursor_that_is_not_in_the_list_is_refused() -> None:
    async with InProcess().client() as client:
        assert error(await client.get("/files", params={"after": "file-none"})) == (400, "invalid_value", "after")
        assert error(await client.get(JOBS, params={"limit": "many"})) == (400, "invalid_value", "limit")


async def test_a_wrong_checksum_or_size_does_not_complete_an_upload() -> None:
    sandbox, content = InProcess(), training_file()
    upload = {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": len(content), "mime_type": "application/jsonl"}
    async with sandbox.client() as client:
        path = f"/uploads/{(await client.post('/uploads', json=upload)).json()['id']}"
        parts = [
            (await client.post(f"{path}/parts", files={"data": ("blob", piece)})).json()["id"]
            for piece in (content[:9], content[9:])
        ]
        assert error(await client.post(f"{path}/complete", json={"part_ids": parts[:1]}))[2] == "part_ids"
        wrong = await client.post(f"{path}/complete", json={"part_ids": parts, "md5": "0" * 32})
        assert error(wrong) == (400, "checksum_mismatch", "md5")
        done = await client.post(f"{path}/complete", json={"part_ids": parts})
        assert done.json()["status"] == "completed"
        assert error(await client.post(f"{path}/parts", files={"data": ("blob", b"x")}))[0] == 400
        sandbox.now += 3600
        late = (await client.post("/uploads", json=upload)).json()["id"]
        sandbox.now += 3600
        assert "expired" in (await client.post(f"/uploads/{late}/cancel")).json()["error"]["message"]


async def test_the_state_shows_accounts_and_counts_but_no_keys() -> None:
    sandbox, content = InProcess(), training_file()
    async with sandbox.client("acme_s3cr3t") as client:
        job = await sandbox.start(client)
        await client.get("/models", headers={"authorization": "Bearer sk-wrong"})
        state = await sandbox.state()
    acme = state["accounts"]["acme"]
    assert [file["sha256"] for file in acme["files"]] == [hashlib.sha256(content).hexdigest()]
    assert [j["id"] for j in acme["jobs"]] == [job["id"]]
    assert state["requests"] == {"files.create": {"200": 1}, "jobs.create": {"200": 1}, "models.list": {"401": 1}}
    assert state["requests_by_account"]["acme"]["jobs.create"] == {"200": 1}
    assert state["most_in_flight"] == {"*": 1, "acme": 1}
    assert "s3cr3t" not in json.dumps(state)
    assert "sk-wrong" not in json.dumps(state)


@pytest.mark.skipif(not Path("/proc").exists(), reason="peak memory is read from /proc")
async def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024

    async def body() -> Any:
        yield b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
        for _ in range(size // 65536):
            yield b"x" * 65536
        yield b"\r\n--x--\r\n"

    headers = {"authorization": "Bearer sandbox-acme", "content-type": "multipart/form-data; boundary=x"}
    with process(tmp_path / "state.db") as (pid, url):
        async with httpx2.AsyncClient(headers=headers) as client:
            before = _peak_memory(pid)
            file = (await client.post(f"{url}/v1/files", content=body())).json()
            assert file["bytes"] == size
            assert _peak_memory(pid) - before < size // 8
            received = 0
            async with client.stream("GET", f"{url}/v1/files/{file['id']}/content") as answer:
                async for chunk in answer.aiter_bytes():
                    received += len(chunk)
            assert received == size
            assert _peak_memory(pid) - before < size // 8


def _peak_memory(pid: int) -> int:
    """Bytes that the process held at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
async def test_other_addresses_than_loopback_are_refused(host: str) -> None:
    with pytest.raises(NotLoopback):
        await serve(host, 0, SandboxSettings())


async def test_stopping_lets_a_request_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_GRACE_SECONDS", scale_seconds(60))  # on a slow machine 2 s may be too short
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve("127.0.0.1", 0, SandboxSettings(), port.set_result))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await port}", timeout=scale_seconds(60)) as client:
        await client.put("/sandbox/faults", json={"faults": [{"kind": "slow", "seconds": 0.5}]})
        asking = asyncio.create_task(client.get("/v1/models", headers={"authorization": "Bearer sandbox-a"}))
        while (await client.get("/sandbox/faults")).json()["fired"] == [0]:
            pass
        task.cancel()
        assert (await asking).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(httpx2.ConnectError):
            await client.get("/v1/models")


async def test_status_word_for_paused_is_configurable() -> None:
    sandbox = InProcess(SandboxSettings(paused_status="running"))
    async with sandbox.client() as client:
        path = f"{JOBS}/{(await sandbox.start(client))['id']}"
        assert error(await client.post(f"{path}/pause")) == (400, "cannot_pause", "fine_tune_id")
        sandbox.now += 3
        assert (await client.post(f"{path}/pause")).json()["status"] == "running"
        sandbox.now += 60
        assert (await get(client, path))["status"] == "running"
        assert (await client.post(f"{path}/resume")).status_code == 200
        assert error(await client.post(f"{path}/resume"))[1] == "cannot_resume"


async def test_only_a_training_file_needs_ten_examples() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        small = await sandbox.ready_file(client, training_file(9))
        large = await sandbox.ready_file(client)
        few = await sandbox.start(client, training_file=small)
        fine = await sandbox.start(client, training_file=large, validation_file=small)
        sandbox.now += 60
        failed = await get(client, f"{JOBS}/{few['id']}")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "invalid_training_file")
        assert "has 9 example(s)" in failed["error"]["message"]
        assert (await get(client, f"{JOBS}/{fine['id']}"))["status"] == "succeeded"
