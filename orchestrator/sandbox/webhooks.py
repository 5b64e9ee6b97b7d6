"""Webhooks as OpenAI sends them: one signed request when a job has ended, by the rules of Standard Webhooks.

They go to the address that the sandbox was told, `{account}` in it replaced by the account's name. The secret of
account NAME is `whsec_` and the base64 of `sandbox-webhook-NAME`.
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

from orchestrator.sandbox.faults import WEBHOOK
from orchestrator.sandbox.loopback import NotLoopback, is_loopback
from orchestrator.sandbox.records import Job
from orchestrator.sandbox.world import World

LOOK_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 5.0
OPENER: Final = build_opener(ProxyHandler({}))


class Messenger:
    """Sends one for each job that ends while it runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since = world.clock()
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._world.clock()
            for job, outcome in self._ended(now):
                sending = asyncio.create_task(self._send(job, outcome))
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)
            self._since = now

    def _ended(self, now: float) -> list[tuple[Job, str]]:
        if self._world.webhooks is None:
            return []
        courses = [(job, self._world.timelines(job.account)[job.id]) for job in self._world.jobs]
        return [(job, course.outcome) for job, course in courses if self._since < course.ended <= now]

    async def _send(self, job: Job, outcome: str) -> None:
        faults = self._world.faults.draw(job.account, WEBHOOK)
        if "drop" in faults:
            return
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait)
        if "stall" in faults:
            await self._world.faults.wait_until_removed(faults["stall"])
        body, name = event(job, outcome, self._world.clock()), f"wh_{uuid4().hex}"
        for _ in range(2 if "twice" in faults else 1):
            secret = "somebody else's secret" if "forged" in faults else secret_of(job.account)
            headers = sign(body, name, int(self._world.clock()), secret)
            answer = await asyncio.to_thread(_post, self._address(job.account), headers, body)
            self._world.counts.outcomes[job.account, WEBHOOK, answer] += 1

    def _address(self, account: str) -> str:
        return (self._world.webhooks or "").replace("{account}", account)


def event(job: Job, outcome: str, now: float) -> bytes:
    """The body of a request."""
    told: dict[str, Any] = {"object": "event", "id": f"evt_{uuid4().hex}", "created_at": int(now)}
    return json.dumps(told | {"type": f"fine_tuning.job.{outcome}", "data": {"id": job.id}}).encode()


def secret_of(account: str) -> str:
    """What the account's webhooks are signed with, without `whsec_` and base64."""
    return f"sandbox-webhook-{account}"


def sign(body: bytes, name: str, at: int, secret: str) -> dict[str, str]:
    """The headers of a request."""
    signature = hmac.new(secret.encode(), f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


def checked_address(url: str, *, allow_remote: bool) -> str:
    """The address. Raises NotLoopback for one that leads to another machine."""
    host = urlsplit(url).hostname or ""
    if not url.startswith(("http://", "https://")) or not (allow_remote or is_loopback(host)):
        raise NotLoopback(f"webhooks go to this machine, for example to http://127.0.0.1:8080/…, not to {url!r}")
    return url


def _post(url: str, headers: dict[str, str], body: bytes) -> str:
    """The status of the answer, or that there was none."""
    try:
        with OPENER.open(Request(url, body, headers), timeout=ANSWER_SECONDS) as response:
            return str(response.status)
    except HTTPError as refused:
        return str(refused.code)
    except OSError:
        return "unanswered"
