"""Replicas, leases, and what PostgreSQL does about one that is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from machine_speed import scale_seconds
from sqlalchemy import Connection, bindparam, insert, select, text
from store_values import NOW, a_job, fill, id_of

from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import DatabaseUnavailable, Failure
from orchestrator.dispatch import wakeup_queue
from orchestrator.status import get_status, status_to_dict
from orchestrator.store.db.database import Database, migrations_folder
from orchestrator.store.db.postgresql import SERVER_TIMEOUTS_MILLISECONDS
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import jobs, replicas
from orchestrator.store.queries import replicas as leases
from orchestrator.store.queries.replicas import Replica
from orchestrator.store.schema.tables import leases as lease_table

ALIVE = NOW + 60
_LOCK_LEASE = select(lease_table).where(lease_table.c.account == bindparam("name")).with_for_update()
_COUNT_BLOCKED = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)


def a_replica(name: str, **changes: Any) -> Replica:
    values: dict[str, Any] = {"host": "h", "pid": 1, "started_at": NOW, "seen_at": NOW, "alive_until": ALIVE}
    return Replica(name, **(values | changes))


async def beat(database: Database, *beating: Replica) -> None:
    for replica in beating:
        await database.write(lambda tx, replica=replica: replicas.save_heartbeat(tx, replica))  # type: ignore[misc]


async def live(database: Database, now: float = NOW) -> list[Replica]:
    async with database.read() as connection:
        return await replicas.list_live(connection, now)


class TestReplicas:
    async def test_each_beat_is_the_latest_sign_of_life(self, database: Database) -> None:
        later = a_replica("a", seen_at=NOW + 5, alive_until=NOW + 15)
        await beat(database, a_replica("a", alive_until=NOW + 10), a_replica("b", started_at=NOW - 1), later)
        assert await live(database) == [a_replica("b", started_at=NOW - 1), later]
        assert [replica.id for replica in await live(database, NOW + 15)] == ["b"]

    async def test_leaving_replica_is_removed_with_its_leases(self, database: Database) -> None:
        await fill(database, [a_job("acme"), a_job("other")])
        await beat(database, a_replica("a"), a_replica("b"))
        rows = [{"account": "acme", "replica": "a"}, {"account": "other", "replica": "b"}]
        await database.write(lambda tx: tx.connection.execute(insert(lease_table), rows))
        await database.write(lambda tx: replicas.deregister(tx, "a"))
        assert [replica.id for replica in await live(database)] == ["b"]
        async with database.read() as connection:
            assert [row.account for row in await connection.execute(leases.leased_accounts(NOW))] == ["other"]

    async def test_long_dead_replicas_are_deleted(self, database: Database) -> None:
        await beat(
            database, a_replica("old", alive_until=NOW - replicas.DEAD_REPLICA_RETENTION_SECONDS - 1), a_replica("a")
        )
        assert [replica.id for replica in await live(database, 0)] == ["a"]


def a_refusal(message: str = "wrong", at: float = NOW) -> ConfigRefusal:
    return ConfigRefusal(Failure("config_error", message, "Correct it."), at, ("accounts.toml:3: bad",), 2)


async def find_refusal(database: Database, now: float = NOW) -> ConfigRefusal | None:
    async with database.read() as connection:
        return await replicas.find_refusal(connection, now)


class TestRefusals:
    """Which edit of the accounts file a replica refuses."""

    async def test_reload_error_is_kept_until_a_heartbeat_without_it(self, database: Database) -> None:
        assert await find_refusal(database) is None
        await database.write(lambda tx: replicas.save_heartbeat(tx, a_replica("a"), a_refusal()))
        assert await find_refusal(database) == a_refusal()
        assert await live(database) == [a_replica("a")]
        await beat(database, a_replica("a"))
        assert await find_refusal(database) is None

    async def test_reload_error_of_a_dead_replica_is_ignored(self, database: Database) -> None:
        await database.write(lambda tx: replicas.save_heartbeat(tx, a_replica("a"), a_refusal()))
        assert await find_refusal(database, ALIVE) is None

    async def test_reload_error_of_a_departed_replica_is_deleted(self, database: Database) -> None:
        await database.write(lambda tx: replicas.save_heartbeat(tx, a_replica("a"), a_refusal()))
        await database.write(lambda tx: replicas.deregister(tx, "a"))
        assert await find_refusal(database) is None

    async def test_newest_reload_error_is_found(self, database: Database) -> None:
        for name, at in (("a", NOW - 5), ("b", NOW - 1), ("c", NOW - 9)):
            beating = a_replica(name), a_refusal(name, at)
            await database.write(lambda tx, beating=beating: replicas.save_heartbeat(tx, *beating))  # type: ignore[misc]
        assert await find_refusal(database) == a_refusal("b", NOW - 1)

    async def test_status_shows_the_reload_error_with_and_without_a_run(self, database: Database) -> None:
        await database.write(lambda tx: replicas.save_heartbeat(tx, a_replica("a"), a_refusal()))
        shown = {
            "kind": "config_error",
            "message": "wrong (accounts.toml:3: bad; and 2 more)",
            "hint": "Correct it.",
            "request_id": None,
        }
        assert status_to_dict(await get_status(database, NOW))["problem"] == shown
        await fill(database, [a_job("acme")])
        assert status_to_dict(await get_status(database, NOW))["problem"] == shown
        assert status_to_dict(await get_status(database, ALIVE))["problem"] is None


class TestOverdue:
    async def test_lost_wake_ups_are_found_without_a_live_lease(self, database: Database) -> None:
        await fill(
            database,
            [
                a_job("lost", wake_at=NOW - 9),
                a_job("busy", wake_at=NOW - 9),
                a_job("orphan", wake_at=NOW - 8),
                a_job("late", wake_at=NOW - 1),
                a_job("given-up", wake_at=NOW - 1, intent_until=NOW - 1),
                a_job("intent", wake_at=NOW + 1, intent_until=NOW + 1),
                a_job("tried-again", wake_at=NOW - 1, intent_until=NOW - 2),
                a_job("asleep", wake_at=None),
            ],
        )
        await beat(database, a_replica("a"), a_replica("dead", alive_until=NOW - 1))
        rows = [{"account": "busy", "replica": "a"}, {"account": "orphan", "replica": "dead"}]
        await database.write(lambda tx: tx.connection.execute(insert(lease_table), rows))
        async with database.read() as connection:
            found = await jobs.list_overdue(connection, NOW - 3, NOW, 9)
            assert [(wake_up.account, wake_up.at) for wake_up in found] == [
                ("lost", NOW - 9),
                ("orphan", NOW - 8),
                ("given-up", NOW - 1),
            ]
            assert len(await jobs.list_overdue(connection, NOW - 3, NOW, 1)) == 1


@pytest.fixture
async def postgresql(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await database.migrate()
    yield database
    await database.close()


class TestLeases:
    """Only PostgreSQL has more than one replica."""

    @pytest.fixture
    async def database(self, postgresql: Database) -> Database:
        await fill(postgresql, [a_job("acme"), a_job("later", wake_at=NOW + 1)])
        await beat(postgresql, a_replica("a"), a_replica("b"))
        return postgresql

    async def take(self, database: Database, replica: str, account: str = "acme", now: float = NOW) -> bool:
        return account in await database.write(lambda tx: leases.acquire_leases(tx, [id_of(account)], replica, now))

    async def test_only_one_replica_leases_an_account(self, database: Database) -> None:
        assert await self.take(database, "a")
        assert not await self.take(database, "b")
        await database.write(lambda tx: leases.release_leases(tx, ["acme"], "b"))  # not its own
        assert not await self.take(database, "b")
        await database.write(lambda tx: leases.release_leases(tx, ["acme"], "a"))
        assert await self.take(database, "b")

    async def test_replica_may_renew_its_lease(self, database: Database) -> None:
        assert await self.take(database, "a")
        assert await self.take(database, "a")

    async def test_the_account_of_a_dead_replica_is_free(self, database: Database) -> None:
        assert await self.take(database, "a")
        assert not await self.take(database, "b", now=ALIVE - 1)
        await beat(database, a_replica("b", alive_until=ALIVE + 60))
        assert await self.take(database, "b", now=ALIVE)
        assert not await self.take(database, "a", now=ALIVE)

    async def test_no_lease_is_acquired_for_a_job_that_is_not_due(self, database: Database) -> None:
        assert not await self.take(database, "a", "later")
        assert not await self.take(database, "a", "nobody")
        several = [id_of(name) for name in ("acme", "later", "nobody")]
        assert await database.write(lambda tx: leases.acquire_leases(tx, several, "a", NOW)) == {"acme"}
        assert await self.take(database, "a", "later", NOW + 1)

    async def test_replicas_have_separate_leases(self, database: Database) -> None:
        for account in ("acme", "later"):
            assert await self.take(database, "a", account, NOW + 1)
        async with database.read() as connection:
            assert await leases.list_leased_accounts(connection, "a") == {"acme", "later"}
            assert await leases.list_leased_accounts(connection, "b") == set()
        await database.write(lambda tx: leases.release_leases(tx, ["acme"], "a"))
        assert await self.take(database, "b", "acme")
        assert not await self.take(database, "b", "later", NOW + 1)

    @pytest.mark.parametrize("takes", [True, False])
    async def test_leases_are_locked_in_the_order_of_the_accounts(self, database: Database, takes: bool) -> None:
        """In another order two replicas could wait for each other; the server would end one of the statements."""
        names = [f"account-{number}" for number in range(9)]
        first, last = next((a, b) for a in names for b in names if a < b and id_of(a) > id_of(b))
        await fill(database, [a_job(last), a_job(first)])  # stored in the other order, as are their ids
        rows = [{"account": account, "replica": "a"} for account in (last, first)]
        await database.write(lambda tx: tx.connection.execute(insert(lease_table), rows))

        async def change(tx: Transaction) -> None:
            if takes:
                await leases.acquire_leases(tx, [id_of(last), id_of(first)], "a", NOW)
            else:
                await leases.release_leases(tx, [last, first], "a")

        async with database.transaction() as tx:
            await tx.connection.execute(_LOCK_LEASE, {"name": first})
            waiting = asyncio.create_task(database.write_unlocked(change))
            async with asyncio.timeout(scale_seconds(60)):
                while not (await tx.connection.execute(_COUNT_BLOCKED)).scalar_one():  # noqa: ASYNC110 - in a database
                    await asyncio.sleep(0.01)
            await tx.connection.execute(_LOCK_LEASE, {"name": last})
        await waiting

    async def test_one_of_many_concurrent_replicas_gets_the_lease(
        self, database: Database, postgres_url: str
    ) -> None:
        names = [f"r{number}" for number in range(6)]
        await beat(database, *(a_replica(name) for name in names))
        others = [Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://")) for _ in names]
        taken = await asyncio.gather(*(self.take(other, name) for other, name in zip(others, names, strict=True)))
        assert sum(taken) == 1
        await asyncio.gather(*(other.close() for other in others))


class TestPostgres:
    async def test_replicas_that_start_at_once_migrate_once(self, postgres_url: str) -> None:
        url = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
        starting = [Database(url) for _ in range(5)]

        async def start(database: Database) -> None:
            await database.migrate()
            await wakeup_queue.install(database)

        await asyncio.gather(*(start(database) for database in starting))
        await fill(starting[0], [a_job("acme")])
        await asyncio.gather(*(database.close() for database in starting))

    async def test_the_queues_own_tables_are_no_drift(self, postgresql: Database) -> None:
        await wakeup_queue.install(postgresql)

        def check(connection: Connection) -> None:
            config = Config()
            config.set_main_option("script_location", str(migrations_folder()))
            config.attributes["connection"] = connection
            command.check(config)  # raises where there is a difference

        async with postgresql.read() as connection:
            await connection.run_sync(check)

    async def test_frozen_writer_is_disconnected_before_others_time_out(
        self, postgresql: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It holds the lock and does nothing more; to the server a sleeping process is like one under SIGSTOP."""
        # The shipped value: the tests scale it, and it could exceed the lock timeout of the others.
        monkeypatch.setitem(SERVER_TIMEOUTS_MILLISECONDS, "idle_in_transaction_session_timeout", "2000")
        database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
        holding = asyncio.Event()
        released = asyncio.Event()

        async def freeze(tx: Transaction) -> None:
            await tx.connection.execute(text("SELECT 1"))
            holding.set()
            await released.wait()
            await tx.connection.execute(text("SELECT 1"))

        frozen = asyncio.create_task(database.write(freeze))
        await holding.wait()
        other = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
        async with asyncio.timeout(scale_seconds(60)):
            await beat(other, a_replica("other"))
        released.set()
        with pytest.raises(DatabaseUnavailable):
            await frozen
        assert [replica.id for replica in await live(other)] == ["other"]
        await other.close()
        await database.close()

    async def test_the_queues_log_is_emptied(self, postgres_url: str) -> None:
        database = Database(
            postgres_url.replace("postgresql://", "postgresql+asyncpg://"),
            wakeup_queue.build_wake_up_enqueuer(lambda: NOW),
        )
        await database.migrate()
        await wakeup_queue.install(database)
        await fill(database, [a_job("acme"), a_job("other")])

        async def count(table: str) -> int:
            async with database.read() as connection:
                found: int = (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
                return found

        assert (await count("pgqueuer"), await count("pgqueuer_log")) == (2, 2)
        await database.write(wakeup_queue.clear_log)
        assert (await count("pgqueuer"), await count("pgqueuer_log")) == (2, 0)
        await database.close()

    async def test_wake_ups_are_rolled_back_with_their_transaction(self, postgres_url: str) -> None:
        database = Database(
            postgres_url.replace("postgresql://", "postgresql+asyncpg://"),
            wakeup_queue.build_wake_up_enqueuer(lambda: NOW),
        )
        await database.migrate()
        await wakeup_queue.install(database)
        await fill(database, [a_job("acme", wake_at=None)])

        async def wake_and_fail(tx: Transaction) -> None:
            await jobs.wake_account(tx, "acme", NOW)
            raise LookupError("on second thoughts")

        with pytest.raises(LookupError):
            await database.write(wake_and_fail)
        async with database.read() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM pgqueuer"))).scalar_one() == 0
        await database.close()
