"""Removes keys from every value and error that a provider returns.

A provider chooses its ids, status words and messages. If it echoed a key in one of them, the key would be stored in
the database and shown in the status, so every text is redacted here, once. An id that contained a key is no longer
valid at the provider: the next call with it fails, which is better than a key in the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from msgspec.structs import replace

from orchestrator.core.errors import OrchestratorError, ProviderError
from orchestrator.core.inference import MAX_REPLY_CHARACTERS, ChatReply
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct
from orchestrator.providers.base import DatasetFile, Provider, UploadStateStore

MAX_PROVIDER_TEXT_CHARACTERS: Final = 2000  # of one text of a provider; at most 500 of them are shown anywhere


def redact_provider(provider: Provider, redact: Redactor) -> Provider:
    """Return the provider with its results and errors redacted and limited in length."""
    return cast(Provider, _RedactedProvider(provider, redact))


class _RedactedProvider(Struct, frozen=True):
    """Wraps every coroutine method that the dialect has, optional ones included."""

    provider: Provider
    redact: Redactor

    def __getattr__(self, operation: str) -> Any:
        offered = getattr(self.provider, operation)
        if not iscoroutinefunction(offered):
            return offered

        async def call(*arguments: Any, **options: Any) -> Any:
            arguments = tuple(_with_redacted_upload_state(argument, self.redact) for argument in arguments)
            try:
                answer = await offered(*arguments, **options)
            except OrchestratorError as error:
                _redact_error(error, self.redact)
                raise
            return redact_value(answer, self.redact)

        return call


class _RedactedUploadState(Struct, frozen=True):
    """Stores multipart uploads whose ids contain no key. Any other is started again after a restart."""

    upload_state: UploadStateStore
    redact: Redactor

    async def load(self) -> MultipartUpload | None:
        return await self.upload_state.load()

    async def save(self, upload: MultipartUpload | None) -> None:
        await self.upload_state.save(upload if redact_value(upload, self.redact) == upload else None)


def redact_value(value: Any, redact: Redactor) -> Any:
    """Return the value with every text in it shortened and redacted; the same object if nothing changes."""
    if type(value) is str:  # not a StrEnum, whose values are our own
        return redact.truncate(value, MAX_PROVIDER_TEXT_CHARACTERS)
    if isinstance(value, Mapping):
        return {redact_value(key, redact): redact_value(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([redact_value(inner, redact) for inner in value])
    if not isinstance(value, Struct):
        return value
    if isinstance(value, ChatReply):  # its text is what was asked for, not a message about it
        return replace(_redact_fields(value, redact), text=redact.truncate(value.text, MAX_REPLY_CHARACTERS))
    return _redact_fields(value, redact)


def _redact_fields(value: Struct, redact: Redactor) -> Struct:
    before = {name: getattr(value, name) for name in value.__struct_fields__}
    changes = {name: text for name, inner in before.items() if (text := redact_value(inner, redact)) != inner}
    return replace(value, **changes) if changes else value


def _redact_error(error: OrchestratorError, redact: Redactor) -> None:
    error.message = redact.truncate(error.message, MAX_PROVIDER_TEXT_CHARACTERS)
    error.args = (error.message,)
    error.hint = redact.truncate(error.hint, MAX_PROVIDER_TEXT_CHARACTERS)  # it may name remote jobs or files
    if isinstance(error, ProviderError):
        error.request_id = redact_value(error.request_id, redact)
        error.code = redact_value(error.code, redact)


def _with_redacted_upload_state(argument: Any, redact: Redactor) -> Any:
    if isinstance(argument, DatasetFile) and argument.upload_state is not None:
        return replace(argument, upload_state=_RedactedUploadState(argument.upload_state, redact))
    return argument
