"""Checks of everything a run depends on, for `orchestrator doctor`. They change nothing.

Each check yields diagnoses. A failed check does not prevent the others, except those that depend on it.
"""

from orchestrator.app.doctor.diagnosis import Diagnosis, DiagnosisStatus
from orchestrator.app.doctor.runner import run_checks

__all__ = ["Diagnosis", "DiagnosisStatus", "run_checks"]
