"""Signs requests to Amazon Web Services (signature version 4) with botocore's signer, the extra `bedrock`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

import msgspec

from orchestrator.core.errors import AuthenticationFailed, ConfigError
from orchestrator.core.secret import Redactor, Secret

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
BOTOCORE_MODULES: Final = ("botocore.auth", "botocore.awsrequest", "botocore.credentials")
_KEY_HINT: Final = (
    "Write `api_key` as a reference to ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN], or use "
    '"cmd:aws configure export-credentials".'
)


class ExportedCredentials(msgspec.Struct, rename="pascal"):
    """What `aws configure export-credentials` and other programs for `credential_process` print."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


_EXPORT_DECODER: Final = msgspec.json.Decoder(ExportedCredentials)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
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


@dataclass(frozen=True, slots=True)
class AwsSigner:
    """Signs the requests of one account to one service in one region."""

    credentials: AwsCredentials | None  # None: the key has another form
    region: str
    service: str  # s3, bedrock
    account: str

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], payload_sha256: str = EMPTY_SHA256
    ) -> dict[str, str]:
        """Return the headers with the signature. The body is signed by its SHA-256, so it need not be in memory.

        Raises AuthenticationFailed for a key that is not an access key.
        """
        if self.credentials is None:
            raise AuthenticationFailed("the key is not an access key of AWS", account=self.account, hint=_KEY_HINT)
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
