from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from web_values import ready, run, status

from orchestrator.core import finding
from orchestrator.core.errors import Failure
from orchestrator.core.notifications import delivery
from orchestrator.core.structs import fields, replace
from orchestrator.status import (
    AccountSummary,
    DatasetRow,
    DeploymentTotals,
    DeploymentView,
    JobView,
    RunView,
    StoredEvent,
    status_to_dict,
)
from orchestrator.store.queries.replicas import Replica
from orchestrator.web.api import deliveries
from orchestrator.web.api.examples import EXAMPLES
from orchestrator.web.api.schemas import accounts_and_datasets, deployments, jobs_and_runs
from orchestrator.web.api.schemas.jobs_and_runs import (
    JobSchema,
    RunSchema,
    RunsStatusDocument,
    RunStatusSchema,
    StatusDocument,
)

DOCS = Path(__file__).parents[4] / "docs"
GENERATED: Mapping[str, Callable[[], str]] = runpy.run_path(str(DOCS / "generate_api.py"))["PAGES"]
UNDOCUMENTED_FIELDS = {JobView: {"run", "gated"}, RunView: {"priority"}, DeploymentView: {"is_account_removed"}}
"""Documents show them beside the run, so that the document of a single run stays as it was."""
RENAMED_FIELDS = {
    "run_id": "run",
    "job_id": "job",
    "deployment_id": "deployment",
    "comparison_id": "comparison",
    "state_after": "state",
    "topic": "event",
}


@pytest.mark.parametrize("name", GENERATED)
def test_api_reference_matches_the_code(name: str) -> None:
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == GENERATED[name](), f"docs/reference/{name} has drifted; run: python docs/generate_api.py"


@pytest.mark.parametrize(
    ("document", "view", "more"),
    [
        (jobs_and_runs.JobSchema, JobView, set()),
        (jobs_and_runs.RunSchema, RunView, set()),
        (jobs_and_runs.ReplicaSchema, Replica, set()),
        (jobs_and_runs.ErrorInfo, Failure, set()),
        (accounts_and_datasets.AccountSchema, AccountSummary, set()),
        (accounts_and_datasets.DatasetSchema, DatasetRow, {"runs", "findings"}),
        (jobs_and_runs.EventSchema, StoredEvent, {"kind"}),
        (accounts_and_datasets.FindingSchema, finding.Finding, set()),
        (accounts_and_datasets.FindingsSchema, finding.FindingSummary, set()),
        (deployments.DeploymentSchema, DeploymentView, set()),
        (deployments.DeploymentTotalsSchema, DeploymentTotals, set()),
        (deliveries.DeliverySchema, delivery.Delivery, {"state"}),
    ],
)
def test_a_document_describes_every_field_of_its_view(document: type[BaseModel], view: Any, more: set[str]) -> None:
    named = {RENAMED_FIELDS.get(field.name, field.name) for field in fields(view)}
    assert set(document.model_fields) == (named - UNDOCUMENTED_FIELDS.get(view, set())) | more


def test_status_document_describes_every_field() -> None:
    answer = status_to_dict(status(ready("acme"))) | {"problem": None}
    described = {field.alias or name for name, field in StatusDocument.model_fields.items()}
    assert set(answer) == described
    assert StatusDocument.model_validate(answer).jobs[0].account == "acme"


def test_status_document_of_several_runs_describes_every_field() -> None:
    one = status(ready("acme", run="run-1"), ready("acme", run="run-2"))
    answer = status_to_dict(replace(one, other_runs=(run(id="run-2", name="other"),)))
    document = RunsStatusDocument.model_validate(answer)
    assert set(answer) == {field.alias or name for name, field in RunsStatusDocument.model_fields.items()}
    assert set(answer["runs"][0]) == set(RunStatusSchema.model_fields)
    assert [(each.run.name, len(each.jobs)) for each in document.runs] == [("support-tone", 1), ("other", 1)]


def test_view_is_converted_to_its_document() -> None:
    assert (
        JobSchema.from_view(ready("acme", error=Failure("kind", "message", "hint"))).created_at
        == "2026-09-21T14:03:20+00:00"
    )
    assert RunSchema.from_view(run(holds=[Failure("kind", "message", "hint")])).holds[0].kind == "kind"


@cache
def schema_of_all() -> Any:
    return json.loads(GENERATED["openapi.json"]())


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_matches_its_document(name: str) -> None:
    schema = schema_of_all()
    assert name in schema["components"]["schemas"]
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", **schema}).validate(EXAMPLES[name])


def test_every_document_that_is_asked_for_or_answered_has_an_example() -> None:
    paths = json.dumps(schema_of_all()["paths"])
    named = {part.partition('"')[0] for part in paths.split("#/components/schemas/")[1:]}
    assert named - set(EXAMPLES) == {
        "Liveness",
        "Readiness",
        "JobState",
        "DeliveryStatus",
        "DeploymentState",
        "ProviderName",
    }
