"""What the accounts file says about deployments, by run. It is in memory: a database lost or old changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, field


class RunDeployments(Struct, frozen=True, kw_only=True):
    """The deployments of one run of the accounts file."""

    run_id: RunId
    specs: Mapping[ProviderName, DeploymentSpec] = field(default_factory=dict)


class RunDeploymentTable:
    """The deployments of the runs in force. Filled whenever the accounts file is applied."""

    def __init__(self) -> None:
        self._by_name: dict[str, RunDeployments] = {}
        self._limits_usd: Mapping[str, float | None] = {}

    def apply(self, runs: Mapping[str, RunDeployments], limits_usd: Mapping[str, float | None]) -> None:
        """Replace the entries of the applied runs, by name, and drop those of runs that the file no longer has.

        `limits_usd` has the `max_total_usd` of every run of the file, also of one that was not applied.
        """
        kept = {name: each for name, each in self._by_name.items() if name in limits_usd}
        self._by_name = kept | dict(runs)
        self._limits_usd = dict(limits_usd)

    def find(self, run_id: RunId) -> RunDeployments | None:
        """Return the entry of the run; None if the accounts file does not describe it now."""
        return next((each for each in self._by_name.values() if each.run_id == run_id), None)

    def build_requested(self, job: Job, now: float) -> Deployment | None:
        """Return the deployment that the run requests for a job that has just succeeded, if there is one."""
        run = self.find(job.run_id)
        spec = run.specs.get(job.provider) if run else None
        if spec is None or job.state is not JobState.SUCCEEDED or not job.fine_tuned_model:
            return None
        return build_deployment(job, spec, now=now)

    def knows_limit(self, run: Run) -> bool:
        """Return whether the accounts file describes the run, so that it is known what the run may cost."""
        return run.current and run.name in self._limits_usd

    def find_limit_usd(self, run: Run) -> float | None:
        """Return what the run and its deployments may cost together; None: no limit, or an approval without one."""
        limit = self._limits_usd.get(run.name)
        if limit is None or run.approved_at is None:
            return limit
        return None if run.approved_usd is None else max(limit, run.approved_usd)
