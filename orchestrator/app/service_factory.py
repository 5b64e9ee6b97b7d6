"""Creates the service of a process: its workers, its dispatcher, and the schedule of its ticks."""

# Theory of operation
#
# A service has five kinds of parts:
#
#   dispatcher   wakes up jobs whose time has come. SQLite: a loop in this process. PostgreSQL: a queue that the
#   replicas
#                share, so that each job is handled by one of them.
#   reconciler   handles one job at a time: decides the next action and performs it at the provider.
#   deployments  a dispatcher and a reconciler of their own (daemon/deployments).
#   workers      moderation, comparisons, delivery of notifications, the heartbeat of this replica.
#   scheduler    calls the periodic functions ("ticks") as tasks of the event loop, so that a tick must not block.
#
# Clocks. Intents and wake-ups are stored as wall-clock times. A replica whose clock differs from the database
# server's would take another replica's intent for expired and create a second, paid job. Hence `clock_agrees`: the
# reconciler submits nothing while the heartbeat has found a difference or the scheduler has just seen the clock being
# set. On SQLite this process is alone, and the stored times are shifted by the step instead.

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path

from structlog.stdlib import BoundLogger

from orchestrator.app import failpoints
from orchestrator.app.comparisons import ComparisonDesk
from orchestrator.app.connections import Connections
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.core.clock import Clock
from orchestrator.core.jobs.observer import ServiceObserver
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct
from orchestrator.daemon.comparisons.comparison_starter import ComparisonStarter
from orchestrator.daemon.comparisons.comparison_worker import ComparisonWorker
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.delivery_worker import DeliveryWorker
from orchestrator.daemon.deployments.deployment_worker import DeploymentWorker
from orchestrator.daemon.deployments.inventory import DeploymentInventory
from orchestrator.daemon.deployments.reconciler import DeploymentReconciler
from orchestrator.daemon.deployments.recorder import DeploymentRecorder
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.daemon.deployments.steps import DeploymentSteps
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.daemon.job_loader import build_job_loader
from orchestrator.daemon.maintenance.event_retention import EventPurger
from orchestrator.daemon.maintenance.model_expiry import ModelExpiryChecker
from orchestrator.daemon.missing_key_watcher import KEY_CHECK_SECONDS, MissingKeyWatcher
from orchestrator.daemon.moderation_pool import ModerationPool
from orchestrator.daemon.provider_steps import StepTiming
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.daemon.service import Converge, Service
from orchestrator.dispatch.base import Dispatcher
from orchestrator.dispatch.embedded import EmbeddedDispatcher
from orchestrator.inputs.retirements import load_retirements
from orchestrator.settings import Settings
from orchestrator.store.db.database import Database
from orchestrator.store.queries import clock_adjustment
from orchestrator.store.queries.deployments.deployment_requests import DueDeployments

RESCUE_INTERVAL_SECONDS = 1.0  # PostgreSQL: how often jobs of dead replicas are put back into the queue
QUEUE_PRUNE_INTERVAL_SECONDS = 60.0
MODEL_EXPIRY_INTERVAL_SECONDS = 60.0  # how often models are selected that were not checked for a day
EVENT_PURGE_INTERVAL_SECONDS = 3600.0
INVENTORY_INTERVAL_SECONDS = 5.0  # how often accounts are selected whose deployments were not listed for a day


class ServiceParts(Struct, frozen=True):
    """The parts of the process that a service uses. They exist before it, and outlive it."""

    settings: Settings
    database: Database
    clock: Clock
    log: BoundLogger
    redact: Redactor
    replica_id: str
    """Random; identifies this process in leases, events and heartbeats."""
    dataset_folder: Path
    """Folder of the canonical JSONL files that are uploaded."""
    connections: Connections
    run_deployments: RunDeploymentTable
    """The deployments that the accounts file requests; filled when it is applied."""
    notification_targets: NotificationTargets
    moderation_pool: ModerationPool
    missing_key_watcher: MissingKeyWatcher
    dataset_watcher: DatasetWatcher | None
    """None: changes of the chats are noticed at the next reload only."""
    comparison_desk: ComparisonDesk | None = None
    """None: the process does not ask models; `run` ends with its jobs."""


def build_service(
    parts: ServiceParts, converge: Converge, observer: ServiceObserver, *, deploys: bool = False
) -> Service:
    """Build the service, ready to be started.

    `converge` applies the accounts file. `observer` receives measurements. Without `deploys` no deployment is
    created: the process ends with its jobs, and nobody would stop the deployment.
    """
    parts.connections.observer = observer  # before `converge` creates connections, which copy it
    heartbeat = _build_heartbeat(parts)
    scheduler = Scheduler(clock=parts.clock, log=parts.log, observer=observer)
    _handle_clock_changes(parts, scheduler, heartbeat)
    _schedule_maintenance(parts, scheduler)
    if deploys:
        _schedule_inventory(parts, scheduler)

    def clock_agrees() -> bool:
        return heartbeat.clock_agrees and scheduler.is_clock_settled

    service = Service(
        converge=converge,
        signature=lambda: _accounts_file_signature(parts.settings.accounts_file),
        dataset_watcher=parts.dataset_watcher,
        dispatch=_build_dispatch(parts, scheduler, heartbeat),
        reconciler=_build_reconciler(parts, observer, clock_agrees),
        deployment_worker=_build_deployment_worker(parts, clock_agrees, creates=deploys),
        comparison_worker=_build_comparison_worker(parts, clock_agrees),
        comparison_starter=_build_comparison_starter(parts),
        heartbeat=heartbeat,
        delivery_worker=DeliveryWorker(
            parts.database,
            parts.notification_targets.by_name,
            now=parts.clock.now,
            jitter=random.random,
            log=parts.log,
        ),
        scheduler=scheduler,
        moderation_pool=parts.moderation_pool,
        now=parts.clock.now,
        redact=parts.redact,
        log=parts.log,
    )
    parts.moderation_pool.on_passed = service.wake
    _schedule_missing_key_check(parts, scheduler, service)
    return service


def _build_heartbeat(parts: ServiceParts) -> ReplicaHeartbeat:
    return ReplicaHeartbeat(
        parts.database,
        replica=parts.replica_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        clock=parts.clock,
        timeout_seconds=parts.settings.intent_seconds,
    )


def _build_reconciler(parts: ServiceParts, observer: ServiceObserver, clock_agrees: Callable[[], bool]) -> Reconciler:
    settings = parts.settings
    return build_reconciler(
        parts.database,
        parts.connections.by_name,
        load=build_job_loader(parts.database),
        identify=parts.connections.identify,
        redact=parts.redact,
        clock=parts.clock,
        jitter=random.random,
        timing=StepTiming(
            poll_min_seconds=settings.poll_min_seconds,
            poll_max_seconds=settings.poll_max_seconds,
            intent_seconds=settings.intent_seconds,
            stalled_after_seconds=settings.stalled_after_hours * 3600,
        ),
        datasets=parts.dataset_folder,
        replica=parts.replica_id,
        log=parts.log,
        observer=observer,
        clock_agrees=clock_agrees,
        failpoint=failpoints.build_failpoint(os.environ.get(failpoints.FAILPOINT_VARIABLE)),
        run_deployments=parts.run_deployments,
    )


def _build_deployment_worker(
    parts: ServiceParts, clock_agrees: Callable[[], bool], *, creates: bool
) -> DeploymentWorker:
    """Build the worker of the deployments. Their due ones are read from the table, on PostgreSQL too."""
    settings, connections = parts.settings, parts.connections
    recorder = DeploymentRecorder(
        parts.database,
        connections.by_name,
        parts.run_deployments,
        redact=parts.redact,
        clock=parts.clock,
        replica=parts.replica_id,
        log=parts.log,
    )
    reconciler = DeploymentReconciler(
        parts.database,
        connections.by_name,
        steps=DeploymentSteps(identify=connections.identify, clock=parts.clock, jitter=random.random),
        recorder=recorder,
        clock=parts.clock,
        jitter=random.random,
        intent_seconds=settings.intent_seconds,
        log=parts.log,
        creates=creates,
        clock_agrees=clock_agrees,
        failpoint=failpoints.build_failpoint(os.environ.get(failpoints.FAILPOINT_VARIABLE)),
    )
    dispatch = EmbeddedDispatcher(
        parts.database,
        now=parts.clock.now,
        max_in_flight=settings.max_in_flight,
        find_server=connections.find_server,
        queries=DueDeployments(),
    )
    return DeploymentWorker(dispatch, reconciler)


def _build_comparison_worker(parts: ServiceParts, clock_agrees: Callable[[], bool]) -> ComparisonWorker | None:
    desk = parts.comparison_desk
    if desk is None:
        return None
    return ComparisonWorker(
        parts.database,
        desk.create_runner(),
        load_probes=desk.load_probes,
        now=parts.clock.now,
        log=parts.log,
        clock_agrees=clock_agrees,
    )


def _build_comparison_starter(parts: ServiceParts) -> ComparisonStarter | None:
    desk = parts.comparison_desk
    if desk is None:
        return None
    return ComparisonStarter(
        parts.database, plan=lambda run_name: desk.plan(run_name, {}), now=parts.clock.now, log=parts.log
    )


def _build_dispatch(parts: ServiceParts, scheduler: Scheduler, heartbeat: ReplicaHeartbeat) -> Dispatcher:
    settings, now = parts.settings, parts.clock.now
    if parts.database.is_sqlite:
        return EmbeddedDispatcher(
            parts.database, now=now, max_in_flight=settings.max_in_flight, find_server=parts.connections.find_server
        )
    from orchestrator.dispatch.pgqueuer import PgqueuerDispatcher  # lazy: needs the extra `postgres`

    dispatch = PgqueuerDispatcher(
        parts.database,
        replica=parts.replica_id,
        now=now,
        max_in_flight=settings.max_in_flight,
        replica_timeout_seconds=settings.intent_seconds,
        log=parts.log,
        find_server=parts.connections.find_server,
        clock_agrees=lambda: heartbeat.clock_agrees,
    )
    scheduler.schedule_every(RESCUE_INTERVAL_SECONDS, "queue rescue", dispatch.rescue_lost)
    scheduler.schedule_every(QUEUE_PRUNE_INTERVAL_SECONDS, "queue pruning", dispatch.clear_log)
    return dispatch


def _handle_clock_changes(parts: ServiceParts, scheduler: Scheduler, heartbeat: ReplicaHeartbeat) -> None:
    """Correct stored times when this machine's clock is set (see the theory of operation)."""

    async def handle_step(step_seconds: float) -> None:
        if not parts.database.is_sqlite:  # stored times belong to the database server and to all replicas
            await heartbeat.check_clock()
            return
        await heartbeat.beat()
        await parts.database.write(lambda tx: clock_adjustment.apply_clock_step(tx, step_seconds, parts.clock.now()))

    scheduler.on_clock_set(handle_step)


def _schedule_missing_key_check(parts: ServiceParts, scheduler: Scheduler, service: Service) -> None:
    """Reload the accounts file when the key of a held account becomes available."""

    async def reload_on_new_key() -> None:
        if accounts := await parts.missing_key_watcher.find_new_keys():
            parts.log.info("key.found", accounts=accounts)
            await service.reload()

    scheduler.schedule_every(KEY_CHECK_SECONDS, "missing keys", reload_on_new_key)


def _schedule_maintenance(parts: ServiceParts, scheduler: Scheduler) -> None:
    """Schedule the daily check of finished models and, if configured, the deletion of old events."""
    expiry_checker = ModelExpiryChecker(
        parts.database,
        parts.connections.by_name,
        read_retirements=partial(load_retirements, parts.settings.retirements_file),
        clock=parts.clock,
        log=parts.log,
    )
    scheduler.schedule_every(MODEL_EXPIRY_INTERVAL_SECONDS, "model expiry", expiry_checker.check_due_models)
    if (keep_days := parts.settings.events_keep_days) is not None:
        purger = EventPurger(parts.database, keep_days=keep_days, now=parts.clock.now, log=parts.log)
        scheduler.schedule_every(EVENT_PURGE_INTERVAL_SECONDS, "event purge", purger.purge)


def _schedule_inventory(parts: ServiceParts, scheduler: Scheduler) -> None:
    """Schedule the comparison of what the providers have with what the database has."""
    connections = parts.connections
    inventory = DeploymentInventory(
        parts.database, connections.by_name, identify=connections.identify, clock=parts.clock, log=parts.log
    )
    scheduler.schedule_every(INVENTORY_INTERVAL_SECONDS, "deployments", inventory.check_due_accounts)


def _accounts_file_signature(accounts_file: Path) -> Hashable:
    """Return a value that changes when the accounts file changes; None if it cannot be read."""
    try:
        stat = accounts_file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
