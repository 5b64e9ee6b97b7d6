"""Finds and deletes files that finished runs have left behind, on this machine and at the providers.

Only resources that this program created are deleted: a remote file must still have the name that was stored for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from orchestrator.control import cleanup
from orchestrator.core.capabilities import WireFormat
from orchestrator.core.dataset import is_remote_filename, local_filename, remote_filename
from orchestrator.core.errors import ProviderError, RemoteNotFound
from orchestrator.core.jobs.unused_resource import EarlierFile, ResourceKind, UnusedResource
from orchestrator.core.remote import RemoteFileStatus
from orchestrator.core.structs import replace
from orchestrator.daemon.maintenance.deployment_leftovers import find_leftovers, remove_leftover
from orchestrator.dataset.browse.example_index import get_index_path
from orchestrator.dataset.convert.converted_file import find_converted_file, list_converted_files
from orchestrator.planning.deployment_forecasts import find_deployment_provider
from orchestrator.providers.base import DatasetFile, MultipartUploadProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import unused_resources


class ResourceCleaner:
    """Lists unused resources and deletes those without a `problem`."""

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
        """Return the resources that no open run needs. A `problem` says why one cannot be deleted."""
        async with self._database.read() as connection:
            remote = await unused_resources.list_unused_remote_files(connection)
            earlier = await unused_resources.list_earlier_files(connection)
            uploads = await unused_resources.list_unfinished_uploads(connection)
            local = await unused_resources.list_unused_dataset_files(connection)
        found = await asyncio.gather(
            *(self._find_remote_file(file) for file in remote), *(self._find_earlier_file(file) for file in earlier)
        )
        remote_files = [file for file in found if file is not None]
        local_files = [file for file in local if (self._datasets / file.name).is_file()]
        converted = [replace(file, id=name, name=name) for file in local for name in self._list_converted(file)]
        unfinished = [self._mark_unreachable(upload) for upload in uploads]
        leftovers = await find_leftovers(self._database, self._connections, self._slots)
        return [*leftovers, *remote_files, *unfinished, *local_files, *converted]

    async def delete(self, resource: UnusedResource, *, by: str, now: float) -> UnusedResource:
        """Delete the resource unless it has a problem, and record `by` as the actor. Return it with the result."""
        if resource.problem:
            return resource
        try:
            async with self._slots:
                await self._delete(resource)
        except ProviderError as error:
            return replace(resource, problem=f"{error.kind}: {error.message}")
        except OSError as error:
            return replace(resource, problem=f"the file cannot be deleted: {error.strerror}")
        await cleanup.record_deletion(self._database, resource, by=by, now=now)
        return replace(resource, deleted=True)

    def _list_converted(self, file: UnusedResource) -> list[str]:
        return list_converted_files(self._datasets, file.name)

    async def _find_remote_file(self, file: UnusedResource) -> UnusedResource | None:
        """Verify the file at its provider. Return None when it is already deleted."""
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
        if not is_remote_filename(found.filename, file.name):
            reason = (
                f"its name at the provider is {found.filename}, not {file.name}: it was not created by this program"
            )
            return replace(file, problem=reason)
        return file

    async def _find_earlier_file(self, file: EarlierFile) -> UnusedResource | None:
        """Search the provider for the file by its name. Return None when there is no such file or no answer."""
        connection = self._connections.get(file.account)
        sent = await asyncio.to_thread(self._build_dataset_file, file) if connection else None
        if connection is None or sent is None:
            return None
        try:
            async with self._slots:
                found = await connection.provider.find_file(sent)
        except ProviderError:  # it is listed at the next cleanup: nobody waits for its deletion
            return None
        if found is None:
            return None
        return UnusedResource(kind=ResourceKind.REMOTE_FILE, account=file.account, id=found.id, name=sent.filename)

    def _build_dataset_file(self, file: EarlierFile) -> DatasetFile | None:
        """Build the file as it was sent; None if it was converted and the converted file no longer exists."""
        path, sha256, size, converted = self._datasets / local_filename(file.sha256), file.sha256, file.bytes, None
        if file.wire_format is not WireFormat.CHAT_LINES:
            converted = find_converted_file(self._datasets, file.sha256, file.wire_format)
            if converted is None:
                return None
            path, sha256, size = converted.path, converted.sha256, converted.bytes
        return DatasetFile(
            path=path,
            filename=remote_filename(
                file.sha256, converted_sha256=converted.sha256 if converted else None, tag=file.tag
            ),
            bytes=size,
            sha256=sha256,
            examples=file.examples,
            wire_format=file.wire_format,
        )

    def _mark_unreachable(self, resource: UnusedResource) -> UnusedResource:
        if resource.account in self._connections:
            return resource
        return replace(resource, problem="its account is not in the accounts file")

    async def _delete(self, resource: UnusedResource) -> None:
        match resource.kind:
            case ResourceKind.DATASET:
                path = self._datasets / resource.name
                path.unlink(missing_ok=True)
                get_index_path(path).unlink(missing_ok=True)  # without its file, no page uses the index
            case ResourceKind.REMOTE_FILE:
                await self._connections[resource.account or ""].provider.delete_file(resource.id)
            case ResourceKind.UPLOAD:
                await cast(MultipartUploadProvider, self._connections[resource.account or ""].provider).cancel_upload(
                    resource.id
                )
            case ResourceKind.DEPLOYMENT:
                provider = find_deployment_provider(self._connections[resource.account or ""].provider)
                assert provider is not None  # it has listed the deployment
                await remove_leftover(provider, resource)
