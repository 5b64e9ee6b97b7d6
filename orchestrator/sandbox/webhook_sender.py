"""Sends webhooks like OpenAI: one signed request when a job ends, as Standard Webhooks defines it.

The URL is the configured one, with the account's name in place of `{account}`. The secret of account NAME is `whsec_`
followed by the base64 of `sandbox-webhook-NAME`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

from orchestrator.sandbox.faults import WEBHOOK_OPERATION
from orchestrator.sandbox.loopback import NotLoopback, is_loopback
from orchestrator.sandbox.records import SandboxJob
from orchestrator.sandbox.state import SandboxState

POLL_SECONDS: Final = 0.05
RESPONSE_TIMEOUT_SECONDS: Final = 5.0
HTTP_OPENER: Final = build_opener(ProxyHandler({}))


class SandboxWebhookSender:
    """Sends one webhook for each job that ends while the sender runs."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._since = state.clock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send webhooks until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = self._state.clock()
            for job, outcome in self._list_ended_jobs(now):
                task = asyncio.create_task(self._send(job, outcome))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            self._since = now

    def _list_ended_jobs(self, now: float) -> list[tuple[SandboxJob, str]]:
        if self._state.webhook_url is None:
            return []
        timelines = [(job, self._state.get_timelines(job.account)[job.id]) for job in self._state.jobs]
        return [(job, timeline.outcome) for job, timeline in timelines if self._since < timeline.ended <= now]

    async def _send(self, job: SandboxJob, outcome: str) -> None:
        faults = self._state.faults.draw(job.account, WEBHOOK_OPERATION)
        if "drop" in faults:
            return
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait_seconds)
        if "stall" in faults:
            await self._state.faults.wait_until_removed(faults["stall"])
        body, name = build_event(job, outcome, self._state.clock()), f"wh_{uuid4().hex}"
        for _ in range(2 if "twice" in faults else 1):
            secret = "somebody else's secret" if "forged" in faults else get_webhook_secret(job.account)
            headers = build_signed_headers(body, name, int(self._state.clock()), secret)
            outcome_name = await asyncio.to_thread(_post_webhook, self._build_url(job.account), headers, body)
            self._state.counts.outcomes[job.account, WEBHOOK_OPERATION, outcome_name] += 1

    def _build_url(self, account: str) -> str:
        return (self._state.webhook_url or "").replace("{account}", account)


def build_event(job: SandboxJob, outcome: str, now: float) -> bytes:
    """Build the body of a webhook."""
    event: dict[str, Any] = {"object": "event", "id": f"evt_{uuid4().hex}", "created_at": int(now)}
    return json.dumps(event | {"type": f"fine_tuning.job.{outcome}", "data": {"id": job.id}}).encode()


def get_webhook_secret(account: str) -> str:
    """Return the signing secret of an account, without `whsec_` and base64."""
    return f"sandbox-webhook-{account}"


def build_signed_headers(body: bytes, name: str, at: int, secret: str) -> dict[str, str]:
    """Build the headers of a webhook, with its signature."""
    signature = hmac.new(secret.encode(), f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


def validate_webhook_url(url: str, *, allow_remote: bool) -> str:
    """Return the URL. Raises NotLoopback if it leads to another machine."""
    host = urlsplit(url).hostname or ""
    if not url.startswith(("http://", "https://")) or not (allow_remote or is_loopback(host)):
        raise NotLoopback(
            f"the webhook URL must be on this machine, for example http://127.0.0.1:8080/…, not {url!r}"
        )
    return url


def _post_webhook(url: str, headers: dict[str, str], body: bytes) -> str:
    """Send a webhook; return the status of the response, or `unanswered`."""
    try:
        with HTTP_OPENER.open(Request(url, body, headers), timeout=RESPONSE_TIMEOUT_SECONDS) as response:
            return str(response.status)
    except HTTPError as error:
        return str(error.code)
    except OSError:
        return "unanswered"
