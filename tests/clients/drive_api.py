"""Reads and controls a service through the generated client, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_api.py ADDRESS TOKEN control` or
`… read`, with the client on its path.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from orchestrator_client import AuthenticatedClient  # type: ignore[import-not-found]
from orchestrator_client.api.actions import approve  # type: ignore[import-not-found]
from orchestrator_client.api.datasets import (  # type: ignore[import-not-found]
    get_difference,
    list_datasets,
    list_examples,
)
from orchestrator_client.api.events import list_events  # type: ignore[import-not-found]
from orchestrator_client.api.jobs import get_job, list_jobs  # type: ignore[import-not-found]
from orchestrator_client.api.models import export_models, list_models  # type: ignore[import-not-found]
from orchestrator_client.api.status import get_readiness, get_status  # type: ignore[import-not-found]
from orchestrator_client.models import ApprovalRequest, Problem  # type: ignore[import-not-found]
from orchestrator_client.models.export_models_format import ExportModelsFormat  # type: ignore[import-not-found]

address, token, part = sys.argv[1:]
client: Any = AuthenticatedClient(address, token=token)
stranger: Any = AuthenticatedClient(address, token="a-wrong-token")


def describe(answer: Any) -> dict[str, Any]:
    """Return the fields of an error; anything else is a failure."""
    assert isinstance(answer, Problem), answer
    fields: dict[str, Any] = answer.to_dict()
    return fields


def read_stream() -> list[int]:
    """Return the ids of the first events of the stream."""
    ids: list[int] = []
    headers = {"Accept": "text/event-stream"}
    with client.get_httpx_client().stream("GET", "/api/v1/events", params={"after": 0}, headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                ids.append(json.loads(line.removeprefix("data: "))["id"])
            if len(ids) == 3:
                break
    return ids


def control() -> dict[str, Any]:
    """Approve the held run, after three requests that are refused."""
    status = get_status.sync(client=client)
    return {
        "ready": get_readiness.sync(client=client).ready,
        "accounts": [job.account for job in status.jobs],
        "holds": [hold.kind for hold in status.run.holds],
        "errors": {
            "wrong token": describe(list_jobs.sync(client=stranger)),
            "no such job": describe(get_job.sync("none", client=client)),
            "another price": describe(approve.sync(client=client, body=ApprovalRequest(expect_usd=12345.0))),
        },
        "approved": approve.sync(client=client, body=ApprovalRequest()).action,
        "holds_after": wait_until_nothing_is_held(),
    }


def wait_until_nothing_is_held() -> list[str]:
    """Return the holds of the run, when there are none or a minute has passed: `/status` may be some seconds old."""
    for _ in range(600):
        holds = [hold.kind for hold in get_status.sync(client=client).run.holds]
        if not holds:
            break
        time.sleep(0.1)
    return holds


def read_examples() -> dict[str, Any]:
    """Return the first example of the dataset, a search, and the difference of the dataset from itself."""
    sha256 = list_datasets.sync(client=client).datasets[0].sha256
    for _ in range(600):
        page = list_examples.sync(sha256, client=client, limit=2)
        if not isinstance(page, Problem):
            break
        assert page.status == 503, page  # the index is being built
        time.sleep(0.1)
    text = page.examples[0].body.to_dict()["messages"][-1]["content"][:30]
    found = list_examples.sync(sha256, client=client, text=text)
    difference = get_difference.sync(sha256, client=client, with_=sha256)
    return {
        "numbers": [example.number for example in page.examples],
        "total": page.total,
        "found": [example.number for example in found.examples],
        "unchanged": difference.unchanged,
        "stranger": describe(list_examples.sync(sha256, client=stranger))["status"],
    }


def read() -> dict[str, Any]:
    """Read jobs by pages, models in every form, and events as a page and as a stream."""
    first = list_jobs.sync(client=client, limit=1)
    second = list_jobs.sync(client=client, limit=1, after=first.next_)
    return {
        "pages": [[job.account for job in page.jobs] for page in (first, second)],
        "states": [job.state for job in first.jobs + second.jobs],
        "models": [model.fine_tuned_model for model in list_models.sync(client=client).models],
        "events": [event.id for event in list_events.sync(client=client, limit=3).events],
        "stream": read_stream(),
        "examples": read_examples(),
        "exports": {str(form): export_models.sync(client=client, format_=form) for form in ExportModelsFormat},
    }


json.dump({"control": control, "read": read}[part](), sys.stdout)
