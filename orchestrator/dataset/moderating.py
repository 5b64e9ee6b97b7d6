"""Moderating: every text of a dataset through a provider's moderation.

It can be resumed: what was judged is never sent again. An answer with fewer results than inputs, an error or an image
is never a pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from orchestrator.core.errors import TemporaryError
from orchestrator.core.finding import Finding
from orchestrator.core.moderation import Verdict
from orchestrator.dataset.files import Paths
from orchestrator.dataset.moderation import Limits, Pace, Piece, batches, estimated, images, matched, pieces

WINDOW = 256  # pieces that are looked up in the cache together
MODEL = "omni-moderation-latest"

Moderate = Callable[[Sequence[str]], Awaitable[Sequence[Verdict]]]
"""Asks the provider once, without retries. Raises ProviderError."""


class Cache(Protocol):
    """Verdicts that are already known, by key. They last, so that a second run costs nothing."""

    async def get(self, keys: Sequence[str]) -> Mapping[str, Verdict]:
        """Those of the verdicts that are known."""
        ...

    async def put(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The caller's clock (seconds) and its way to wait."""

    clock: Callable[[], float]
    pause: Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Moderated:
    """The outcome. `texts` different texts = `sent` now + `known` before; `images` were not judged."""

    findings: list[Finding] = field(default_factory=list)
    texts: int = 0
    sent: int = 0
    known: int = 0
    images: int = 0

    @property
    def passed(self) -> bool:
        """Everything was judged and nothing was flagged."""
        return not self.findings and not self.images and self.texts == self.sent + self.known

    def __str__(self) -> str:
        judged = f"{self.sent + self.known:,} of {self.texts:,} texts moderated, {len(self.findings):,} flagged"
        return judged + (f"; {self.images:,} images cannot be moderated here" if self.images else "")


async def moderate(
    path: Path,
    ask: Moderate,
    cache: Cache,
    *,
    time: Time,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Moderated:
    """Judge every text of the dataset at `path`. Flagged ones are errors with file and line.

    Raises the provider's error when it does not get better; what was judged until then is kept, and the next call
    goes on from there. The dataset must not change between this and the build.
    """
    work = _Moderating(ask, cache, time, limits or Limits())
    total = await asyncio.to_thread(lambda: sum(1 for _ in pieces(path, MODEL)))
    work.outcome.images = await asyncio.to_thread(images, path)
    found = pieces(path, MODEL)
    done = 0
    while window := await asyncio.to_thread(_take, found):
        async for judged in work.judge(window):
            done += judged
            if progress:
                progress(done, total)
    return work.outcome


async def recalled(path: Paths, cache: Cache) -> Moderated:
    """What is known of the texts at `path` without asking anyone: `texts` = `known` + those nobody judged yet."""
    outcome = Moderated(images=await asyncio.to_thread(images, path))
    found, seen = pieces(path, MODEL), set[str]()
    while window := await asyncio.to_thread(_take, found):
        known = await cache.get([piece.key for piece in window])
        outcome.findings += [piece.finding(known[piece.key]) for piece in _flagged(window, known)]
        new = {piece.key for piece in window} - seen
        outcome.texts += len(new)
        outcome.known += len(new & known.keys())
        seen |= new
    return outcome


def _flagged(window: Sequence[Piece], known: Mapping[str, Verdict]) -> Iterator[Piece]:
    return (piece for piece in window if piece.key in known and known[piece.key].flagged)


def _take(found: Iterator[Piece]) -> list[Piece]:
    return list(islice(found, WINDOW))


class _Moderating:
    def __init__(self, ask: Moderate, cache: Cache, time: Time, limits: Limits) -> None:
        self.outcome = Moderated()
        self._ask = ask
        self._cache = cache
        self._time = time
        self._limits = limits
        self._pace = Pace(limits.tokens_per_minute)
        self._seen: set[str] = set()
        self._flagged: dict[str, Verdict] = {}

    async def judge(self, window: Sequence[Piece]) -> AsyncIterator[int]:
        """Judge what is new in the window, note each place of a flagged text, and say how many are done each time."""
        new = {piece.key: piece for piece in window if piece.key not in self._seen}
        known = await self._cache.get(list(new))
        self._note(known)
        self.outcome.known += len(known)
        todo = [piece for key, piece in new.items() if key not in known]
        for batch in batches(todo, self._limits):
            verdicts = await self._send(batch)
            await self._cache.put(verdicts)
            self._note(verdicts)
            self.outcome.sent += len(verdicts)
            yield len(batch)
        self._seen |= new.keys()
        self.outcome.texts += len(new)
        flagged = (piece for piece in window if piece.key in self._flagged)
        self.outcome.findings += [piece.finding(self._flagged[piece.key]) for piece in flagged]
        yield len(window) - len(todo)

    def _note(self, verdicts: Mapping[str, Verdict]) -> None:
        self._flagged |= {key: verdict for key, verdict in verdicts.items() if verdict.flagged}

    async def _send(self, batch: Sequence[Piece]) -> dict[str, Verdict]:
        """One request, again after a temporary error or an incomplete answer."""
        tokens = sum(estimated(piece.text) for piece in batch)
        tries = 0
        while True:
            if wait := self._pace.wait(tokens, self._time.clock()):
                await self._time.pause(wait)
            self._pace.sent(tokens, self._time.clock())
            tries += 1
            try:
                return await self._request(batch)
            except TemporaryError as error:
                if tries >= self._limits.tries:
                    raise
                await self._time.pause(error.retry_after or 2.0**tries)

    async def _request(self, batch: Sequence[Piece]) -> dict[str, Verdict]:
        verdicts = await self._ask([piece.text for piece in batch])
        if (result := matched(batch, verdicts)) is None:
            raise TemporaryError(
                f"the moderation answered {len(verdicts)} results for {len(batch)} texts",
                hint="Nothing of that answer counts. If it happens again, moderate with another account.",
            )
        return result
