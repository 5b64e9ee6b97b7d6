from __future__ import annotations

import pytest

from orchestrator.app import SystemClock
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import ConfigError, DatabaseUnavailable, Failure
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.store.db.database import Database
from orchestrator.store.queries import replicas

now = SystemClock().now


class Clock(SystemClock):
    """The machine's, which a test sets."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def now(self) -> float:
        return super().now() + self.ahead


def presence(database: Database, ahead: float = 0.0, replica: str = "r") -> ReplicaHeartbeat:
    return ReplicaHeartbeat(database, replica=replica, host="h", pid=7, clock=Clock(ahead), timeout_seconds=5)


async def test_replica_is_live_until_it_leaves(database: Database) -> None:
    present = presence(database)
    await present.check_clock()
    for _ in range(2):
        await present.beat()
    async with database.read() as connection:
        [alive] = await replicas.list_live(connection, now())
    assert (alive.id, alive.host, alive.pid) == ("r", "h", 7)
    assert alive.started_at < alive.seen_at <= now() < alive.alive_until <= now() + 5
    await present.deregister()
    async with database.read() as connection:
        assert await replicas.list_live(connection, now()) == []


REFUSAL = ConfigRefusal(Failure("config_error", "line 3", "Correct it."), 100.0)


async def refusal(database: Database) -> ConfigRefusal | None:
    async with database.read() as connection:
        return await replicas.find_refusal(connection, now())


async def test_reload_error_is_stored_at_once_and_kept_by_heartbeats(database: Database) -> None:
    present = presence(database)
    await present.check_clock()
    await present.start()
    await present.set_refusal(REFUSAL)
    assert await refusal(database) == REFUSAL
    await present.beat()
    assert await refusal(database) == REFUSAL
    await present.set_refusal(None)
    assert await refusal(database) is None


async def test_unstored_reload_error_is_stored_by_the_next_heartbeat(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(change: object) -> None:
        raise DatabaseUnavailable("away")

    present = presence(database)
    await present.check_clock()
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", fail)
        with pytest.raises(DatabaseUnavailable):
            await present.set_refusal(REFUSAL)
    await present.beat()
    assert await refusal(database) == REFUSAL


async def test_start_clears_reload_errors_of_dead_replicas_only(database: Database) -> None:
    killed, other, started = (presence(database, replica=name) for name in ("killed", "other", "started"))
    for present in (killed, other, started):
        await present.check_clock()
    await killed.set_refusal(REFUSAL)
    await started.start()
    assert await refusal(database) is None

    await other.set_refusal(REFUSAL)
    await presence(database, replica="another").start()
    await other.beat()
    assert await refusal(database) == REFUSAL


async def test_small_clock_difference_is_accepted(database: Database) -> None:
    await presence(database, ahead=0.5).check_clock()


@pytest.mark.parametrize(("ahead", "said"), [(5.0, r"[45]\.\d s ahead of"), (-5.0, r"[45]\.\d s behind")])
async def test_replica_with_a_wrong_clock_does_not_start(postgres_url: str, ahead: float, said: str) -> None:
    """What is still under way elsewhere is told by the time it may last."""
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    with pytest.raises(ConfigError, match=said):
        await presence(database, ahead).check_clock()
    await database.close()


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_replica_rejects_its_clock_after_a_change(postgres_url: str, step: float) -> None:
    """By a clock that is ahead the others are dead and their intents have ended."""
    database, clock = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://")), Clock(0.0)
    await database.migrate()
    present = ReplicaHeartbeat(database, replica="r", host="h", pid=7, clock=clock, timeout_seconds=5)
    agreed = [present.clock_agrees]
    await present.check_clock()
    agreed.append(present.clock_agrees)
    clock.ahead = step
    agreed.append(present.clock_agrees)
    await present.beat()
    async with database.read() as connection:
        assert await replicas.list_live(connection, 0.0) == []
    with pytest.raises(ConfigError):
        await present.check_clock()
    clock.ahead = 0.0
    agreed.append(present.clock_agrees)  # it checks first
    await present.check_clock()
    agreed.append(present.clock_agrees)
    assert agreed == [False, True, False, False, True]
    await present.beat()
    async with database.read() as connection:
        assert len(await replicas.list_live(connection, 0.0)) == 1
    await database.close()


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_an_outage_ends_while_the_clock_disagrees(postgres_url: str, step: float) -> None:
    """Only a committed change ends an outage, and with a wrong clock no job makes one."""
    database, clock = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://")), Clock(0.0)
    await database.migrate()
    present = ReplicaHeartbeat(database, replica="r", host="h", pid=7, clock=clock, timeout_seconds=5)
    await present.check_clock()
    await present.beat()
    async with database.read() as connection:
        [before] = await replicas.list_live(connection, 0.0)
    clock.ahead = step
    database.outage.begin(OSError("away"))
    assert not await database.is_reachable()
    await present.beat()
    assert await database.is_reachable()
    async with database.read() as connection:
        assert await replicas.list_live(connection, 0.0) == [before], "no time of a wrong clock is written"
    await database.close()
