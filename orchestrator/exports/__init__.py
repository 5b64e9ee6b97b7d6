"""Exports: the model ids in the forms that other programs read. Pure: the read model in, text out.

A key is never in it, only where it is found. Whatever an account is called and a provider answers, the text is well
formed: every name and id passes the form's own quoting.
"""

from orchestrator.exports.formats import MEDIA_TYPES, ExportFormat, ExportResult, export
from orchestrator.exports.model_set import ModelSet, left_out_reason, select_models

__all__ = ["MEDIA_TYPES", "ExportFormat", "ExportResult", "ModelSet", "export", "left_out_reason", "select_models"]
