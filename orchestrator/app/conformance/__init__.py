"""The test of a live server against the minimal contract of docs/how-to/your-own-server.md.

It drives the server with the same provider code as the service, creates one job, and ends what it started.
"""

from orchestrator.app.conformance.conformance_tester import (
    ConformanceOptions,
    ConformanceTester,
    prepare_conformance_test,
)
from orchestrator.app.conformance.report import (
    ConformanceReport,
    ContractCheck,
    ContractResult,
    JobRecovery,
    report_to_json,
)

__all__ = [
    "ConformanceOptions",
    "ConformanceReport",
    "ConformanceTester",
    "ContractCheck",
    "ContractResult",
    "JobRecovery",
    "prepare_conformance_test",
    "report_to_json",
]
