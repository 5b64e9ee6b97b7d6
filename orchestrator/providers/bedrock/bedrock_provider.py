"""Amazon Bedrock's model customization, for Amazon Nova.

The name of a job is the service's, and a job is read by its name: so it is found again exactly, and a create that is
sent twice creates one job. A name is never given free, and a taken name is looked up and never changed.

Source: the service model of botocore 1.44 and the vendor's documentation.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.errors import JobNameTaken, ProviderError, RemoteNotFound, RequestRejected, UnknownOutcome
from orchestrator.core.providers import PROVIDERS, find_base_url
from orchestrator.core.remote import RemoteJob, RemoteJobStatus, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.aws_signature import (
    AwsCredentials,
    AwsSigner,
    check_botocore_installed,
    parse_bedrock_api_key,
)
from orchestrator.providers.base import Deadline, JobOrder, ProviderDefaults, ProviderFactory
from orchestrator.providers.bedrock.bedrock_client import BedrockClient
from orchestrator.providers.bedrock.deployments import CONFLICT_CODE, TAKEN_CODES, BedrockDeployments
from orchestrator.providers.bedrock.mapping import build_job_body, build_job_name, read_hyperparameters, to_remote_job
from orchestrator.providers.bedrock.responses import (
    CREATED_DECODER,
    CUSTOM_MODEL_DECODER,
    JOB_DECODER,
    JOB_PAGE_DECODER,
    MODEL_DECODER,
    MODEL_PAGE_DECODER,
    BedrockJob,
)
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import check_id
from orchestrator.providers.objects.bucket import BucketFiles, find_bucket_place
from orchestrator.providers.objects.content_hashes import ContentHashes
from orchestrator.providers.objects.s3 import S3Bucket

INFO: Final = PROVIDERS[ProviderName.BEDROCK]
JOBS_PATH: Final = "/model-customization-jobs"
DEFAULT_STORAGE_URL: Final = "https://s3.{region}.amazonaws.com"
FINE_TUNING: Final = "FINE_TUNING"


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at Bedrock. Raises ConfigError if the signer is not installed."""
    check_botocore_installed()
    hashes = ContentHashes()

    def connect(account: Account, key: Secret) -> BedrockProvider:
        region = account.region or ""
        credentials = AwsCredentials.parse(key, redact)
        api_key = parse_bedrock_api_key(key, redact)
        signer = AwsSigner(credentials, region, "bedrock", account.name, api_key)
        client = BedrockClient(http, find_base_url(account) or "", signer, redact)
        bucket = S3Bucket(
            http,
            *find_bucket_place(account, DEFAULT_STORAGE_URL),
            signer=AwsSigner(credentials, region, "s3", account.name, api_key),
            redact=redact,
            hashes=hashes,
        )
        return BedrockProvider(account, client, bucket)

    return connect


class BedrockProvider(BedrockDeployments, BucketFiles, ProviderDefaults):
    """One AWS account in one region."""

    capabilities: Capabilities = INFO.capabilities

    def __init__(self, account: Account, client: BedrockClient, bucket: S3Bucket) -> None:
        super().__init__(account, client)
        self._bucket = bucket

    async def verify(self) -> AccountIdentity:
        """List one job: the signature and the right to list are verified, but no owner is named."""
        async with self._client.read_call():
            await self._client.get_decoded(JOB_PAGE_DECODER, JOBS_PATH, maxResults="1")
        return AccountIdentity()

    async def find_model(self, name: str) -> RemoteModel | None:
        """Return a base model, or a finished model by its ARN."""
        encoded = quote(name, safe="")
        try:
            async with self._client.read_call():
                if name.startswith("arn:"):
                    custom = await self._client.get_decoded(CUSTOM_MODEL_DECODER, f"/custom-models/{encoded}")
                    check_id(name, custom.model_arn, "/custom-models")
                    return RemoteModel(id=name)
                found = (await self._client.get_decoded(MODEL_DECODER, f"/foundation-models/{encoded}")).model_details
        except RemoteNotFound:
            return None
        except RequestRejected as refusal:
            if refusal.code == "ValidationException":  # not a name that a model could have
                return None
            raise
        kinds = found.customizations_supported
        return RemoteModel(id=found.model_id, tunable=None if kinds is None else FINE_TUNING in kinds)

    async def list_models(self) -> list[str]:
        """Return the names of the models that can be fine-tuned in the region."""
        async with self._client.read_call():
            page = await self._client.get_decoded(
                MODEL_PAGE_DECODER, "/foundation-models", byCustomizationType=FINE_TUNING
            )
        return [model.model_id for model in page.model_summaries]

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        """Return the job with the order's name, if it may be the order's.

        A job that somebody else has given the name is no reason to fail or to wait: the create is refused then.
        """
        try:
            job = await self._get_job(build_job_name(order))
        except RemoteNotFound:
            return []
        return [] if _is_foreign(order, job) else [self._to_remote_job(job)]

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        body = build_job_body(order, self._account)
        try:
            async with self._client.write_call(deadline):
                created = await self._client.post_decoded(CREATED_DECODER, JOBS_PATH, body)
        except RequestRejected as refusal:
            if refusal.code not in TAKEN_CODES:
                raise
            existing = await self._find_existing_job(order)
            if existing is not None:
                return existing
            if refusal.code == CONFLICT_CODE:  # reads may lag behind the create whose job took the name
                raise UnknownOutcome(
                    f"the create was refused, and no job has its name yet: {refusal.message}",
                    account=self._account.name,
                    request_id=refusal.request_id,
                ) from refusal
            raise
        return RemoteJob(  # the response has nothing but the ARN
            id=created.job_arn,
            status=RemoteJobStatus.PENDING,
            raw_status="InProgress",
            training_file=order.training_file,
            base_model=order.spec.base_model,
            servable=self.capabilities.servable,
            hyperparameters=read_hyperparameters(body.get("hyperParameters")),
        )

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return self._to_remote_job(await self._get_job(remote_job_id))

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.post(f"{JOBS_PATH}/{quote(remote_job_id, safe='')}/stop", {})

    async def _get_job(self, identifier: str) -> BedrockJob:
        """Return a job by its ARN or its name."""
        async with self._client.read_call():
            path = f"{JOBS_PATH}/{quote(identifier, safe='')}"
            job = await self._client.get_decoded(JOB_DECODER, path)
            if identifier != job.job_name:
                check_id(identifier, job.job_arn, path)
            return job

    async def _find_existing_job(self, order: JobOrder) -> RemoteJob | None:
        """Return the job whose name a refused create may have found taken.

        Raises JobNameTaken if it is somebody else's, and UnknownOutcome if it cannot be read.
        """
        try:
            job = await self._get_job(build_job_name(order))
        except RemoteNotFound:
            return None
        except ProviderError as error:  # a refusal of this read, too: the job may be running, and be paid for
            raise UnknownOutcome(
                f"the create was refused, and whether the job exists cannot be read: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error
        if _is_foreign(order, job):
            raise JobNameTaken(
                f"the name {build_job_name(order)} is used by a job that this program did not create, and names "
                "cannot be freed",
                account=self._account.name,
            )
        return self._to_remote_job(job)

    def _to_remote_job(self, job: BedrockJob) -> RemoteJob:
        return to_remote_job(job, servable=self.capabilities.servable)


def _is_foreign(order: JobOrder, job: BedrockJob) -> bool:
    """Return whether the job with the order's name was certainly created by somebody else: it shows another token."""
    return bool(job.client_request_token) and job.client_request_token != build_job_name(order)
