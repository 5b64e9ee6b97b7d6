"""What the fakes of AWS share: signatures are verified with botocore, and errors have AWS's shape."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from typing import Any
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from fake_world import Refused, Reply
from starlette.requests import Request

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)
MAX_SKEW_SECONDS = 15 * 60
CODES = {
    "rate_limit": "ThrottlingException",
    "permission_denied": "AccessDeniedException",
    "not_found": "ResourceNotFoundException",
    "internal": "InternalServerException",
}


def access_key(name: str) -> str:
    """The key of an account, as it is written into the accounts file."""
    return f"sandbox-{name}:secret-of-{name}"


def bedrock_api_key(name: str) -> str:
    """The Bedrock API key of an account."""
    return f"ABSK-sandbox-{name}"


async def identify_by_signature_or_key(request: Request) -> str:
    """The account of a Bedrock API key or of a signature, of which Bedrock takes either."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        return await identify_by_signature(request)
    name = key.removeprefix("ABSK-sandbox-")
    if name == key or "canary" in name:
        raise Refused(403, f"Authentication failed: {key} is not valid.", "AccessDeniedException")
    return name


async def identify_by_signature(request: Request) -> str:
    """The account whose secret made the signature. Refuses a signature that is wrong or too old."""
    found = SIGNED.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refused(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    name = found["key"].removeprefix("sandbox-")
    if name == found["key"] or "canary" in name:
        raise Refused(403, "The security token included in the request is invalid.", "UnrecognizedClientException")
    stamp = request.headers["x-amz-date"]
    signed_at = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    if abs(time.time() - signed_at) > MAX_SKEW_SECONDS:  # noqa: TID251 - the clock of the signer
        raise Refused(403, "Signature expired: the clock is wrong", "InvalidSignatureException")
    claimed = request.headers.get("x-amz-content-sha256")
    if found["service"] == "s3" and claimed:
        digest = claimed  # compared when the content is received, which may be larger than memory
    else:
        digest = sha256(await request.body()).hexdigest()
        if claimed not in (None, digest):
            raise Refused(400, "The provided 'x-amz-content-sha256' header does not match.", "InvalidRequest")
    if _sign(request, found, name, digest) != found["signature"]:
        raise Refused(403, "The request signature does not match.", "InvalidSignatureException")
    return name


def _sign(request: Request, found: re.Match[str], name: str, digest: str) -> str:
    raw_path = request.scope.get("raw_path", request.url.path.encode()).partition(b"?")[0].decode()
    query = request.scope["query_string"].decode()
    url = f"http://{request.headers['host']}{raw_path}" + (f"?{query}" if query else "")
    headers = {header: request.headers[header] for header in found["headers"].split(";") if header != "host"}
    signer = (S3SigV4Auth if found["service"] == "s3" else SigV4Auth)(
        Credentials(found["key"], f"secret-of-{name}"), found["service"], found["region"]
    )
    rebuilt: Any = AWSRequest(method=request.method, url=url, headers=headers)
    signer.payload = lambda _: digest
    rebuilt.context["timestamp"] = request.headers["x-amz-date"]
    signature: str = signer.signature(signer.string_to_sign(rebuilt, signer.canonical_request(rebuilt)), rebuilt)
    return signature


def json_error(refused: Refused) -> Reply:
    """A refusal of an API of JSON: the code is in a header, with an address behind it."""
    code = CODES.get(refused.code, refused.code)
    address = "http://internal.amazon.com/coral/com.amazonaws.bedrock/"
    return Reply({"message": str(refused)}, headers={"x-amzn-errortype": f"{code}:{address}"})


def xml_error(refused: Refused) -> Reply:
    """A refusal of S3."""
    code = {"rate_limit": "SlowDown", "permission_denied": "AccessDenied"}.get(refused.code, refused.code)
    text = f"<Error><Code>{escape(code)}</Code><Message>{escape(str(refused))}</Message></Error>"
    return Reply(text.encode(), headers={"content-type": "application/xml"})
