"""Google's Vertex AI (Gemini Enterprise Agent Platform): supervised tuning of Gemini.

The training file is an object in the account's bucket. A create cannot be repeated without a second job, so a job has
the order's tag as a label, and trains a file that was uploaded for it alone.

Source: the vendor's documentation, its SDK google-genai 2 and the messages of google-cloud-aiplatform 2.7.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

import httpx2

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.dataset import short_tag
from orchestrator.core.errors import JobLimitReached, QuotaExhausted, RemoteNotFound, RequestRejected
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.providers import PROVIDERS, find_base_url
from orchestrator.core.remote import RemoteEvent, RemoteJob, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline, JobOrder, Provider, ProviderDefaults, ProviderFactory
from orchestrator.providers.chat.gemini_chat import (
    GEMINI_DECODER,
    build_generate_content_body,
    list_sent_parameters,
    parse_generate_content_response,
)
from orchestrator.providers.chat.refused_parameters import ASK_TIMEOUT_SECONDS, ask_without_refused
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import ListLimits, MalformedResponse, check_id
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.http.status_errors import ErrorCodes, parse_error_body
from orchestrator.providers.key_renewal import TokenRefreshingProvider
from orchestrator.providers.objects.bucket import BucketFiles, find_bucket_place
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.objects.gcs import DEFAULT_STORAGE_URL, GcsBucket
from orchestrator.providers.tagging import select_tagged_jobs
from orchestrator.providers.vertex.access_tokens import (
    AccessTokens,
    check_google_auth_installed,
    is_credential_document,
)
from orchestrator.providers.vertex.mapping import (
    LABEL,
    build_job_body,
    find_tag,
    to_checkpoints,
    to_events,
    to_remote_job,
)
from orchestrator.providers.vertex.responses import (
    JOB_DECODER,
    JOB_PAGE_DECODER,
    MODEL_DECODER,
    PLACE_DECODER,
    VertexJob,
)

INFO: Final = PROVIDERS[ProviderName.VERTEX]
ERROR_CODES: Final[ErrorCodes] = {"BILLING_DISABLED": QuotaExhausted}
PAGE_SIZE: Final = 100


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at Vertex AI. They share the checksums of the files."""
    hashes = ContentHashes()
    tokens: WeakValueDictionary[tuple[str, str], AccessTokens] = WeakValueDictionary()

    def connect(account: Account, key: Secret) -> Provider:
        if not is_credential_document(key):
            return connect_with_token(account, key)
        check_google_auth_installed()
        base_url = find_base_url(account) or ""
        shared = tokens.get((key.fingerprint, base_url)) or AccessTokens(key, http, base_url, redact)
        tokens[key.fingerprint, base_url] = shared
        provider = TokenRefreshingProvider(shared, partial(connect_with_token, account), account.name)
        return cast(Provider, provider)

    def connect_with_token(account: Account, token: Secret) -> VertexProvider:
        base_url = find_base_url(account) or ""
        client = RestClient(http, base_url, key=token, account=account.name, redact=redact, error_codes=ERROR_CODES)
        bucket = GcsBucket(
            http,
            *find_bucket_place(account, DEFAULT_STORAGE_URL),
            key=token,
            account=account.name,
            redact=redact,
            error_codes=ERROR_CODES,
            hashes=hashes,
        )
        return VertexProvider(account, client, bucket)

    return connect


class VertexProvider(BucketFiles, ProviderDefaults):
    """One project in one region."""

    capabilities: Capabilities = INFO.capabilities

    def __init__(self, account: Account, client: RestClient, bucket: GcsBucket) -> None:
        self._account = account
        self._client = client
        self._bucket = bucket
        project, region = quote(account.project or "", safe=""), account.region or ""
        self._place = f"/v1/projects/{project}/locations/{region}"
        self._jobs_path = f"{self._place}/tuningJobs"

    async def verify(self) -> AccountIdentity:
        """Read the region of the project: a list of jobs may be empty, and an empty list says nothing."""
        async with self._client.read_call():
            place = await self._client.get_decoded(PLACE_DECODER, self._place)
            if not place.name.endswith(f"/locations/{self._account.region}"):
                raise MalformedResponse(f"the response to {self._place} is about {place.name}, so it is not used")
        return AccountIdentity(project=self._account.project)  # whose number is shown in place of its id

    async def find_model(self, name: str) -> RemoteModel | None:
        """Return a base model, or the endpoint of a tuned one."""
        path = f"/v1/{name}" if "/" in name else f"/v1/publishers/google/models/{name}"
        try:
            async with self._client.read_call():
                found = await self._client.get_decoded(MODEL_DECODER, path)
                check_id(name.rpartition("/")[2], found.name.rpartition("/")[2], path)
        except RemoteNotFound:
            return None
        return RemoteModel(id=name)

    async def list_models(self) -> list[str]:
        return []

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        """Search by label, and without a match again among all jobs: the filter may not know of labels."""
        label = f'labels.{LABEL}="{short_tag(order.tag)}"'
        found: list[RemoteJob] = []
        try:
            found = select_tagged_jobs(await self._list_jobs(order, label), order)
        except RequestRejected as refusal:
            if isinstance(refusal, RemoteNotFound):
                raise
        return found or select_tagged_jobs(await self._list_jobs(order), order)

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        body = build_job_body(order)
        async with self._client.write_call(deadline):
            try:
                made = await self._client.post_decoded(JOB_DECODER, self._jobs_path, body)
            except UnsuccessfulResponse as refusal:
                # A limit of requests has a time to wait; the quota of jobs has none, and ends when another job does.
                if refusal.status == httpx2.codes.TOO_MANY_REQUESTS and "retry-after" not in refusal.headers:
                    code, text = parse_error_body(refusal.content)
                    raise JobLimitReached(f"{code}: {text}", account=self._account.name, code=code) from refusal
                raise
            return self._to_remote_job(made)

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return self._to_remote_job(await self._get_job(remote_job_id))

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.send("POST", f"/v1/{remote_job_id}:cancel", json={})

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return to_events(await self._get_job(remote_job_id))

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        client = self._client.with_base_url(address.base_url)
        path = f"/v1/{address.model}:generateContent"

        async def ask_once(without: frozenset[OptionalParameter]) -> ChatReply:
            async with client.read_call(ASK_TIMEOUT_SECONDS):
                body = build_generate_content_body(question, without)
                answer = await client.post_decoded(GEMINI_DECODER, quote(path, safe="/:"), body)
                return parse_generate_content_response(answer, request_id=None, left_out=without)

        if left_out is not None:
            return await ask_once(left_out)
        return await ask_without_refused(ask_once, list_sent_parameters(question))

    async def checkpoints(self, remote_job_id: str) -> list[Checkpoint]:
        return to_checkpoints(await self._get_job(remote_job_id))

    async def _get_job(self, remote_job_id: str) -> VertexJob:
        async with self._client.read_call():
            path = f"/v1/{remote_job_id}"
            job = await self._client.get_decoded(JOB_DECODER, path)
            # The name has the number of the project where an operator may have written its id.
            if job.name.rpartition("/")[2] != remote_job_id.rpartition("/")[2]:
                check_id(remote_job_id, job.name, path)
            return job

    async def _list_jobs(self, order: JobOrder, label: str | None = None) -> list[tuple[RemoteJob, str | None]]:
        """Return all jobs with what shows their tag, to the last page: their order is not documented."""
        limits = ListLimits(self._jobs_path, asyncio.get_running_loop().time)
        query = {"pageSize": str(PAGE_SIZE)} | ({"filter": label} if label else {})
        jobs: list[tuple[RemoteJob, str | None]] = []
        while True:
            async with self._client.read_call(), asyncio.timeout(limits.seconds_left):
                page = await self._client.get_page(limits, JOB_PAGE_DECODER, self._jobs_path, **query)
                jobs += [(self._to_remote_job(job), find_tag(job, order)) for job in page.tuning_jobs]
                if not page.next_page_token:
                    return jobs
                limits.count_page(len(page.tuning_jobs), page.next_page_token)
            query["pageToken"] = page.next_page_token

    def _to_remote_job(self, job: VertexJob) -> RemoteJob:
        return to_remote_job(job, servable=self.capabilities.servable)
