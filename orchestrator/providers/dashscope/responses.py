"""The fields of DashScope's responses that are used.

Every response is an envelope. A failure may come with status 200: then the envelope has a `code`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import (
    RemoteId,
    RemoteIdOrEmpty,
    StatusWord,
    count_or_none,
    parse_hyperparameters,
    text_or_none,
)


class DashScopeEnvelope(msgspec.Struct):
    """What every response has."""

    request_id: Any = None
    code: Any = None
    error: Any = None

    def __post_init__(self) -> None:
        if self.code or self.error:
            raise ValueError("it reports an error")


class DashScopeFile(msgspec.Struct):
    """A file. The name is required: a file without one may be ours and must not be skipped."""

    file_id: RemoteId
    name: str | None
    size: int | None = None


class DashScopeFilePage(msgspec.Struct):
    """A page of files."""

    files: list[DashScopeFile]
    page_size: int | None = None
    total: int | None = None

    @property
    def items(self) -> list[tuple[str, DashScopeFile]]:
        return [(file.file_id, file) for file in self.files]


class DashScopeUploadFailure(msgspec.Struct):
    """Why one file of an upload was refused."""

    code: Any = None
    message: Any = None


class DashScopeUpload(msgspec.Struct):
    """The outcome of an upload of one file."""

    uploaded_files: list[DashScopeFile] = msgspec.field(default_factory=list)
    failed_uploads: list[DashScopeUploadFailure] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.uploaded_files and not self.failed_uploads:
            raise ValueError("it names no uploaded and no failed file")


class DashScopeJob(msgspec.Struct):
    """A fine-tuning job. Its files have no default: a job that does not show them may be ours."""

    job_id: RemoteId
    status: StatusWord
    training_file_ids: list[RemoteIdOrEmpty] | None
    job_name: str | None = None
    model: RemoteIdOrEmpty | None = None
    base_model: RemoteIdOrEmpty | None = None
    finetuned_output: RemoteIdOrEmpty | None = None
    hyper_parameters: Any = None
    usage: Any = None
    code: Any = None
    message: Any = None

    def __post_init__(self) -> None:
        """Keep of the fields of any type only what is used: a list keeps its jobs until its last page is read."""
        self.hyper_parameters = parse_hyperparameters(self.hyper_parameters)
        self.usage = count_or_none(self.usage.get("total_tokens") if isinstance(self.usage, dict) else self.usage)
        self.code, self.message = text_or_none(self.code), text_or_none(self.message)


class DashScopeJobPage(msgspec.Struct):
    """A page of fine-tuning jobs."""

    jobs: list[DashScopeJob]
    page_size: int | None = None
    total: int | None = None

    @property
    def items(self) -> list[tuple[str, DashScopeJob]]:
        return [(job.job_id, job) for job in self.jobs]


class DashScopeLog(msgspec.Struct):
    """Some lines of a job's log."""

    logs: list[Any]
    total: int | None = None


class DashScopeModel(msgspec.Struct):
    """A model of the catalogue."""

    model: RemoteId


class DashScopeModels(msgspec.Struct):
    """Models of the catalogue."""

    models: list[DashScopeModel]


class FileResponse(DashScopeEnvelope, kw_only=True):
    """A file in its envelope."""

    data: DashScopeFile


class FilePageResponse(DashScopeEnvelope, kw_only=True):
    """A page of files in its envelope."""

    data: DashScopeFilePage


class UploadResponse(DashScopeEnvelope, kw_only=True):
    """The outcome of an upload in its envelope."""

    data: DashScopeUpload


class JobResponse(DashScopeEnvelope, kw_only=True):
    """A job in its envelope."""

    output: DashScopeJob


class JobPageResponse(DashScopeEnvelope, kw_only=True):
    """A page of jobs in its envelope."""

    output: DashScopeJobPage


class LogResponse(DashScopeEnvelope, kw_only=True):
    """Lines of a log in their envelope."""

    output: DashScopeLog


class ModelsResponse(DashScopeEnvelope, kw_only=True):
    """Models in their envelope."""

    output: DashScopeModels


FILE_DECODER: Final = msgspec.json.Decoder(FileResponse, strict=False)
FILE_PAGE_DECODER: Final = msgspec.json.Decoder(FilePageResponse, strict=False)
UPLOAD_DECODER: Final = msgspec.json.Decoder(UploadResponse, strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(JobResponse, strict=False)
JOB_PAGE_DECODER: Final = msgspec.json.Decoder(JobPageResponse, strict=False)
LOG_DECODER: Final = msgspec.json.Decoder(LogResponse, strict=False)
MODELS_DECODER: Final = msgspec.json.Decoder(ModelsResponse, strict=False)
