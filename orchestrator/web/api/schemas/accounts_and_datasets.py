"""Response models of accounts and datasets."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orchestrator.core.account import ProviderName
from orchestrator.core.finding import Severity
from orchestrator.core.structs import asdict
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
    """One finding of the dataset check; docs/findings.md explains each code."""

    code: str
    severity: Severity
    file: str
    line: int | None
    path: str | None = Field(description="JSON path inside the chat file.")
    message: str
    hint: str


class FindingsSchema(ApiModel):
    """Number of findings by code, and the first ones of each code."""

    counts: dict[str, int]
    first: list[FindingSchema]


class DatasetSchema(ApiModel):
    """A dataset and the runs that use it."""

    sha256: str = Field(description="SHA-256 of the canonical JSONL; identifies the dataset.")
    bytes: Count
    examples: Count
    tokens: int | None
    validation_sha256: str | None
    validation_examples: int | None
    validation_tokens: int | None
    created_at: Timestamp
    runs: list[RunSummarySchema] = Field(
        description="Runs that use the dataset, newest first, each with its moderation record."
    )
    findings: FindingsSchema | None = Field(description="Findings of the dataset check; null in lists.")

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
    """All datasets used by a run, newest first."""

    datasets: list[DatasetSchema]


class AccountSchema(ApiModel):
    """An account that is or was listed in the accounts file. Contains a fingerprint of its API key, never the key."""

    name: str
    provider: ProviderName
    organization: str | None
    project: str | None
    labels: list[str]
    key_fingerprint: str = Field(description="Eight hexadecimal digits that distinguish API keys.")
    verified_at: Timestamp | None = Field(description="When the API key was last verified.")
    removed_at: Timestamp | None = Field(description="When the account was removed from the accounts file.")
    hold: ErrorInfo | None = Field(description="Why the account is on hold; null if it is not.")

    @classmethod
    def from_view(cls, line: AccountSummary) -> AccountSchema:
        return cls.model_validate(_account_fields(line))


class AccountPageSchema(ApiModel):
    """A page of accounts, sorted by name."""

    accounts: list[AccountSchema]
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class AccountJobSchema(ApiModel):
    """An account's job in one run."""

    run: str
    run_name: str
    current: bool
    dataset_sha256: str
    job: JobSchema


class AccountDetailSchema(AccountSchema):
    """An account with its jobs, the one of the current run first."""

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
