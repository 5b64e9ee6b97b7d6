"""A FastAPI route that returns the bytes of a file, and nothing else: the reference of `status.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response

from orchestrator.sandbox.server import open_listener

BODY = Path(sys.argv[1]).read_bytes()
app = FastAPI()


@app.get("/")
async def body() -> Response:
    """The bytes."""
    return Response(BODY, media_type="application/json")


listener = open_listener("127.0.0.1", 0)
print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])
