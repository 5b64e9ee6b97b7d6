"""Status: what anyone may see. One read model for command line, API, dashboard, metrics and exports.

`look` is the whole picture, every job in it; `glance` and `list_jobs` let the database choose and count, for those
who show a part. A read never changes anything.
"""

from orchestrator.status.curves import losses_of_job, losses_of_run
from orchestrator.status.listing import Cause, Glance, Listing, Share, glance, list_jobs, names
from orchestrator.status.views import Health, JobView, RunView, Status, iso, plain
from orchestrator.status.whole import SCHEMA, as_json, look

__all__ = [
    "SCHEMA",
    "Cause",
    "Glance",
    "Health",
    "JobView",
    "Listing",
    "RunView",
    "Share",
    "Status",
    "as_json",
    "glance",
    "iso",
    "list_jobs",
    "look",
    "losses_of_job",
    "losses_of_run",
    "names",
    "plain",
]
