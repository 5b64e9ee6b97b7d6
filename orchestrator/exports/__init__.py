"""Exports of the model ids in formats that other programs read. Pure functions: read model in, text out.

Exports never contain a key, only where it is found. The text is well-formed whatever an account is called or a
provider returns: every name and id passes the quoting of its format.
"""

from orchestrator.exports.formats import MEDIA_TYPES, ExportFormat, ExportResult, convert_to_ascii, export
from orchestrator.exports.model_set import ModelSet, left_out_reason, select_checkpoints, select_models
from orchestrator.exports.plain import list_checkpoint_rows, list_table_rows

__all__ = [
    "MEDIA_TYPES",
    "ExportFormat",
    "ExportResult",
    "ModelSet",
    "convert_to_ascii",
    "export",
    "left_out_reason",
    "list_checkpoint_rows",
    "list_table_rows",
    "select_checkpoints",
    "select_models",
]
