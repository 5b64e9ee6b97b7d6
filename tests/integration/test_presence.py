from __future__ import annotations

import pytest

from orchestrator.app import SystemClock
from orchestrator.core.errors import ConfigError
from orchestrator.daemon.presence import Presence
from orchestrator.store import replicas
from orchestrator.store.database import Database

now = SystemClock().now


def presence(database: Database, ahead: float = 0.0) -> Presence:
    return Presence(database, replica="r", host="h", pid=7, now=lambda: now() + ahead, silence=5)


async def test_it_beats_and_leaves(database: Database) -> None:
    present = presence(database)
    for _ in range(2):
        await present.beat()
    async with database.read() as connection:
        [alive] = await replicas.live(connection, now())
    assert (alive.id, alive.host, alive.pid) == ("r", "h", 7)
    assert alive.started_at < alive.seen_at <= now() < alive.alive_until <= now() + 5
    await present.leave()
    async with database.read() as connection:
        assert await replicas.live(connection, now()) == []


async def test_a_clock_that_is_right_is_fine(database: Database) -> None:
    await presence(database, ahead=0.5).check_clock()


@pytest.mark.parametrize(("ahead", "said"), [(5.0, r"5\.\d s ahead of"), (-5.0, r"[45]\.\d s behind")])
async def test_a_replica_whose_clock_is_wrong_does_not_start(postgres_url: str, ahead: float, said: str) -> None:
    """What is still under way elsewhere is told by the time it may last."""
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    with pytest.raises(ConfigError, match=said):
        await presence(database, ahead).check_clock()
    await database.close()
