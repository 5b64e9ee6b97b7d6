"""Everything that the views of jobs show besides the jobs themselves, loaded with one query for each kind of fact."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.core.account_state import AccountState
from orchestrator.core.comparison.gate import RunVerdicts
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.status.serving import load_deployments
from orchestrator.status.views import Checkpoints, JobView, job_view
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.queries import events
from orchestrator.store.queries.comparisons import acceptances
from orchestrator.store.queries.deployments import checkpoints


class JobFacts(Struct, frozen=True, kw_only=True):
    """Facts about some jobs, by job id; those about comparisons by run id."""

    latest_notes: Mapping[JobId, str]
    deployments: Mapping[JobId, Deployment]
    checkpoints: Mapping[JobId, Checkpoints]
    comparisons: Mapping[str, RunVerdicts]

    def build_view(self, job: Job, run: Run, account_state: AccountState, now: float) -> JobView:
        """Build the view of one of these jobs in a run, which may be another one than that of `job.run_id`."""
        return job_view(
            job,
            run,
            account_state,
            self.latest_notes.get(job.id),
            now,
            self.deployments.get(job.id),
            self.checkpoints.get(job.id, ()),
            self.comparisons[run.id],
        )


async def load_job_facts(
    connection: StoreConnection,
    runs: Collection[str],
    jobs: Collection[Job],
    comparisons: Mapping[str, RunVerdicts] | None = None,
) -> JobFacts:
    """Load the facts about these jobs, which belong to these runs; `comparisons` if they are known already."""
    ids = [job.id for job in jobs]
    if comparisons is None:
        comparisons = {run: await acceptances.load_run_verdicts(connection, run) for run in runs}
    return JobFacts(
        latest_notes=await events.get_latest_notes(connection, ids),
        deployments=await load_deployments(connection, jobs),
        checkpoints=await checkpoints.list_by_jobs(connection, ids),
        comparisons=comparisons,
    )
