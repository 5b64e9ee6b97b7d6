"""Forms: which there are, and what each leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.exports.litellm import as_litellm
from orchestrator.exports.plain import as_csv, as_env, as_json, as_table, as_toml
from orchestrator.exports.selection import Models, can_be_called, made
from orchestrator.exports.sillytavern import as_sillytavern


class Form(StrEnum):
    """For people, for programs, for a spreadsheet, for a shell; and two programs' own configurations."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ENV = "env"
    TOML = "toml"
    LITELLM = "litellm"
    SILLYTAVERN = "sillytavern"

    @property
    def names_keys(self) -> bool:
        """Whether it says where keys and servers are, and so wants to know the accounts."""
        return self in {Form.LITELLM, Form.SILLYTAVERN}


@dataclass(frozen=True, slots=True)
class _Kind:
    """`lists` every account, or only those whose models can be called: what configures another program."""

    render: Callable[[Models], str]
    media_type: str
    lists: bool = False


_KINDS: Final[Mapping[Form, _Kind]] = {
    Form.TABLE: _Kind(as_table, "text/plain", lists=True),
    Form.JSON: _Kind(as_json, "application/json", lists=True),
    Form.CSV: _Kind(as_csv, "text/csv", lists=True),
    Form.ENV: _Kind(as_env, "text/plain"),
    Form.TOML: _Kind(as_toml, "application/toml"),
    Form.LITELLM: _Kind(as_litellm, "application/yaml"),
    Form.SILLYTAVERN: _Kind(as_sillytavern, "application/sillytavern+json"),
}

MEDIA_TYPES: Final = frozenset(kind.media_type for form, kind in _KINDS.items() if form is not Form.JSON)


@dataclass(frozen=True, slots=True)
class Exported:
    """A text, what it is, and what it shows and leaves out."""

    text: str
    media_type: str
    models: Models


def export(form: Form, models: Models, *, everything: bool = False) -> Exported:
    """The models in that form. `everything`: also those that were made but cannot be called as they are."""
    kind = _KINDS[form]
    if not kind.lists:
        models = models.only(made if everything else can_be_called)
    return Exported(kind.render(models), kind.media_type, models)
