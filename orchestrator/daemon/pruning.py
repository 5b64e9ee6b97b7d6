"""Pruning: what is left of finished runs, here and at the providers. Nothing that this program did not make."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from orchestrator.control import pruned
from orchestrator.core.errors import ProviderError, RemoteMissing
from orchestrator.core.leftover import Kind, Leftover
from orchestrator.core.remote import FileStatus
from orchestrator.providers.base import Connection, Uploader
from orchestrator.store import leftovers
from orchestrator.store.database import Database


class Pruning:
    """Looks first; deletes only what it has seen to be ours."""

    def __init__(
        self, database: Database, connections: Mapping[str, Connection], datasets: Path, *, most: int
    ) -> None:
        self._database = database
        self._connections = connections
        self._datasets = datasets
        self._slots = asyncio.Semaphore(most)

    async def look(self) -> list[Leftover]:
        """Everything that could go, as it is at the providers now; with a `problem` where it must stay."""
        async with self._database.read() as connection:
            remote = await leftovers.remote_files(connection)
            uploads = await leftovers.unfinished_uploads(connection)
            local = await leftovers.local_datasets(connection)
        seen = await asyncio.gather(*(self._seen(file) for file in remote))
        files = [file for file in seen if file is not None]
        here = [file for file in local if (self._datasets / file.name).is_file()]
        return [*files, *(self._reachable(upload) for upload in uploads), *here]

    async def delete(self, leftover: Leftover, *, by: str, now: float) -> Leftover:
        """Delete it, unless it has a problem, and write down who asked."""
        if leftover.problem:
            return leftover
        try:
            async with self._slots:
                await self._delete(leftover)
        except ProviderError as error:
            return replace(leftover, problem=f"{error.kind}: {error.message}")
        except OSError as error:
            return replace(leftover, problem=f"it cannot be deleted: {error.strerror}")
        await pruned.record(self._database, leftover, by=by, now=now)
        return replace(leftover, deleted=True)

    async def _seen(self, file: Leftover) -> Leftover | None:
        """The file as the provider shows it; None when it is gone already."""
        file = self._reachable(file)
        if file.problem:
            return file
        try:
            async with self._slots:
                found = await self._connections[file.account or ""].provider.get_file(file.id)
        except RemoteMissing:
            return None
        except ProviderError as error:
            return replace(file, problem=f"{error.kind}: {error.message}")
        if found.status is FileStatus.GONE:
            return None
        if found.filename != file.name:
            return replace(file, problem=f"it is called {found.filename} and not {file.name}: it is not ours")
        return file

    def _reachable(self, leftover: Leftover) -> Leftover:
        if leftover.account in self._connections:
            return leftover
        return replace(leftover, problem="its account is not in the accounts file")

    async def _delete(self, leftover: Leftover) -> None:
        match leftover.kind:
            case Kind.DATASET:
                (self._datasets / leftover.name).unlink(missing_ok=True)
            case Kind.REMOTE_FILE:
                await self._connections[leftover.account or ""].provider.delete_file(leftover.id)
            case Kind.UPLOAD:
                await cast(Uploader, self._connections[leftover.account or ""].provider).cancel_upload(leftover.id)
