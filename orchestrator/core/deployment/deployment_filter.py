"""The filter of lists of deployments, as on the dashboard, in the API and on the command line."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.structs import Struct


class DeploymentFilter(Struct, frozen=True, kw_only=True):
    """Which deployments are listed. An empty field matches every deployment."""

    accounts: Collection[str] = ()
    state: str = ""
    provider: str = ""
    run: str = ""
    """Name or id of the run that created the job."""
    with_ended: bool = False
    """Whether deployments that have ended are listed, too; a state alone decides for itself."""
