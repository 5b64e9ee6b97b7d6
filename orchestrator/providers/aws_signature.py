"""Authenticates requests to Amazon Web Services: with a signature (version 4), or with a Bedrock API key.

The signer is botocore's, of the extra `bedrock`. A Bedrock API key is sent as it is, and Bedrock alone accepts it:
the training files are in S3, which requires a signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

import msgspec

from orchestrator.core.errors import AuthenticationFailed, ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import Struct

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
BOTOCORE_MODULES: Final = ("botocore.auth", "botocore.awsrequest", "botocore.credentials")
API_KEY_PREFIXES: Final = ("ABSK", "bedrock-api-key-")
"""What a long-term and a short-term Bedrock API key begin with. No other text is sent without a signature."""

_KEY_HINT: Final = (
    "Write `api_key` as a reference to ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN], or use "
    '"cmd:aws configure export-credentials".'
)
_API_KEY_HINT: Final = (
    "Use an access key as `api_key`, which is sufficient for files and jobs, or a JSON document with both: "
    '{"BedrockApiKey": "…", "AccessKeyId": "…", "SecretAccessKey": "…"}. Then `orchestrator release` the account.'
)


class ExportedCredentials(msgspec.Struct, rename="pascal"):
    """What `aws configure export-credentials` and other programs for `credential_process` print."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


class BedrockKeyDocument(msgspec.Struct, rename="pascal"):
    """A document with a Bedrock API key for the jobs, beside an access key for the files."""

    bedrock_api_key: str


_EXPORT_DECODER: Final = msgspec.json.Decoder(ExportedCredentials)
_BEDROCK_KEY_DECODER: Final = msgspec.json.Decoder(BedrockKeyDocument)


class AwsCredentials(Struct, frozen=True):
    """An access key."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None

    @classmethod
    def parse(cls, key: Secret, redact: Redactor) -> AwsCredentials | None:
        """Parse a key: three parts with colons between them, or JSON. None for a key of another form.

        The parts are registered with `redact`, because a response may quote one of them alone.
        """
        text = key.reveal().strip()
        try:
            parsed = _EXPORT_DECODER.decode(text) if text.startswith("{") else _parse_parts(text)
        except msgspec.DecodeError:
            return None
        if parsed is None:
            return None
        secrets = [Secret(part) for part in (parsed.secret_access_key, parsed.session_token) if part]
        for secret in secrets:
            redact.add(secret, fingerprint=key.fingerprint)  # forgotten with the key, of which there may be many
        return cls(parsed.access_key_id, *secrets)


def _parse_parts(text: str) -> ExportedCredentials | None:
    parts = text.split(":")
    return ExportedCredentials(*parts) if len(parts) in (2, 3) and all(parts) else None


def parse_bedrock_api_key(key: Secret, redact: Redactor) -> Secret | None:
    """Return the Bedrock API key that the account's key is or contains; None if there is none."""
    text = key.reveal().strip()
    if text.startswith("{"):
        try:
            text = _BEDROCK_KEY_DECODER.decode(text).bedrock_api_key
        except msgspec.DecodeError:
            return None
    if not text.startswith(API_KEY_PREFIXES):
        return None
    redact.add(api_key := Secret(text), fingerprint=key.fingerprint)
    return api_key


class AwsSigner(Struct, frozen=True):
    """Authenticates the requests of one account to one service in one region."""

    credentials: AwsCredentials | None  # None: the key has another form
    region: str
    service: str  # s3, bedrock
    account: str
    api_key: Secret | None = None  # a Bedrock API key, which is preferred where it is accepted

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], payload_sha256: str = EMPTY_SHA256
    ) -> dict[str, str]:
        """Return the headers with the signature or the Bedrock API key.

        The body is signed by its SHA-256, so it need not be in memory. Raises AuthenticationFailed for a key that the
        service does not accept.
        """
        if self.api_key is not None and self.service == "bedrock":
            return {**headers, "Authorization": f"Bearer {self.api_key.reveal()}"}
        if self.credentials is None:
            raise self._explain_missing_credentials()
        auth, request_module, credentials_module = _import_botocore()
        token = self.credentials.session_token
        credentials = credentials_module.Credentials(
            self.credentials.access_key_id,
            self.credentials.secret_access_key.reveal(),
            token.reveal() if token else None,
        )
        is_s3 = self.service == "s3"  # its paths are signed as they are; those of other services are encoded again
        signer = (auth.S3SigV4Auth if is_s3 else auth.SigV4Auth)(credentials, self.service, self.region)
        signer.payload = lambda _: payload_sha256
        request = request_module.AWSRequest(method=method, url=url, headers=dict(headers))
        signer.add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def _explain_missing_credentials(self) -> AuthenticationFailed:
        if self.api_key is None:
            return AuthenticationFailed("the key is not an access key of AWS", account=self.account, hint=_KEY_HINT)
        return AuthenticationFailed(
            "the key is a Bedrock API key, which S3 does not accept: it is sufficient for models and jobs, and the "
            "training file must be uploaded with an access key",
            account=self.account,
            hint=_API_KEY_HINT,
        )


def check_botocore_installed() -> None:
    """Raise ConfigError if the signer is not installed."""
    _import_botocore()


@cache
def _import_botocore() -> tuple[ModuleType, ModuleType, ModuleType]:
    """Import the signer when the first account needs it: it takes a tenth of a second."""
    try:
        auth, request, credentials = map(import_module, BOTOCORE_MODULES)
    except ImportError as error:
        raise ConfigError(
            "the package botocore, which signs the requests to AWS, is not installed",
            hint="Install it with: pip install 'orchestrator[bedrock]'",
        ) from error
    return auth, request, credentials
