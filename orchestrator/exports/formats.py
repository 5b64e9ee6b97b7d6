"""The export formats, and which accounts each of them lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.exports.litellm import render_litellm
from orchestrator.exports.model_set import ModelSet, has_model, is_servable
from orchestrator.exports.plain import render_csv, render_env, render_json, render_table, render_toml
from orchestrator.exports.sillytavern import render_sillytavern


class ExportFormat(StrEnum):
    """A format of the model list. The last two are configurations of other programs."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ENV = "env"
    TOML = "toml"
    LITELLM = "litellm"
    SILLYTAVERN = "sillytavern"

    @property
    def needs_accounts(self) -> bool:
        """Whether the format contains key references and server URLs, which only the accounts file has."""
        return self in {ExportFormat.LITELLM, ExportFormat.SILLYTAVERN}


@dataclass(frozen=True, slots=True)
class _FormatInfo:
    """How a format is rendered; without `lists_every_account` only accounts with a servable model are listed."""

    render: Callable[[ModelSet], str]
    media_type: str
    lists_every_account: bool = False


_FORMATS: Final[Mapping[ExportFormat, _FormatInfo]] = {
    ExportFormat.TABLE: _FormatInfo(render_table, "text/plain", lists_every_account=True),
    ExportFormat.JSON: _FormatInfo(render_json, "application/json", lists_every_account=True),
    ExportFormat.CSV: _FormatInfo(render_csv, "text/csv", lists_every_account=True),
    ExportFormat.ENV: _FormatInfo(render_env, "text/plain"),
    ExportFormat.TOML: _FormatInfo(render_toml, "application/toml"),
    ExportFormat.LITELLM: _FormatInfo(render_litellm, "application/yaml"),
    ExportFormat.SILLYTAVERN: _FormatInfo(render_sillytavern, "application/sillytavern+json"),
}

MEDIA_TYPES: Final = frozenset(kind.media_type for form, kind in _FORMATS.items() if form is not ExportFormat.JSON)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An exported text with its media type, and the models that it lists and leaves out."""

    text: str
    media_type: str
    models: ModelSet


def export(export_format: ExportFormat, models: ModelSet, *, include_unservable: bool = False) -> ExportResult:
    """Render the models. `include_unservable` lists models that exist but cannot be called as they are, too."""
    kind = _FORMATS[export_format]
    if not kind.lists_every_account:
        models = models.with_only(has_model if include_unservable else is_servable)
    return ExportResult(kind.render(models), kind.media_type, models)
