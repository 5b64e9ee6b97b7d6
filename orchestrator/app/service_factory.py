"""Loop: the parts of the service put together, and which tick does what."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app import failpoints
from orchestrator.core.jobs.observer import ServiceObserver
from orchestrator.daemon.delivery_worker import DeliveryWorker
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.daemon.job_loader import build_job_loader
from orchestrator.daemon.maintenance.event_retention import EventPurger
from orchestrator.daemon.maintenance.model_expiry import ModelExpiryChecker
from orchestrator.daemon.missing_key_watcher import KEY_CHECK_SECONDS
from orchestrator.daemon.provider_steps import StepTiming
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.daemon.service import Converge, Service
from orchestrator.dispatch.base import Dispatcher
from orchestrator.dispatch.embedded import EmbeddedDispatcher
from orchestrator.inputs.retirements import load_retirements
from orchestrator.store.queries import clock_adjustment

if TYPE_CHECKING:
    from orchestrator.app.wiring import App

RESCUE_INTERVAL_SECONDS = 1.0
QUEUE_PRUNE_INTERVAL_SECONDS = 60.0
MODEL_EXPIRY_INTERVAL_SECONDS = 60.0  # between two looks for models that were not looked at for a day
EVENT_PURGE_INTERVAL_SECONDS = 3600.0


def build_service(app: App, converge: Converge, observer: ServiceObserver) -> Service:
    """The service of this process, ready to be started."""
    app.connections.observer = observer
    presence = ReplicaHeartbeat(
        app.database,
        replica=app.replica_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        clock=app.clock,
        timeout_seconds=app.settings.intent_seconds,
    )
    scheduler = Scheduler(clock=app.clock, log=app.log, observer=observer)
    _handle_clock_changes(app, scheduler, presence)
    _schedule_maintenance(app, scheduler)
    service = Service(
        converge=converge,
        signature=lambda: _accounts_file_signature(app.settings.accounts_file),
        dataset_watcher=app.dataset_watcher,
        dispatch=_build_dispatch(app, scheduler, presence),
        reconciler=_build_reconciler(
            app, observer, clock_agrees=lambda: presence.clock_agrees and scheduler.is_clock_settled
        ),
        heartbeat=presence,
        delivery_worker=DeliveryWorker(
            app.database, app.notification_targets.by_name, now=app.clock.now, jitter=random.random, log=app.log
        ),
        scheduler=scheduler,
        moderation_worker=app.moderation_worker,
        now=app.clock.now,
        redact=app.redact,
        log=app.log,
    )
    app.moderation_worker.on_passed = service.wake
    _schedule_missing_key_check(app, scheduler, service)
    return service


def _schedule_missing_key_check(app: App, scheduler: Scheduler, service: Service) -> None:
    """Read the accounts file again when the key of a held account has appeared."""

    async def watch() -> None:
        if found := await app.missing_key_watcher.find_new_keys():
            app.log.info("key.found", accounts=found)
            await service.reload()

    scheduler.schedule_every(KEY_CHECK_SECONDS, "missing keys", watch)


def _build_reconciler(app: App, observer: ServiceObserver, clock_agrees: Callable[[], bool]) -> Reconciler:
    settings = app.settings
    return build_reconciler(
        app.database,
        app.connections.by_name,
        load=build_job_loader(app.database),
        identify=app.connections.identify,
        redact=app.redact,
        clock=app.clock,
        jitter=random.random,
        timing=StepTiming(
            poll_min_seconds=settings.poll_min_seconds,
            poll_max_seconds=settings.poll_max_seconds,
            intent_seconds=settings.intent_seconds,
            stalled_after_seconds=settings.stalled_after_hours * 3600,
        ),
        datasets=app.dataset_folder,
        replica=app.replica_id,
        log=app.log,
        observer=observer,
        clock_agrees=clock_agrees,
        failpoint=failpoints.build_failpoint(os.environ.get(failpoints.FAILPOINT_VARIABLE)),
    )


def _build_dispatch(app: App, scheduler: Scheduler, presence: ReplicaHeartbeat) -> Dispatcher:
    settings, now = app.settings, app.clock.now
    if app.database.is_sqlite:
        return EmbeddedDispatcher(
            app.database, now=now, max_in_flight=settings.max_in_flight, find_server=app.connections.find_server
        )
    from orchestrator.dispatch.pgqueuer import PgqueuerDispatcher  # an extra

    dispatch = PgqueuerDispatcher(
        app.database,
        replica=app.replica_id,
        now=now,
        max_in_flight=settings.max_in_flight,
        replica_timeout_seconds=settings.intent_seconds,
        log=app.log,
        find_server=app.connections.find_server,
        clock_agrees=lambda: presence.clock_agrees,
    )
    scheduler.schedule_every(RESCUE_INTERVAL_SECONDS, "rescue lost wake-ups", dispatch.rescue_lost)
    scheduler.schedule_every(QUEUE_PRUNE_INTERVAL_SECONDS, "clear queue log", dispatch.clear_log)
    return dispatch


def _handle_clock_changes(app: App, scheduler: Scheduler, presence: ReplicaHeartbeat) -> None:
    """What this machine's clock being set means for what is stored."""

    async def follow(step: float) -> None:
        if not app.database.is_sqlite:  # other replicas and the server have clocks of their own
            await presence.check_clock()
            return
        await presence.beat()
        await app.database.write(lambda tx: clock_adjustment.apply_clock_step(tx, step, app.clock.now()))

    scheduler.on_clock_set(follow)


def _schedule_maintenance(app: App, scheduler: Scheduler) -> None:
    """Finished models are looked at once a day; old events are forgotten where that is wished for."""
    models = ModelExpiryChecker(
        app.database,
        app.connections.by_name,
        read_retirements=partial(load_retirements, app.settings.retirements_file),
        clock=app.clock,
        log=app.log,
    )
    scheduler.schedule_every(MODEL_EXPIRY_INTERVAL_SECONDS, "check model expiry", models.check_due_models)
    if (keep_days := app.settings.events_keep_days) is not None:
        retention = EventPurger(app.database, keep_days=keep_days, now=app.clock.now, log=app.log)
        scheduler.schedule_every(EVENT_PURGE_INTERVAL_SECONDS, "purge events", retention.purge)


def _accounts_file_signature(accounts_file: Path) -> Hashable:
    """What changes when the accounts file does."""
    try:
        stat = accounts_file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
