"""Pruning: what is left of finished runs, here and at the providers. Nothing that this program did not make."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from orchestrator.control import cleanup
from orchestrator.core.errors import ProviderError, RemoteNotFound
from orchestrator.core.jobs.unused_resource import ResourceKind, UnusedResource
from orchestrator.core.remote import RemoteFileStatus
from orchestrator.providers.base import MultipartUploadProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import unused_resources


class ResourceCleaner:
    """Looks first; deletes only what it has seen to be ours."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        datasets: Path,
        *,
        max_concurrent_requests: int,
    ) -> None:
        self._database = database
        self._connections = connections
        self._datasets = datasets
        self._slots = asyncio.Semaphore(max_concurrent_requests)

    async def list_unused(self) -> list[UnusedResource]:
        """Everything that could go, as it is at the providers now; with a `problem` where it must stay."""
        async with self._database.read() as connection:
            remote = await unused_resources.list_unused_remote_files(connection)
            uploads = await unused_resources.list_unfinished_uploads(connection)
            local = await unused_resources.list_unused_dataset_files(connection)
        seen = await asyncio.gather(*(self._find_remote_file(file) for file in remote))
        files = [file for file in seen if file is not None]
        here = [file for file in local if (self._datasets / file.name).is_file()]
        return [*files, *(self._mark_unreachable(upload) for upload in uploads), *here]

    async def delete(self, resource: UnusedResource, *, by: str, now: float) -> UnusedResource:
        """Delete it, unless it has a problem, and write down who asked."""
        if resource.problem:
            return resource
        try:
            async with self._slots:
                await self._delete(resource)
        except ProviderError as error:
            return replace(resource, problem=f"{error.kind}: {error.message}")
        except OSError as error:
            return replace(resource, problem=f"it cannot be deleted: {error.strerror}")
        await cleanup.record_deletion(self._database, resource, by=by, now=now)
        return replace(resource, deleted=True)

    async def _find_remote_file(self, file: UnusedResource) -> UnusedResource | None:
        """The file as the provider shows it; None when it is gone already."""
        file = self._mark_unreachable(file)
        if file.problem:
            return file
        try:
            async with self._slots:
                found = await self._connections[file.account or ""].provider.get_file(file.id)
        except RemoteNotFound:
            return None
        except ProviderError as error:
            return replace(file, problem=f"{error.kind}: {error.message}")
        if found.status is RemoteFileStatus.GONE:
            return None
        if found.filename != file.name:
            return replace(file, problem=f"it is called {found.filename} and not {file.name}: it is not ours")
        return file

    def _mark_unreachable(self, resource: UnusedResource) -> UnusedResource:
        if resource.account in self._connections:
            return resource
        return replace(resource, problem="its account is not in the accounts file")

    async def _delete(self, resource: UnusedResource) -> None:
        match resource.kind:
            case ResourceKind.DATASET:
                (self._datasets / resource.name).unlink(missing_ok=True)
            case ResourceKind.REMOTE_FILE:
                await self._connections[resource.account or ""].provider.delete_file(resource.id)
            case ResourceKind.UPLOAD:
                await cast(MultipartUploadProvider, self._connections[resource.account or ""].provider).cancel_upload(
                    resource.id
                )
