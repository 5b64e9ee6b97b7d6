"""Sends a delivery as one HTTP request that is signed by the Standard Webhooks specification."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime
from typing import Final

import httpx2
from standardwebhooks import Webhook as Signer

from orchestrator.core.proxy import Proxy
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.base import ATTEMPT_TIMEOUT_SECONDS, OutgoingMessage, clean_reply

MAX_REPLY_BYTES: Final = 1000  # of an error response; the rest is not read


def build_client(context: ssl.SSLContext | None = None, proxy: Proxy | None = None) -> httpx2.AsyncClient:
    """Return a client for all webhooks with the same proxy. Proxies of the environment are not used.

    Redirects are not followed: only the operator decides which addresses receive notifications.
    """
    headers = {"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization else {}
    tls_to_proxy = context if proxy and proxy.url.startswith("https:") else None
    return httpx2.AsyncClient(
        timeout=ATTEMPT_TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
        verify=context or True,
        proxy=None if proxy is None else httpx2.Proxy(proxy.url, headers=headers, ssl_context=tls_to_proxy),
    )


class WebhookSender:
    """Sends deliveries to one address."""

    def __init__(self, http: httpx2.AsyncClient, address: str, secret: Secret, redact: Redactor) -> None:
        self._http = http
        self._address = address
        self._signer = Signer(secret.reveal())
        self._redact = redact

    async def __call__(self, delivery: OutgoingMessage, now: float) -> str | None:
        content = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"))
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "orchestrator",
            "webhook-id": delivery.message,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": self._signer.sign(delivery.message, datetime.fromtimestamp(now, UTC), content),
        }
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_SECONDS):
                return await self._post(content.encode(), headers)
        except TimeoutError:
            return f"no response within {ATTEMPT_TIMEOUT_SECONDS:g} seconds"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return clean_reply(self._redact.truncate(f"{type(error).__name__}: {error}", MAX_REPLY_BYTES // 2))

    async def _post(self, content: bytes, headers: dict[str, str]) -> str | None:
        async with self._http.stream("POST", self._address, content=content, headers=headers) as response:
            if response.is_success:
                return None
            if response.is_redirect:
                return f"{response.status_code}: redirects are not followed; correct the address in the accounts file"
            if "content-encoding" in response.headers:  # not decompressed: a few bytes may expand to gigabytes
                return f"{response.status_code}: the response is compressed and was not read"
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) >= MAX_REPLY_BYTES:
                    break
        return clean_reply(
            self._redact.truncate(
                f"{response.status_code}: {body[:MAX_REPLY_BYTES].decode(errors='replace')}", MAX_REPLY_BYTES // 2
            )
        )
