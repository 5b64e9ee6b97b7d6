"""A fake of what issues Google's access tokens, before a fake of Vertex AI that then sees only the account's key.

It verifies the assertion of a service account as Google does: RS256 with the registered key, issuer, audience, scope,
and a life of at most an hour. Errors repeat what was sent, as the worst endpoint would.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the address of the endpoint is
METADATA = "/computeMetadata/v1/instance/service-accounts/default/"


@dataclass
class FakeGoogleTokens:
    """Issues tokens `ya29.NUMBER-token`, and lets a request with a live one pass as `sandbox-ACCOUNT`."""

    app: ASGIApp
    clock: Callable[[], float]
    account: str = "acme"
    url: str = "http://localhost"
    seconds: int = 3600  # life of a token
    keys: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)  # by the service account's e-mail address
    refresh_tokens: set[str] = field(default_factory=set)
    subject_tokens: set[str] = field(default_factory=set)
    live: set[str] = field(default_factory=set)
    calls_per_token: int | None = None  # after so many a token is dead
    calls: Counter[str] = field(default_factory=Counter)
    issued: int = 0
    refused: int = 0  # requests with a dead token
    broken: int = 0  # how many of the next requests for a token fail with status 503
    refusal: tuple[int, str] = (401, "UNAUTHENTICATED")
    seen: list[str] = field(default_factory=list)  # paths

    def create_key(self, email: str = "trainer@proj-acme.iam.gserviceaccount.com", **changes: Any) -> dict[str, Any]:
        """Create a service account with a key, and return its key file."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.keys[email] = private.public_key()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "project_id": "proj-acme",
            "private_key_id": "0123456789abcdef",
            "private_key": pem,
            "client_email": email,
            "client_id": "100000000000000000001",
            "token_uri": f"{self.url}/token",
            **changes,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append(request.url.path)
        answer = await self._answer(request)
        if answer is not None:
            return await answer(scope, receive, send)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.calls[token] += 1
        if self.calls_per_token is not None and self.calls[token] > self.calls_per_token:
            self.live.discard(token)
        if token not in self.live:
            self.refused += 1
            status, word = self.refusal
            error = {"code": status, "message": f"the token {token} is not valid", "status": word}
            return await JSONResponse({"error": error}, status)(scope, receive, send)
        own = (b"authorization", f"Bearer sandbox-{self.account}".encode())
        headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        return await self.app({**scope, "headers": [*headers, own]}, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        path = request.url.path
        if path.startswith("/computeMetadata/"):
            return self._answer_metadata(request)
        if path not in ("/token", "/sts"):
            return None
        if self.broken:
            self.broken -= 1
            return PlainTextResponse("try later", 503)
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        problem = self._find_problem(form)
        return self._refuse(problem, form) if problem else self._issue()

    def _find_problem(self, form: dict[str, str]) -> str | None:
        match form["grant_type"]:
            case "refresh_token":
                known = form["refresh_token"] in self.refresh_tokens and form["client_secret"]
                return None if known else "Bad Request"
            case kind if kind == EXCHANGE_GRANT:
                return None if form["subject_token"] in self.subject_tokens else "Invalid subject token."
            case kind if kind == JWT_GRANT:
                return self._find_assertion_problem(form["assertion"])
        return "unsupported"

    def _find_assertion_problem(self, assertion: str) -> str | None:
        signed, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(decode(part)) for part in signed.split("."))
        if header["alg"] != "RS256" or header["kid"] != "0123456789abcdef":
            return "Invalid JWT header."
        if claims["aud"] != AUDIENCE or claims["scope"] != SCOPE:
            return f"Invalid audience or scope: {claims}"
        if not 0 < claims["exp"] - claims["iat"] <= 3600:
            return "Token must be a short-lived token."
        key = self.keys.get(claims["iss"])
        if key is None:
            return "Invalid grant: account not found"
        try:
            key.verify(decode(signature), signed.encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return "Invalid JWT Signature."
        return None

    def _answer_metadata(self, request: Request) -> Response:
        assert request.headers["metadata-flavor"] == "Google"
        if request.url.path == METADATA:
            return JSONResponse({"email": "machine@proj-acme.iam.gserviceaccount.com", "scopes": [SCOPE]})
        assert request.url.path == f"{METADATA}token"
        return self._issue()

    def _issue(self) -> Response:
        self.issued += 1
        token = f"ya29.{self.issued:06d}-token"
        self.live.add(token)
        kind = "urn:ietf:params:oauth:token-type:access_token"
        body = {"access_token": token, "expires_in": self.seconds, "token_type": "Bearer", "issued_token_type": kind}
        return JSONResponse(body)

    def _refuse(self, problem: str, form: dict[str, str]) -> Response:
        description = f"{problem} You sent {form.get('assertion') or form.get('refresh_token')}"
        return JSONResponse({"error": "invalid_grant", "error_description": description}, 400)


def decode(text: str) -> bytes:
    """The bytes of base64 without padding, in the alphabet for URLs."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
