"""Drives a sandbox with OpenAI's Python SDK as its user would, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_openai.py TRAINING_FILE`. The SDK reads its key and
address from the environment.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import openai
from pydantic import BaseModel

MODEL = "sandbox-small"
QUESTION = [{"role": "user", "content": "Is it late?"}]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    name: str
    age: int


client: Any = openai.OpenAI(max_retries=0)
file = client.files.create(file=Path(sys.argv[1]), purpose="fine-tune")
job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
seen = [job.status]
while job.status not in {"succeeded", "failed", "cancelled"}:
    time.sleep(0.05)
    job = client.fine_tuning.jobs.retrieve(job.id)
    seen.append(job.status)
checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
results = base64.b64decode(client.files.content(job.result_files[0]).content, validate=True)
whole = client.chat.completions.create(model=job.fine_tuned_model, messages=QUESTION)
chunks = list(
    client.chat.completions.create(
        model=job.fine_tuned_model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
)
pet = client.chat.completions.parse(model=job.fine_tuned_model, messages=QUESTION, response_format=Pet)
with client.chat.completions.stream(model=job.fine_tuned_model, messages=QUESTION) as stream:
    kinds = {event.type for event in stream}
    gathered = stream.get_final_completion().choices[0].message.content
response = client.responses.create(model=job.fine_tuned_model, input="Is it late?")
with client.responses.stream(model=job.fine_tuned_model, input="Is it late?") as events:
    streamed_response = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    final_response = events.get_final_response().output_text
json.dump(
    {
        "statuses": list(dict.fromkeys(seen)),
        "model": job.fine_tuned_model,
        "checkpoints": [checkpoint.fine_tuned_model_checkpoint for checkpoint in checkpoints],
        "results": results.decode().splitlines()[0],
        "whole": whole.choices[0].message.content,
        "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "pieces": len(chunks),
        "usage": chunks[-1].usage.model_dump(include={"total_tokens"}) if chunks[-1].usage else None,
        "pet": pet.choices[0].message.parsed.model_dump(mode="json"),
        "events": sorted(kinds),
        "gathered": gathered,
        "response": response.output_text,
        "streamed_response": streamed_response,
        "final_response": final_response,
    },
    sys.stdout,
)
