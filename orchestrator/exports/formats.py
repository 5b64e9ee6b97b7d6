"""The export formats, and which accounts each of them lists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.structs import Struct
from orchestrator.exports.config_text import escape_non_ascii
from orchestrator.exports.litellm import render_litellm
from orchestrator.exports.model_set import ModelSet, apply_gate, has_model, is_servable
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
    def description(self) -> str:
        """What the format contains, in a few words."""
        return _FORMATS[self].description

    @property
    def file_name(self) -> str:
        """End of the name of a downloaded file."""
        return _FORMATS[self].file_name

    @property
    def lists_every_account(self) -> bool:
        """Whether accounts without a model that can be called are listed as well."""
        return _FORMATS[self].lists_every_account

    @property
    def needs_accounts(self) -> bool:
        """Whether the format contains key references and server URLs, which only the accounts file has."""
        return self in {ExportFormat.LITELLM, ExportFormat.SILLYTAVERN}

    @property
    def has_model_group(self) -> bool:
        """Whether each entry has the name of its model group: that of the run, or another one."""
        return self in {ExportFormat.LITELLM, ExportFormat.SILLYTAVERN}


class _FormatInfo(Struct, frozen=True):
    """How a format is rendered; without `lists_every_account` only accounts with a servable model are listed."""

    render: Callable[[ModelSet], str]
    media_type: str
    file_name: str  # end of the name of a downloaded file
    description: str  # of the content, as in docs/how-to/use-the-models.md
    lists_every_account: bool = False


_FORMATS: Final[Mapping[ExportFormat, _FormatInfo]] = {
    ExportFormat.TABLE: _FormatInfo(
        render_table, "text/plain", "models.txt", "table for people", lists_every_account=True
    ),
    ExportFormat.JSON: _FormatInfo(
        render_json, "application/json", "models.json", "model id by account", lists_every_account=True
    ),
    ExportFormat.CSV: _FormatInfo(render_csv, "text/csv", "models.csv", "for spreadsheets", lists_every_account=True),
    ExportFormat.ENV: _FormatInfo(render_env, "text/plain", "models.env", "variables for a shell"),
    ExportFormat.TOML: _FormatInfo(render_toml, "application/toml", "models.toml", "table for each account"),
    ExportFormat.LITELLM: _FormatInfo(render_litellm, "application/yaml", "litellm.yaml", "router configuration"),
    ExportFormat.SILLYTAVERN: _FormatInfo(
        render_sillytavern, "application/sillytavern+json", "sillytavern.json", "part of settings.json"
    ),
}

MEDIA_TYPES: Final = frozenset(kind.media_type for form, kind in _FORMATS.items() if form is not ExportFormat.JSON)


class ExportResult(Struct, frozen=True):
    """An exported text with its media type, and the models that it lists and leaves out."""

    text: str
    media_type: str
    file_name: str
    """Name for a downloaded file: the run's name in ASCII letters, and that of the format."""
    models: ModelSet


def export(export_format: ExportFormat, models: ModelSet, *, include_unservable: bool = False) -> ExportResult:
    """Render the models. `include_unservable` lists models that exist but cannot be called as they are, too.

    No format has a model that the gate of its run leaves out.
    """
    kind = _FORMATS[export_format]
    models = apply_gate(models)
    if not kind.lists_every_account:
        models = models.with_only(has_model if include_unservable else is_servable)
    run = re.sub(r"[^A-Za-z0-9]+", "-", models.name).strip("-")[:60]
    return ExportResult(kind.render(models), kind.media_type, f"{run}-{kind.file_name}".lstrip("-"), models)


def convert_to_ascii(export_format: ExportFormat, text: str) -> str:
    """Return the same document in ASCII, for a place that is not UTF-8. A format without escapes stays unchanged."""
    if _FORMATS[export_format].media_type.endswith("json"):
        return json.dumps(json.loads(text), indent=2) + "\n"
    if export_format in {ExportFormat.TOML, ExportFormat.LITELLM}:
        return escape_non_ascii(text)
    return text
