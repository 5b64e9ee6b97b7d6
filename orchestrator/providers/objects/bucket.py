"""The upload of a dataset to a bucket: created only if absent, verified by checksum, resumed after a restart."""

# Theory of operation
#
# A bucket is kinder than a provider's list of files: the program chooses the name, and the storage can be asked to
# create an object only if there is none of this name. So an upload may be repeated without harm, and a lost response
# costs a comparison. The name contains the hash of the content, which makes an equal object ours.
#
# What is compared is the checksum that the storage computed from the bytes it received, with the one of the local
# file. A size or a note of our own in the metadata would not show bytes that were damaged on the way.
#
# A large file takes several attempts, since an attempt lasts as long as its intent. Between them the progress is
# kept: at Google the session itself knows how many bytes it has, at Amazon each received part has an id. A part is
# only started if the time left is enough for it, and FileNotReady makes the caller continue in a new attempt.

from __future__ import annotations

from typing import Final, Protocol

from orchestrator.core.account import Account
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.errors import FileNotReady, RemoteNotFound, RequestRejected, TemporaryError
from orchestrator.core.remote import MultipartUpload, RemoteFile, RemoteFileStatus
from orchestrator.core.structs import Struct
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.upload_stream import check_upload_size

MIN_UPLOAD_BYTES_PER_SECOND: Final = 500_000  # slowest upload for which a part is still started


class ObjectExists(Exception):
    """The bucket has an object of this name already; nothing was written."""


class StoredObject(Struct, frozen=True, kw_only=True):
    """An object as the storage reports it."""

    name: str
    bytes: int
    checksum: str | None  # computed by the storage, in its own form; None: it has none that can be compared


class ObjectBucket(Protocol):
    """One bucket. The methods raise `ProviderError`s."""

    account_name: str

    def format_address(self, name: str) -> str:
        """Return the address of an object, as a job refers to it."""

    async def find_object(self, name: str) -> StoredObject | None:
        """Return the object of this name; None if there is none."""

    async def find_difference(self, stored: StoredObject, dataset_file: DatasetFile) -> str | None:
        """Return how the object differs from the file, as a text; None if they are equal."""

    async def create_object(self, name: str, dataset_file: DatasetFile, deadline: Deadline) -> StoredObject:
        """Create the object from the file. Raises ObjectExists, UnknownOutcome, and FileNotReady to continue."""

    async def delete_object(self, name: str) -> None:
        """Delete the object. Succeeds if there is none."""

    async def cancel_upload(self, upload_id: str) -> None:
        """Cancel an incomplete upload. Succeeds if it has ended already."""


class BucketFiles:
    """The file operations of a provider whose jobs read their files from a bucket of the account."""

    _account: Account
    _bucket: ObjectBucket
    capabilities: Capabilities

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        return await find_uploaded_file(self._bucket, dataset_file)

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        check_upload_size(dataset_file, self.capabilities, self._account.name)
        return await upload_to_bucket(self._bucket, dataset_file, deadline)

    async def get_file(self, file_id: str) -> RemoteFile:
        return await get_uploaded_file(self._bucket, file_id)

    async def delete_file(self, file_id: str) -> None:
        await self._bucket.delete_object(get_object_name(file_id))

    async def cancel_upload(self, upload_id: str) -> None:
        await self._bucket.cancel_upload(upload_id)


def find_bucket_place(account: Account, default_url: str) -> tuple[str, str]:
    """Return the address of the storage and the name of the account's bucket in it.

    `default_url` is for an account without `storage_url`, and may contain {region}.
    """
    return account.storage_url or default_url.replace("{region}", account.region or ""), account.bucket or ""


async def find_uploaded_file(bucket: ObjectBucket, dataset_file: DatasetFile) -> RemoteFile | None:
    """Return the file in the bucket; None if there is none of its name and content."""
    stored = await bucket.find_object(dataset_file.filename)
    if stored is None or await bucket.find_difference(stored, dataset_file):
        return None
    return to_remote_file(bucket, stored)


async def upload_to_bucket(bucket: ObjectBucket, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
    """Upload the file under its own name. Raises RequestRejected if the bucket has another object of this name."""
    name = dataset_file.filename
    try:
        stored = await bucket.create_object(name, dataset_file, deadline)
    except ObjectExists:
        found = await bucket.find_object(name)
        if found is None:
            text = f"{bucket.format_address(name)} existed a moment ago and was deleted"
            raise TemporaryError(text, account=bucket.account_name) from None
        stored = found
    if difference := await bucket.find_difference(stored, dataset_file):
        raise RequestRejected(
            f"the bucket already has another object at {bucket.format_address(name)}: {difference}",
            hint="Delete the object, or use another bucket for this account; then `orchestrator retry` the account.",
            account=bucket.account_name,
        )
    return to_remote_file(bucket, stored)


async def get_uploaded_file(bucket: ObjectBucket, address: str) -> RemoteFile:
    """Return the file at an address. Raises RemoteNotFound."""
    stored = await bucket.find_object(get_object_name(address))
    if stored is None:
        raise RemoteNotFound(f"there is no object at {address}", account=bucket.account_name)
    return to_remote_file(bucket, stored)


def to_remote_file(bucket: ObjectBucket, stored: StoredObject) -> RemoteFile:
    """Convert an object to a file. A bucket checks no content, so the file is ready."""
    return RemoteFile(
        id=bucket.format_address(stored.name),
        status=RemoteFileStatus.READY,
        raw_status="stored",
        filename=stored.name,
        bytes=stored.bytes,
    )


def get_object_name(address: str) -> str:
    """Return the name of the object at an address such as gs://BUCKET/NAME."""
    return address.partition("://")[2].partition("/")[2]


def check_time_for_part(deadline: Deadline, part_bytes: int, progress: str, account: str) -> None:
    """Raise FileNotReady if the time left is too short for a part of so many bytes."""
    if deadline.seconds_left <= part_bytes / MIN_UPLOAD_BYTES_PER_SECOND:
        raise FileNotReady(f"{progress}; the next attempt continues", account=account)


async def save_progress(dataset_file: DatasetFile, upload: MultipartUpload | None) -> None:
    """Store the progress of an upload; None when it has ended."""
    if dataset_file.upload_state is not None:
        await dataset_file.upload_state.save(upload)


async def load_progress(dataset_file: DatasetFile, part_bytes: int) -> MultipartUpload | None:
    """Return the progress of an earlier attempt; None if there is none with parts of this size."""
    upload = await dataset_file.upload_state.load() if dataset_file.upload_state else None
    return upload if upload is not None and upload.part_bytes == part_bytes else None
