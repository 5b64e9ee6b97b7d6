"""The signature of requests to AWS: the published test vectors, and botocore's own client as a judge."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import BearerAuth
from botocore.awsrequest import AWSRequest
from botocore.tokens import FrozenAuthToken

from orchestrator.core.errors import AuthenticationFailed, ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers import aws_signature
from orchestrator.providers.aws_signature import (
    AwsCredentials,
    AwsSigner,
    check_botocore_installed,
    parse_bedrock_api_key,
)

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def published_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment of the published examples: 2013-05-24T00:00:00Z."""
    import botocore.auth

    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime(2013, 5, 24, tzinfo=UTC))


def sign(method: str, url: str, headers: dict[str, str]) -> dict[str, str]:
    credentials = AwsCredentials.parse(Secret(f"{ACCESS}:{SECRET}"), Redactor())
    return AwsSigner(credentials, "us-east-1", "s3", "acme").sign(method, url, headers)


@pytest.mark.usefixtures("published_time")
@pytest.mark.parametrize(
    ("path", "headers", "signature"),
    [
        (
            "/test.txt",
            {"Range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        ("/?lifecycle=", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signature_of_the_published_example(path: str, headers: dict[str, str], signature: str) -> None:
    signed = sign("GET", f"https://examplebucket.s3.amazonaws.com{path}", headers)
    assert signed["Authorization"].endswith(f"Signature={signature}")


def test_session_token_is_sent_and_signed() -> None:
    redact = Redactor()
    key = f'{{"Version": 1, "AccessKeyId": "{ACCESS}", "SecretAccessKey": "{SECRET}", "SessionToken": "token-0042"}}'
    credentials = AwsCredentials.parse(Secret(key), redact)
    signed = AwsSigner(credentials, "us-east-1", "bedrock", "acme").sign("GET", "https://b.example/jobs", {})
    assert signed["X-Amz-Security-Token"] == "token-0042"
    assert "x-amz-security-token" in signed["Authorization"]
    assert SECRET not in "".join(signed.values())
    assert "wJalr" not in redact(f"{SECRET} token-0042")
    assert "token-0042" not in redact(f"{SECRET} token-0042")


@pytest.mark.parametrize("key", ["sk-1", "a:", "a:b:c:d", "{}", "{not json", '{"AccessKeyId": 7}'])
def test_key_of_another_form_is_refused_without_being_shown(key: str) -> None:
    signer = AwsSigner(AwsCredentials.parse(Secret(key), Redactor()), "us-east-1", "s3", "acme")
    with pytest.raises(AuthenticationFailed, match="not an access key of AWS") as refused:
        signer.sign("GET", "https://example.com/", {})
    assert key not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("key", ["ABSK-0042", "bedrock-api-key-0042", '{"BedrockApiKey": "ABSK-0042"}'])
def test_bedrock_api_key_is_sent_as_botocore_sends_it(key: str) -> None:
    url, redact = "https://bedrock.us-east-1.amazonaws.com/model-customization-jobs", Redactor()
    api_key = parse_bedrock_api_key(Secret(key), redact)
    assert api_key is not None
    theirs: Any = AWSRequest(method="GET", url=url)
    BearerAuth(FrozenAuthToken(api_key.reveal())).add_auth(theirs)
    assert AwsSigner(None, "us-east-1", "bedrock", "acme", api_key).sign("GET", url, {}) == dict(
        theirs.headers.items()
    )
    assert "0042" not in redact(f"the key {api_key.reveal()}")


@pytest.mark.parametrize(
    "key", ["AKIA:secret", "sk-1", "{}", '{"BedrockApiKey": "AKIA0042"}', '{"BedrockApiKey": 7}']
)
def test_other_text_is_never_sent_as_a_bedrock_api_key(key: str) -> None:
    assert parse_bedrock_api_key(Secret(key), Redactor()) is None


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    aws_signature._import_botocore.cache_clear()
    with pytest.raises(ConfigError) as missing:
        check_botocore_installed()
    assert "orchestrator[bedrock]" in missing.value.hint
    aws_signature._import_botocore.cache_clear()
