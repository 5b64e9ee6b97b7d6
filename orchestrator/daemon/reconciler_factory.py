"""Builds a reconciler together with the parts that it works with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from structlog.stdlib import BoundLogger

from orchestrator.core.clock import Clock
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_files import DatasetFiles
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.daemon.duration_estimator import DurationEstimator
from orchestrator.daemon.job_loader import JobLoader
from orchestrator.daemon.outcome_recorder import OutcomeRecorder
from orchestrator.daemon.provider_steps import Identify, ProviderSteps, StepTiming
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.planning.base_models import TimeLimit
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database


def build_reconciler(
    database: Database,
    connections: Mapping[str, ProviderConnection],
    *,
    load: JobLoader,
    identify: Identify,
    redact: Redactor,
    clock: Clock,
    jitter: Callable[[], float],
    timing: StepTiming,
    datasets: Path,
    replica: str,
    log: BoundLogger,
    observer: ServiceObserver = NULL_OBSERVER,
    time_limit: TimeLimit = asyncio.timeout,
    clock_agrees: Callable[[], bool] = lambda: True,
    failpoint: Callable[[str], None] = lambda point: None,
    run_deployments: RunDeploymentTable | None = None,
) -> Reconciler:
    """Return the reconciler of one replica. `datasets` is the folder of the canonical JSONL files."""
    steps = _build_steps(database, identify, clock, jitter, timing, log, time_limit)
    recorder = OutcomeRecorder(
        database,
        connections,
        redact=redact,
        clock=clock,
        replica=replica,
        log=log,
        observer=observer,
        run_deployments=run_deployments,
    )
    return Reconciler(
        connections,
        load=load,
        steps=steps,
        recorder=recorder,
        dataset_files=DatasetFiles(database, datasets, log),
        clock=clock,
        jitter=jitter,
        timing=timing,
        log=log,
        observer=observer,
        clock_agrees=clock_agrees,
        failpoint=failpoint,
    )


def _build_steps(
    database: Database,
    identify: Identify,
    clock: Clock,
    jitter: Callable[[], float],
    timing: StepTiming,
    log: BoundLogger,
    time_limit: TimeLimit,
) -> ProviderSteps:
    return ProviderSteps(
        identify=identify,
        clock=clock,
        jitter=jitter,
        timing=timing,
        duration_estimator=DurationEstimator(database),
        log=log,
        time_limit=time_limit,
    )
