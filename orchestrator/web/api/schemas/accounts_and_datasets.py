"""Inventory: what the API answers about accounts and datasets, field by field."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from orchestrator.core.account import ProviderName
from orchestrator.core.finding import Severity
from orchestrator.status import AccountSummary, AccountView, DatasetView, format_iso
from orchestrator.web.api.schemas.jobs_and_runs import (
    ApiModel,
    Count,
    ErrorInfo,
    JobSchema,
    RunSummarySchema,
    Timestamp,
)


class FindingSchema(ApiModel):
    """One thing that the check found; docs/findings.md explains each code."""

    code: str
    severity: Severity
    file: str
    line: int | None
    path: str | None = Field(description="A JSON path inside the chat.")
    message: str
    hint: str


class FindingsSchema(ApiModel):
    """How many of each code, and the first of each."""

    counts: dict[str, int]
    first: list[FindingSchema]


class DatasetSchema(ApiModel):
    """A dataset and the runs that trained on it."""

    sha256: str = Field(description="Of the canonical JSONL; the dataset's identity.")
    bytes: Count
    examples: Count
    tokens: int | None
    validation_sha256: str | None
    validation_examples: int | None
    validation_tokens: int | None
    created_at: Timestamp
    runs: list[RunSummarySchema] = Field(description="The newest first; each has its moderation's record.")
    findings: FindingsSchema | None = Field(
        description="What the check found in its chats; in a list it is left out."
    )

    @classmethod
    def from_view(cls, view: DatasetView) -> DatasetSchema:
        row = asdict(view.dataset)
        made = {
            "created_at": format_iso(view.dataset.created_at),
            "runs": [RunSummarySchema.from_view(line) for line in view.runs],
            "findings": view.findings.as_dict() if view.findings else None,
        }
        return cls.model_validate(row | made)


class DatasetListSchema(ApiModel):
    """Every dataset that a run was made of, the newest first."""

    datasets: list[DatasetSchema]


class AccountSchema(ApiModel):
    """An account that is or was listed in the accounts file. Its key is not here, only a fingerprint of it."""

    name: str
    provider: ProviderName
    organization: str | None
    project: str | None
    labels: list[str]
    key_fingerprint: str = Field(description="Eight hex digits that tell two keys apart.")
    verified_at: Timestamp | None = Field(description="When its key was last verified.")
    removed_at: Timestamp | None = Field(description="Since when the accounts file does not list it.")
    hold: ErrorInfo | None = Field(description="Why it is set aside.")

    @classmethod
    def from_view(cls, line: AccountSummary) -> AccountSchema:
        return cls.model_validate(_account_fields(line))


class AccountPageSchema(ApiModel):
    """Accounts by name."""

    accounts: list[AccountSchema]
    next: str | None = Field(description="`after` of the next page; null on the last.")


class AccountJobSchema(ApiModel):
    """The account's job in one run."""

    run: str
    run_name: str
    current: bool
    dataset_sha256: str
    job: JobSchema


class AccountDetailSchema(AccountSchema):
    """An account with its jobs, the current run's first."""

    jobs: list[AccountJobSchema]

    @classmethod
    def from_view(cls, line: AccountSummary) -> AccountDetailSchema:
        assert isinstance(line, AccountView)
        jobs = [
            AccountJobSchema(
                run=each.run,
                run_name=each.run_name,
                current=each.current,
                dataset_sha256=each.dataset_sha256,
                job=JobSchema.from_view(each.job),
            )
            for each in line.jobs
        ]
        return cls.model_validate(_account_fields(line) | {"jobs": jobs})


def _account_fields(line: AccountSummary) -> dict[str, Any]:
    return {
        "name": line.name,
        "provider": line.provider,
        "organization": line.organization,
        "project": line.project,
        "labels": list(line.labels),
        "key_fingerprint": line.key_fingerprint,
        "verified_at": format_iso(line.verified_at),
        "removed_at": format_iso(line.removed_at),
        "hold": asdict(line.hold) if line.hold else None,
    }
