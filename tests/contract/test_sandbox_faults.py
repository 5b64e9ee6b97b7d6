"""Every fault does what its line in the table says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sandboxes import MODEL, InProcess, get, serving, training_file

from orchestrator.sandbox import Fault, FaultError, SandboxSettings, load_simulation
from orchestrator.sandbox.faults import MALFORMED_LISTS

JOBS = "/fine_tuning/jobs"


async def test_refusals_carry_the_providers_status_code_and_header() -> None:
    expected: dict[str, tuple[int, str | None, str | None]] = {
        "rate_limit": (429, "rate_limit_exceeded", "1.5"),
        "server_error": (500, None, None),
        "forbidden": (403, None, None),
        "quota": (429, "insufficient_quota", None),
        "daily_limit": (429, "daily_rate_limit_exceeded", "1.5"),
    }
    sandbox = InProcess()
    async with sandbox.client() as client:
        file = await sandbox.ready_file(client)
        for kind, (status, code, retry_after) in expected.items():
            await sandbox.put_faults({"kind": kind, "times": 1, "seconds": 1.5, "operations": ["jobs.create"]})
            answer = await client.post(JOBS, json={"model": MODEL, "training_file": file})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert answer.headers.get("retry-after") == retry_after
            assert answer.headers["openai-organization"] == "org-acme"
        assert (await get(client, JOBS))["data"] == []
        assert (await client.post(JOBS, json={"model": MODEL, "training_file": file})).status_code == 200


@pytest.mark.parametrize(
    ("kind", "files", "outcome"), [("drop", 0, "dropped"), ("lose_answer", 1, "lost"), ("truncate", 1, "truncated")]
)
async def test_a_cut_connection_on_the_wire(kind: str, files: int, outcome: str) -> None:
    async with (
        serving(SandboxSettings(faults=(Fault(kind, times=1, operations=("files.create",)),))) as url,
        httpx2.AsyncClient(base_url=url, headers={"authorization": "Bearer sandbox-acme"}) as client,
    ):
        upload = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.jsonl", training_file())}}
        with pytest.raises(httpx2.TransportError):
            await client.post("/v1/files", **upload)  # type: ignore[arg-type]
        assert len((await get(client, "/v1/files"))["data"]) == files
        state = await get(client, "/sandbox/state")
        assert state["requests"]["files.create"] == {outcome: 1}
        assert (await client.post("/v1/files", **upload)).status_code == 200  # type: ignore[arg-type]


async def test_a_dropped_result() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        await sandbox.put_faults({"kind": "drop_result", "times": 1})
        for results in (1, 2):
            answer = await client.post("/moderations", json={"input": ["a kind word", "another"]})
            assert len(answer.json()["results"]) == results
        assert list((await sandbox.state())["judged"]["acme"].values()) == [2, 2]


async def test_cut_connection_in_process_is_a_connection_error() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        await sandbox.put_faults({"kind": "lose_answer", "times": 1})
        with pytest.raises(ConnectionError):
            await sandbox.upload(client)
        assert len((await get(client, "/files"))["data"]) == 1


async def test_truncated_body_has_the_full_content_length() -> None:
    received = b""
    async with (
        serving(SandboxSettings(faults=(Fault("truncate"),))) as url,
        httpx2.AsyncClient(headers={"authorization": "Bearer sandbox-acme"}) as client,
        client.stream("GET", f"{url}/v1/models") as answer,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012 - the error ends the loop
            async for chunk in answer.aiter_bytes():
                received += chunk
    assert 0 < len(received) == int(answer.headers["content-length"]) // 2


async def test_slow_fault_delays_the_answer() -> None:
    sandbox = InProcess(SandboxSettings(faults=(Fault("slow", seconds=0.2),)))
    async with sandbox.client() as client:
        begun = asyncio.get_running_loop().time()
        await get(client, "/models")
        assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_stall_fault_ends_when_the_rule_is_removed() -> None:
    stall, other = Fault("stall", operations=("models.list",)), Fault("drop", operations=("jobs.list",))
    sandbox = InProcess(SandboxSettings(faults=(stall,)))
    book = sandbox.app.state.sandbox.faults
    async with sandbox.client() as client:
        answer = asyncio.create_task(get(client, "/models"))
        while not (book.fired[0] or answer.done()):  # noqa: ASYNC110 - the sandbox has no event for it
            await asyncio.sleep(0)
        book.replace((other, stall))  # other rules, this one still among them
        for _ in range(100):
            await asyncio.sleep(0)
        assert not answer.done()
        book.replace((other,))
        assert await answer


async def test_a_job_of_an_unprocessed_file_is_refused() -> None:
    sandbox = InProcess(SandboxSettings(faults=(Fault("file_not_ready"),)))
    async with sandbox.client() as client:
        file = await sandbox.upload(client)
        body = {"model": MODEL, "training_file": file["id"]}
        early = await client.post(JOBS, json=body)
        assert (early.status_code, early.json()["error"]["code"]) == (400, "file_not_ready")
        assert (await get(client, JOBS))["data"] == []
        sandbox.now += 1
        assert (await client.post(JOBS, json=body)).status_code == 200


async def test_rejected_file_ends_in_error() -> None:
    sandbox = InProcess(SandboxSettings(faults=(Fault("reject_file", message="Too odd."),)))
    async with sandbox.client() as client:
        file = await sandbox.upload(client)
        assert file["status"] == "uploaded"
        sandbox.now += 1
        file = await get(client, f"/files/{file['id']}")
        assert (file["status"], file["status_details"]) == ("error", "Too odd.")
        refused = await client.post(JOBS, json={"model": MODEL, "training_file": file["id"]})
        assert refused.status_code == 400


async def job_after(seconds: float, *faults: Fault) -> tuple[InProcess, httpx2.AsyncClient, str]:
    sandbox = InProcess(SandboxSettings(faults=faults))
    client = sandbox.client()
    job = await sandbox.start(client)
    sandbox.now += seconds
    return sandbox, client, f"{JOBS}/{job['id']}"


async def test_failing_job_fails_in_training() -> None:
    sandbox, client, path = await job_after(
        2 + 4.9, Fault("fail_job", code="unsafe", message="Failed a safety check.")
    )
    assert (await get(client, path))["status"] == "running"
    sandbox.now += 0.2
    job = await get(client, path)
    assert (job["status"], job["fine_tuned_model"]) == ("failed", None)
    assert job["error"] == {"code": "unsafe", "message": "Failed a safety check.", "param": None}
    assert (await get(client, f"{path}/events"))["data"][0]["level"] == "error"


async def test_model_id_may_appear_after_success() -> None:
    sandbox, client, path = await job_after(2 + 10, Fault("no_model_id", seconds=3))
    job = await get(client, path)
    assert (job["status"], job["fine_tuned_model"]) == ("succeeded", None)
    sandbox.now += 3
    assert (await get(client, path))["fine_tuned_model"].startswith("ft:")


async def test_unknown_status_before_success() -> None:
    sandbox, client, path = await job_after(2 + 10, Fault("unknown_status", seconds=3))
    assert (await get(client, path))["status"] == "reviewing"
    sandbox.now += 3
    assert (await get(client, path))["status"] == "succeeded"


async def test_vanished_job() -> None:
    sandbox, client, path = await job_after(4, Fault("vanish", seconds=5))
    assert (await get(client, path))["status"] == "running"
    sandbox.now += 1
    assert (await client.get(path)).status_code == 404
    assert (await get(client, JOBS))["data"] == []


async def test_healthy_job_with_an_empty_error() -> None:
    _, client, path = await job_after(0, Fault("null_error"))
    empty = {"code": None, "message": None, "param": None}
    assert (await get(client, path))["error"] == empty
    assert (await get(client, JOBS))["data"][0]["error"] == empty


async def test_too_many_jobs_only_while_the_slots_are_taken() -> None:
    sandbox = InProcess(SandboxSettings(max_running_jobs=2, faults=(Fault("too_many_jobs", seconds=4),)))
    async with sandbox.client() as client:
        file = await sandbox.ready_file(client)
        body = {"model": MODEL, "training_file": file}
        answers = [await client.post(JOBS, json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].headers["retry-after"] == "4"
        sandbox.now += 12
        assert (await client.post(JOBS, json=body)).status_code == 200


async def listing(fault: Fault, **query: str | int) -> tuple[InProcess, httpx2.AsyncClient, list[str], Any]:
    """Five jobs, made a second apart, and a list of them under a fault."""
    sandbox = InProcess()
    client, made = sandbox.client(), []
    file = await sandbox.ready_file(client)
    for number in range(5):
        sandbox.now += 1
        made.append((await sandbox.start(client, training_file=file, metadata={"n": str(number)}))["id"])
    sandbox.app.state.sandbox.faults.replace([fault])
    return sandbox, client, made, await get(client, JOBS, **query)


async def test_ignored_metadata_filter() -> None:
    _, _, made, page = await listing(Fault("ignore_metadata_filter"), **{"metadata[n]": "1"})
    assert len(page["data"]) == len(made)


async def test_small_pages() -> None:
    _, client, made, page = await listing(Fault("page_size", size=2), limit=100)
    assert [job["id"] for job in page["data"]] == made[:2:-1]
    assert page["has_more"]
    page = await get(client, JOBS, after=made[1])
    assert ([job["id"] for job in page["data"]], page["has_more"]) == ([made[0]], False)


async def test_stuck_cursor() -> None:
    _, client, made, page = await listing(Fault("stuck_cursor"), limit=2)
    assert page["has_more"]
    assert await get(client, JOBS, limit=2, after=made[3]) == page


async def test_lagging_list() -> None:
    sandbox, client, made, page = await listing(Fault("list_lag", seconds=1.5))
    assert [job["id"] for job in page["data"]] == made[2::-1]
    assert (await get(client, f"{JOBS}/{made[4]}"))["id"] == made[4]
    sandbox.now += 1.5
    assert len((await get(client, JOBS))["data"]) == 5


async def test_rules_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[faults]]\nkind = "drop"\nrate = 0.5\naccounts = ["acme-*"]\noperations = ["files.*"]\ntimes = 3\n'
    )
    (fault,), _ = load_simulation(path)
    assert fault == Fault("drop", 0.5, ("acme-*",), ("files.*",), 3)
    path.write_text(
        '[[faults]]\nkind = "drop"\nrate = 2\n[[faults]]\nkind = "fog"\n[[faults]]\nkind = "slow"\nhow = 1\n'
    )
    with pytest.raises(FaultError) as wrong:
        load_simulation(path)
    assert [line.partition(":")[0] for line in str(wrong.value).splitlines()] == ["fault 1", "fault 2", "fault 3"]


async def test_rules_are_changed_at_run_time() -> None:
    sandbox = InProcess()
    url = "http://sandbox/sandbox/faults"
    async with sandbox.client() as client:
        rules = {"faults": [{"kind": "server_error", "operations": ["models.*"], "times": 1}]}
        assert (await client.put(url, json=rules)).json() == rules | {"fired": [0]}
        assert (await client.get("/models")).status_code == 500
        assert (await client.get("/models")).status_code == 200
        told = (await client.get(url)).json()
        assert told == rules | {"fired": [1]}
        assert (await client.put(url, json=told)).status_code == 200
        refused = await client.put(url, json={"faults": [{"kind": "server_error", "operations": ["tea.make"]}]})
        assert refused.status_code == 400
        assert "tea.make" in refused.json()["error"]["message"]
        assert (await client.put(url, json={"faults": []})).json() == {"faults": [], "fired": []}


@pytest.mark.parametrize("code", MALFORMED_LISTS)
async def test_a_malformed_list(code: str) -> None:
    """No reader of JSON that looks for a list of objects with ids finds the jobs in it, and the next one is whole."""
    sandbox, client, made, _ = await listing(Fault("page_size", size=100))
    sandbox.app.state.sandbox.faults.replace([Fault("malformed_list", code=code, times=1)])
    answer = await client.get(JOBS)
    assert answer.status_code == 200
    assert not any(job in answer.text for job in made) or code == "half"
    with pytest.raises((ValueError, RecursionError)):
        _strictly(answer.json())
    assert [job["id"] for job in _strictly((await client.get(JOBS)).json())] == made[::-1]


def _strictly(page: Any) -> list[dict[str, Any]]:
    """The items of a page, or ValueError."""
    match page:
        case {"error": _} | {"object": "error"} | {"data": [], "has_more": True}:
            raise ValueError(page)
        case {"data": list(items), "has_more": bool()} if all(
            isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"] for item in items
        ):
            return items
        case _:
            raise ValueError(page)


async def test_malformed_list_fault_picks_any_form_unless_one_is_named() -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        await sandbox.put_faults({"kind": "malformed_list"})
        bodies = {(await client.get(JOBS)).content for _ in range(100)}
        assert len(bodies) > len(MALFORMED_LISTS) / 2
        told = await client.put(
            "http://sandbox/sandbox/faults", json={"faults": [{"kind": "malformed_list", "code": "x"}]}
        )
    assert told.status_code == 400
    assert "unknown code 'x'; known: error, " in told.text
