"""Status: what anyone may see. One read model for command line, API, dashboard, metrics and exports.

A read never changes anything.
"""

from orchestrator.status.views import Health, JobView, RunView, Status, iso, plain
from orchestrator.status.whole import SCHEMA, as_json, look

__all__ = ["SCHEMA", "Health", "JobView", "RunView", "Status", "as_json", "iso", "look", "plain"]
