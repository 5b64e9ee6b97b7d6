"""Loop: the parts of the service put together, and which tick does what."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app import crash
from orchestrator.core.watch import Watch
from orchestrator.daemon.courier import Courier
from orchestrator.daemon.lifetimes import Lifetimes
from orchestrator.daemon.loading import loading
from orchestrator.daemon.missing_keys import KEY_CHECK_SECONDS
from orchestrator.daemon.presence import Presence
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.retention import Retention
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.daemon.service import Converge, Service
from orchestrator.daemon.steps import Pace
from orchestrator.dataset.retirements import load_retirements
from orchestrator.dispatch.base import Dispatch
from orchestrator.dispatch.embedded import EmbeddedDispatch
from orchestrator.store import waits

if TYPE_CHECKING:
    from orchestrator.app.wiring import App

SWEEP_SECONDS = 1.0
PRUNE_SECONDS = 60.0
LIFETIME_SECONDS = 60.0  # between two looks for models that were not looked at for a day
FORGET_SECONDS = 3600.0


def build_service(app: App, converge: Converge, watch: Watch) -> Service:
    """The service of this process, ready to be started."""
    app.connections.watch = watch
    presence = Presence(
        app.database,
        replica=app.replica,
        host=socket.gethostname(),
        pid=os.getpid(),
        clock=app.clock,
        silence=app.settings.intent_seconds,
    )
    scheduler = Scheduler(clock=app.clock, log=app.log, watch=watch)
    _follow_clock(app, scheduler, presence)
    _care_for_what_is_over(app, scheduler)
    service = Service(
        converge=converge,
        signature=lambda: _signature(app.settings.accounts_file),
        dataset=app.dataset_watcher,
        dispatch=_dispatch(app, scheduler, presence),
        reconciler=_reconciler(app, watch, clock_agrees=lambda: presence.clock_agrees and scheduler.is_clock_settled),
        presence=presence,
        courier=Courier(app.database, app.outgoing.by_name, now=app.clock.now, jitter=random.random, log=app.log),
        scheduler=scheduler,
        moderation=app.moderation,
        now=app.clock.now,
        redact=app.redact,
        log=app.log,
    )
    app.moderation.nudge = service.nudge
    _watch_missing_keys(app, scheduler, service)
    return service


def _watch_missing_keys(app: App, scheduler: Scheduler, service: Service) -> None:
    """Read the accounts file again when the key of a held account has appeared."""

    async def watch() -> None:
        if found := await app.missing_keys.find_new():
            app.log.info("key.found", accounts=found)
            await service.reload()

    scheduler.every(KEY_CHECK_SECONDS, "missing keys", watch)


def _reconciler(app: App, watch: Watch, clock_agrees: Callable[[], bool]) -> Reconciler:
    settings = app.settings
    return Reconciler(
        app.database,
        app.connections.by_name,
        load=loading(app.database),
        identify=app.connections.identify,
        redact=app.redact,
        clock=app.clock,
        jitter=random.random,
        pace=Pace(
            poll_min=settings.poll_min_seconds,
            poll_max=settings.poll_max_seconds,
            intent=settings.intent_seconds,
            stalled=settings.stalled_after_hours * 3600,
        ),
        datasets=app.datasets,
        replica=app.replica,
        log=app.log,
        watch=watch,
        clock_agrees=clock_agrees,
        reached=crash.crash_at(os.environ.get(crash.VARIABLE)),
    )


def _dispatch(app: App, scheduler: Scheduler, presence: Presence) -> Dispatch:
    settings, now = app.settings, app.clock.now
    if app.database.is_sqlite:
        return EmbeddedDispatch(
            app.database, now=now, most=settings.max_in_flight, server_of=app.connections.server_of
        )
    from orchestrator.dispatch.pgqueuer import PgqueuerDispatch  # an extra

    dispatch = PgqueuerDispatch(
        app.database,
        replica=app.replica,
        now=now,
        most=settings.max_in_flight,
        silence=settings.intent_seconds,
        log=app.log,
        server_of=app.connections.server_of,
        clock_agrees=lambda: presence.clock_agrees,
    )
    scheduler.every(SWEEP_SECONDS, "sweep", dispatch.sweep)
    scheduler.every(PRUNE_SECONDS, "prune", dispatch.prune)
    return dispatch


def _follow_clock(app: App, scheduler: Scheduler, presence: Presence) -> None:
    """What this machine's clock being set means for what is stored."""

    async def follow(step: float) -> None:
        if not app.database.is_sqlite:  # other replicas and the server have clocks of their own
            await presence.check_clock()
            return
        await presence.beat()
        await app.database.write(lambda connection: waits.follow_clock(connection, step, app.clock.now()))

    scheduler.on_clock_set(follow)


def _care_for_what_is_over(app: App, scheduler: Scheduler) -> None:
    """Finished models are looked at once a day; old events are forgotten where that is wished for."""
    models = Lifetimes(
        app.database,
        app.connections.by_name,
        retirements=partial(load_retirements, app.settings.retirements_file),
        clock=app.clock,
        log=app.log,
    )
    scheduler.every(LIFETIME_SECONDS, "lifetimes", models.look)
    if (keep_days := app.settings.events_keep_days) is not None:
        retention = Retention(app.database, keep_days=keep_days, now=app.clock.now, log=app.log)
        scheduler.every(FORGET_SECONDS, "forget", retention.forget)


def _signature(accounts_file: Path) -> Hashable:
    """What changes when the accounts file does."""
    try:
        stat = accounts_file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
