"""A reference server for `provider = "openai-compatible"`: OpenAI's API in front of a trainer of your own.

The trainer, trigrams.py, is a toy. The API is not: it fulfils the contract of docs/how-to/your-own-server.md, and
keeps its jobs when it is restarted. Replace `train` and `complete` by your own.

    SERVER_KEY=a-long-secret python examples/reference_server/server.py --folder state
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import threading
import time
from pathlib import Path
from queue import Queue
from typing import Annotated, Any
from uuid import uuid4

import uvicorn
from fastapi import Body, Depends, FastAPI, Form, Header, Request, UploadFile
from fastapi.responses import JSONResponse
from trigrams import complete, read_chats, train

BASE_MODEL, DEFAULT_EPOCHS = "tiny-trigrams", 3

Record = dict[str, Any]
"""A file or a job, as it is shown."""


class ApiError(Exception):
    """An answer with an error, in OpenAI's form."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Store:
    """Files and jobs on disk. A change is on disk before it is answered: a job that is forgotten is created twice."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "state.json"
        empty: dict[str, Record] = {"file": {}, "job": {}, "events": {}}
        self.records = json.loads(self._path.read_text("utf-8")) if self._path.exists() else empty

    def get(self, kind: str, name: str) -> Record:
        record: Record | None = self.records[kind].get(name)
        if record is None:
            raise ApiError(404, f"there is no {kind} {name}", f"{kind}_not_found")
        return record

    def add(self, kind: str, record: Record) -> Record:
        with self.lock:
            self.records[kind][record["id"]] = record
            self.write()
        return record

    def change(self, record: Record, before: tuple[str, ...], **values: Any) -> bool:
        """Change a record, unless its status is no longer one of `before`: a cancelled job must not succeed."""
        with self.lock:
            if expected := record["status"] in before:
                record.update(values)
                self.write()
        return expected

    def write(self) -> None:
        new = self._path.with_suffix(".new")
        with self.lock, new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self.records))
            file.flush()
            os.fsync(file.fileno())
            new.replace(self._path)


class Trainer(threading.Thread):
    """Trains one job after the other. Jobs that a restart interrupted are trained again from the start."""

    def __init__(self, store: Store, pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self.store, self.pause_seconds, self.queue = store, pause_seconds, Queue[str]()
        for job in store.records["job"].values():
            if job["status"] in ("queued", "running"):
                self.queue.put(job["id"])

    def run(self) -> None:
        while True:
            job = self.store.get("job", self.queue.get())
            try:
                self.train_job(job)
            except Exception as error:  # noqa: BLE001 - the next job has to be trained, whatever this one contains
                problem = {"code": "training_failed", "message": str(error)}
                self.store.change(job, ("running",), status="failed", error=problem)

    def train_job(self, job: Record) -> None:
        def report(epoch: int, loss: float) -> bool:
            event = {"id": f"ftevent-{uuid4().hex}", "created_at": int(time.time()), "level": "info"}
            event |= {"message": f"Epoch {epoch}", "data": {"step": epoch, "train_loss": loss}}
            events.append(event)
            time.sleep(self.pause_seconds)
            return self.store.change(job, ("running",), trained_epochs=epoch)  # False: it was cancelled

        if not self.store.change(job, ("queued", "running"), status="running"):
            return
        events: list[Record] = self.store.records["events"][job["id"]]
        events.clear()
        model = train(self.store.folder / job["training_file"], job["hyperparameters"]["n_epochs"], report)
        if model is not None:
            (self.store.folder / f"{job['id']}.model").write_text(json.dumps(model), "utf-8")
            name = f"ft:{BASE_MODEL}:{job['user_provided_suffix'] or 'model'}:{job['id'][-8:]}"
            self.store.change(job, ("running",), status="succeeded", fine_tuned_model=name)


def create_app(folder: Path, key: str, pause_seconds: float = 1.0) -> FastAPI:
    store = Store(folder)
    trainer = Trainer(store, pause_seconds)
    trainer.start()

    def check_key(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise ApiError(401, "the key is wrong", "invalid_api_key")

    app = FastAPI(dependencies=[Depends(check_key)])

    @app.exception_handler(ApiError)
    def answer_error(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse({"error": {"message": str(error), "code": error.code}}, error.status)

    add_file_calls(app, store)
    add_job_calls(app, store, trainer)
    add_model_calls(app, store)
    return app


def build_list(records: list[Record], after: str, limit: int) -> Record:
    """Build one page, newest first. Without `has_more` and `after`, an older job would never be found again."""
    names = [record["id"] for record in records]
    start = names.index(after) + 1 if after in names else 0
    return {"object": "list", "data": records[start : start + limit], "has_more": start + limit < len(records)}


def add_file_calls(app: FastAPI, store: Store) -> None:
    @app.post("/v1/files")
    def create_file(file: UploadFile, purpose: Annotated[str, Form()]) -> Record:
        name, content = f"file-{uuid4().hex}", file.file.read()
        (store.folder / name).write_bytes(content)
        status, details = "processed", None
        try:
            list(read_chats(store.folder / name))
        except ValueError as error:
            status, details = "error", str(error)
        record = {"id": name, "object": "file", "filename": file.filename, "bytes": len(content), "purpose": purpose}
        record |= {"created_at": int(time.time()), "status": status, "status_details": details}
        return store.add("file", record)

    @app.get("/v1/files")
    def list_files(after: str = "", limit: int = 100) -> Record:
        return build_list([*store.records["file"].values()][::-1], after, limit)

    @app.get("/v1/files/{name}")
    def get_file(name: str) -> Record:
        return store.get("file", name)

    @app.delete("/v1/files/{name}")
    def delete_file(name: str) -> Record:
        store.get("file", name)
        with store.lock:
            del store.records["file"][name]
            store.write()
        (store.folder / name).unlink()
        return {"id": name, "object": "file", "deleted": True}


def build_job(store: Store, body: Record) -> Record:
    """Build the job that a request describes. Raises ApiError for a request that cannot be fulfilled."""
    if body.get("model") != BASE_MODEL:
        raise ApiError(400, f"the only model is {BASE_MODEL}", "model_not_found")
    method = body.get("method") or {"type": "supervised"}
    if method.get("type") != "supervised":
        raise ApiError(400, "the only method is supervised", "unsupported_method")
    if store.get("file", body.get("training_file", ""))["status"] != "processed":
        raise ApiError(400, "the training file has an error", "invalid_file")
    epochs = method.get("supervised", {}).get("hyperparameters", {}).get("n_epochs", "auto")
    if epochs != "auto" and epochs not in range(1, 51):
        raise ApiError(400, "n_epochs must be from 1 to 50", "invalid_hyperparameters")
    used = {"n_epochs": DEFAULT_EPOCHS if epochs == "auto" else epochs}
    job: Record = {"id": f"ftjob-{uuid4().hex}", "object": "fine_tuning.job", "status": "queued"}
    job |= {name: body.get(name) for name in ("model", "training_file", "validation_file", "seed", "metadata")}
    job |= {"user_provided_suffix": body.get("suffix"), "hyperparameters": used, "created_at": int(time.time())}
    job |= {"fine_tuned_model": None, "trained_epochs": 0, "error": None, "method": {"type": "supervised"}}
    return job


def add_job_calls(app: FastAPI, store: Store, trainer: Trainer) -> None:
    @app.post("/v1/fine_tuning/jobs")
    def create_job(body: Annotated[Record, Body()]) -> Record:
        job = build_job(store, body)
        store.records["events"][job["id"]] = []
        store.add("job", job)  # before the answer, and before the training
        trainer.queue.put(job["id"])
        return job

    @app.get("/v1/fine_tuning/jobs")
    def list_jobs(after: str = "", limit: int = 20) -> Record:
        return build_list([*store.records["job"].values()][::-1], after, limit)

    @app.get("/v1/fine_tuning/jobs/{name}")
    def get_job(name: str) -> Record:
        return store.get("job", name)

    @app.post("/v1/fine_tuning/jobs/{name}/cancel")
    def cancel_job(name: str) -> Record:
        job = store.get("job", name)
        if not store.change(job, ("queued", "running"), status="cancelled"):
            raise ApiError(400, f"the job is {job['status']}", "cannot_cancel")
        return job

    @app.get("/v1/fine_tuning/jobs/{name}/events")
    def list_events(name: str, after: str = "", limit: int = 20) -> Record:
        return build_list(store.records["events"][store.get("job", name)["id"]][::-1], after, limit)


def add_model_calls(app: FastAPI, store: Store) -> None:
    def list_names() -> dict[str, str]:
        """Return the job of each model; the base model has none."""
        jobs = {
            job["fine_tuned_model"]: job["id"] for job in store.records["job"].values() if job["fine_tuned_model"]
        }
        return {BASE_MODEL: "", **jobs}

    @app.get("/v1/models")
    def list_models() -> Record:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in list_names()]}

    @app.get("/v1/models/{name:path}")
    def get_model(name: str) -> Record:
        if name not in list_names():
            raise ApiError(404, f"there is no model {name}", "model_not_found")
        return {"id": name, "object": "model"}

    @app.post("/v1/chat/completions")
    def create_completion(body: Annotated[Record, Body()]) -> Record:
        if not (job_id := list_names().get(body.get("model", ""))):
            raise ApiError(404, f"there is no fine-tuned model {body.get('model')}", "model_not_found")
        model = json.loads((store.folder / f"{job_id}.model").read_text("utf-8"))
        text = complete(model, body["messages"][-1]["content"], body.get("seed") or 0)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer: Record = {"id": f"chatcmpl-{uuid4().hex}", "object": "chat.completion", "created": int(time.time())}
        return answer | {"model": body["model"], "choices": [choice]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve OpenAI's fine-tuning API in front of a tiny trainer.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=Path("reference-server"), help="where files and jobs are kept")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds after each epoch, to have time to watch")
    options = parser.parse_args()
    if not (key := os.environ.get("SERVER_KEY")):
        parser.error("set the environment variable SERVER_KEY to the key that clients have to send")
    uvicorn.run(create_app(options.folder, key, options.pause), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
