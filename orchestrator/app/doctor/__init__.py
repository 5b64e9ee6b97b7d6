"""Doctor: looks at everything a run depends on, one diagnosis a thing, and changes nothing.

What is wrong with one thing does not keep the others from being looked at, as far as they do not depend on it.
"""

from orchestrator.app.doctor.diagnosis import Diagnosis, DiagnosisStatus
from orchestrator.app.doctor.runner import run_checks

__all__ = ["Diagnosis", "DiagnosisStatus", "run_checks"]
