"""What the sandbox knows outlives it, however it ends."""

from __future__ import annotations

from pathlib import Path

import httpx2
from sandboxes import MODEL, InProcess, get, process, training_file

from orchestrator.sandbox import SandboxSettings

HEADERS = {"authorization": "Bearer sandbox-acme"}


async def test_state_survives_kill_9(tmp_path: Path) -> None:
    content = training_file()
    with process(tmp_path / "state.db") as (_, url):
        async with httpx2.AsyncClient(base_url=f"{url}/v1", headers=HEADERS) as client:
            upload = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.jsonl", content)}}
            file = (await client.post("/files", **upload)).json()["id"]  # type: ignore[arg-type]
            body = {"model": MODEL, "training_file": file, "metadata": {"k": "v"}}
            made = [(await client.post("/fine_tuning/jobs", json=body)).json()["id"] for _ in range(4)]
            await client.post(f"/fine_tuning/jobs/{made[0]}/cancel")
            await client.post(f"/fine_tuning/jobs/{made[1]}/pause")
    with process(tmp_path / "state.db") as (_, url):
        async with httpx2.AsyncClient(base_url=f"{url}/v1", headers=HEADERS) as client:
            jobs = (await get(client, "/fine_tuning/jobs", **{"metadata[k]": "v"}))["data"]
            assert [job["id"] for job in jobs] == made[::-1]
            assert [job["status"] for job in jobs] == ["running", "running", "paused", "cancelled"]
            assert (await client.get(f"/files/{file}/content")).content == content
            resumed = await client.post(f"/fine_tuning/jobs/{made[1]}/resume")
            assert resumed.json()["status"] == "running"


async def test_deleted_and_cleared_objects_stay_deleted(tmp_path: Path) -> None:
    settings = SandboxSettings(state=tmp_path / "state.db")
    sandbox = InProcess(settings)
    async with sandbox.client() as client:
        gone, kept = await sandbox.upload(client), await sandbox.upload(client)
        await client.delete(f"/files/{gone['id']}")
    sandbox.app.state.sandbox.close()
    sandbox = InProcess(settings)
    async with sandbox.client() as client:
        assert [file["id"] for file in (await get(client, "/files"))["data"]] == [kept["id"]]
        assert (await client.get(f"/files/{kept['id']}/content")).content == training_file()
        await client.delete("http://sandbox/sandbox/state")
        assert await sandbox.state() == {
            "accounts": {},
            "requests": {},
            "requests_by_account": {},
            "most_in_flight": {},
            "judged": {},
        }
    sandbox.app.state.sandbox.close()
    sandbox = InProcess(settings)
    async with sandbox.client() as client:
        assert (await get(client, "/files"))["data"] == []
    assert list((tmp_path / "state.db.files").iterdir()) == []
    sandbox.app.state.sandbox.close()


async def test_discarded_contents_leave_only_their_hash(tmp_path: Path) -> None:
    sandbox = InProcess(SandboxSettings(state=tmp_path / "state.db", discard_files=True))
    async with sandbox.client() as client:
        job = await sandbox.start(client)
        assert (await client.get(f"/files/{job['training_file']}/content")).status_code == 404
    assert list((tmp_path / "state.db.files").iterdir()) == []
    sandbox.app.state.sandbox.close()
