"""Drives the fake of Vertex AI with the vendor's SDK, google-genai, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_google_genai.py ADDRESS DATASET_URI`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

ADDRESS, DATASET = sys.argv[1:]
MODEL = "gemini-2.5-flash"
ENDS = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


def follow(client: genai.Client, name: str) -> list[Any]:
    """Every state of a job until its end, and the job then."""
    states: list[Any] = []
    while True:
        job = client.tunings.get(name=name)
        states += [job.state.value] if job.state and job.state.value not in states[-1:] else []
        if states and states[-1] in ENDS:
            return [states, job]
        time.sleep(0.05)


def main() -> None:
    client = genai.Client(
        vertexai=True,
        project="proj-acme",
        location="us-central1",
        credentials=Credentials(token="sandbox-acme"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=ADDRESS, api_version="v1"),
    )
    dataset = types.TuningDataset(gcs_uri=DATASET)
    config = types.CreateTuningJobConfig(
        epoch_count=2,
        adapter_size=types.AdapterSize.ADAPTER_SIZE_EIGHT,
        tuned_model_display_name="tone",
        labels={"orchestrator": "0123456789abcdef-0"},
    )
    job = client.tunings.tune(base_model=MODEL, training_dataset=dataset, config=config)
    states, done = follow(client, job.name or "")
    second = client.tunings.tune(base_model=MODEL, training_dataset=dataset, config=config)
    client.tunings.cancel(name=second.name or "")
    cancelled = client.tunings.get(name=second.name or "")
    listed = [each.name for each in client.tunings.list(config={"page_size": 1})]
    try:
        client.tunings.tune(base_model="no-such-model", training_dataset=dataset)
        refused: list[Any] = []
    except errors.ClientError as error:
        refused = [error.code, error.status]
    statistics = done.tuning_data_stats.supervised_tuning_data_stats
    print(
        json.dumps(
            {
                "first_state": job.state.value if job.state else None,
                "states": states,
                "labels": done.labels,
                "endpoint": done.tuned_model.endpoint,
                "model": done.tuned_model.model,
                "billable": statistics.total_billable_token_count,
                "truncated": statistics.total_truncated_example_count,
                "epochs": done.supervised_tuning_spec.hyper_parameters.epoch_count,
                "cancelled": cancelled.state.value if cancelled.state else None,
                "listed": len(listed),
                "distinct": len({*listed}),
                "refused": refused,
            }
        )
    )


main()
