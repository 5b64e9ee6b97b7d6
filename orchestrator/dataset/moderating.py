"""Moderating: every text of a dataset through a provider's moderation.

It can be resumed: what was judged is never sent again. An answer with fewer results than inputs, an error or an image
is never a pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from orchestrator.core.errors import TemporaryError
from orchestrator.core.finding import Finding
from orchestrator.core.moderation import Verdict
from orchestrator.dataset.files import Paths
from orchestrator.dataset.moderation import Limits, Pace, Piece, batches, estimated, images, matched, pieces

WINDOW = 256  # pieces that are looked up in the cache together
COUNTED = 2_000  # texts counted in one call of a thread: a process that is asked to end waits for the call
LONGEST_PAUSE = 60.0  # seconds; a provider that asks for a longer one is left to the caller, who may ask another
MODEL = "omni-moderation-latest"
T = TypeVar("T")

Moderate = Callable[[Sequence[str]], Awaitable[Sequence[Verdict]]]
"""Asks the provider once, without retries. Raises ProviderError."""

Progress = Callable[[int, int, float], None]
"""Takes the number of texts done, that of all texts, and an estimate of the seconds left."""

Retrying = Callable[[TemporaryError, float], None]
"""Takes why a request failed, and the seconds until it is sent again."""


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
    path: Paths,
    ask: Moderate,
    cache: Cache,
    *,
    time: Time,
    limits: Limits | None = None,
    progress: Progress | None = None,
    retrying: Retrying | None = None,
) -> Moderated:
    """Judge every text of the dataset at `path`. Flagged ones are errors with file and line.

    Raises the provider's error when it does not get better; what was judged until then is kept, and the next call
    continues from there. The dataset must not change meanwhile.
    """
    work = _Moderating(ask, cache, time, limits or Limits(), retrying)
    texts, tokens = await _measure(path)
    work.outcome.images = sum([sum(part) async for part in _slices(images(path), COUNTED)])
    done = tokens_done = 0
    started = time.clock()
    async for window in _slices(pieces(path, MODEL), WINDOW):
        async for judged, judged_tokens in work.judge(window):
            done, tokens_done = done + judged, tokens_done + judged_tokens
            if progress:
                left = work.seconds_left(tokens - tokens_done, time.clock() - started)
                progress(done, texts, left)
    return work.outcome


async def _measure(path: Paths) -> tuple[int, int]:
    """How many texts there are, and about how many tokens in them."""
    sizes = (estimated(piece.text) for piece in pieces(path, MODEL))
    parts = [(len(part), sum(part)) async for part in _slices(sizes, COUNTED)]
    return sum(texts for texts, _ in parts), sum(tokens for _, tokens in parts)


async def _slices(found: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """The items in lists of that size, each read in a thread."""
    while part := await asyncio.to_thread(lambda: list(islice(found, size))):
        yield part


async def recalled(path: Paths, cache: Cache) -> Moderated:
    """What is known of the texts at `path` without asking anyone: `texts` = `known` + those nobody judged yet."""
    outcome = Moderated(images=sum([sum(part) async for part in _slices(images(path), COUNTED)]))
    seen = set[str]()
    async for window in _slices(pieces(path, MODEL), WINDOW):
        known = await cache.get([piece.key for piece in window])
        outcome.findings += [piece.finding(known[piece.key]) for piece in _flagged(window, known)]
        new = {piece.key for piece in window} - seen
        outcome.texts += len(new)
        outcome.known += len(new & known.keys())
        seen |= new
    return outcome


def _flagged(window: Sequence[Piece], known: Mapping[str, Verdict]) -> Iterator[Piece]:
    return (piece for piece in window if piece.key in known and known[piece.key].flagged)


class _Moderating:
    def __init__(self, ask: Moderate, cache: Cache, time: Time, limits: Limits, retrying: Retrying | None) -> None:
        self.outcome = Moderated()
        self._ask = ask
        self._cache = cache
        self._time = time
        self._limits = limits
        self._retrying = retrying
        self._sent_tokens = 0
        self._pace = Pace(limits.tokens_per_minute)
        self._seen: set[str] = set()
        self._flagged: dict[str, Verdict] = {}

    async def judge(self, window: Sequence[Piece]) -> AsyncIterator[tuple[int, int]]:
        """Judge what is new in the window and note each place of a flagged text.

        Yields, each time, how many texts are done, and about how many tokens.
        """
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
            yield len(batch), _tokens(batch)
        self._seen |= new.keys()
        self.outcome.texts += len(new)
        flagged = (piece for piece in window if piece.key in self._flagged)
        self.outcome.findings += [piece.finding(self._flagged[piece.key]) for piece in flagged]
        yield len(window) - len(todo), _tokens(window) - _tokens(todo)

    def seconds_left(self, tokens: int, elapsed: float) -> float:
        """How long so many more tokens take, if none of their verdicts is known.

        The first minute's tokens may be sent at once; later the speed is the measured one, or the limit.
        """
        speed = self._limits.tokens_per_minute / 60
        if elapsed < 60:
            tokens -= max(self._limits.tokens_per_minute - self._sent_tokens, 0)
        elif self._sent_tokens:
            speed = min(speed, self._sent_tokens / elapsed)
        return max(tokens, 0) / speed

    def _note(self, verdicts: Mapping[str, Verdict]) -> None:
        self._flagged |= {key: verdict for key, verdict in verdicts.items() if verdict.flagged}

    async def _send(self, batch: Sequence[Piece]) -> dict[str, Verdict]:
        """One request, again after a temporary error or an incomplete answer."""
        tokens = _tokens(batch)
        tries = 0
        while True:
            if wait := self._pace.wait(tokens, self._time.clock()):
                await self._time.pause(wait)
            self._pace.sent(tokens, self._time.clock())
            tries += 1
            try:
                verdicts = await self._request(batch)
            except TemporaryError as error:
                pause = error.retry_after or 2.0**tries
                if tries >= self._limits.tries or pause > LONGEST_PAUSE:
                    raise
                if self._retrying:
                    self._retrying(error, pause)
                await self._time.pause(pause)
            else:
                self._sent_tokens += tokens
                return verdicts

    async def _request(self, batch: Sequence[Piece]) -> dict[str, Verdict]:
        verdicts = await self._ask([piece.text for piece in batch])
        if (result := matched(batch, verdicts)) is None:
            raise TemporaryError(
                f"the moderation answered {len(verdicts)} results for {len(batch)} texts",
                hint="Nothing of that answer counts. If it happens again, moderate with another account.",
            )
        return result


def _tokens(batch: Sequence[Piece]) -> int:
    return sum(estimated(piece.text) for piece in batch)
