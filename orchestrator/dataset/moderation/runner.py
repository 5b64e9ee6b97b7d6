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
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.dataset.moderation.batches import (
    ModerationLimits,
    TextChunk,
    TokenRateLimiter,
    build_batches,
    count_images,
    estimate_tokens,
    iter_text_chunks,
    match_verdicts,
)
from orchestrator.dataset.read.source_files import DatasetPaths

CACHE_WINDOW_CHUNKS = 256  # pieces that are looked up in the cache together
TEXTS_PER_THREAD_CALL = (
    2_000  # texts counted in one call of a thread: a process that is asked to end waits for the call
)
MAX_RETRY_PAUSE_SECONDS = (
    60.0  # seconds; a provider that asks for a longer one is left to the caller, who may ask another
)
MODERATION_MODEL = "omni-moderation-latest"
T = TypeVar("T")

ModerationCall = Callable[[Sequence[str]], Awaitable[Sequence[ModerationVerdict]]]
"""Asks the provider once, without retries. Raises ProviderError."""

ModerationProgressCallback = Callable[[int, int, float], None]
"""Takes the number of texts done, that of all texts, and an estimate of the seconds left."""

RetryCallback = Callable[[TemporaryError, float], None]
"""Takes why a request failed, and the seconds until it is sent again."""


class ModerationCache(Protocol):
    """Verdicts that are already known, by key. They last, so that a second run costs nothing."""

    async def get(self, keys: Sequence[str]) -> Mapping[str, ModerationVerdict]:
        """Those of the verdicts that are known."""
        ...

    async def put(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        """Keep these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationClock:
    """The caller's clock (seconds) and its way to wait."""

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class ModerationResult:
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


async def moderate_dataset(
    path: DatasetPaths,
    request_verdicts: ModerationCall,
    cache: ModerationCache,
    *,
    clock: ModerationClock,
    limits: ModerationLimits | None = None,
    progress: ModerationProgressCallback | None = None,
    on_retry: RetryCallback | None = None,
) -> ModerationResult:
    """Judge every text of the dataset at `path`. Flagged ones are errors with file and line.

    Raises the provider's error when it does not get better; what was judged until then is kept, and the next call
    continues from there. The dataset must not change meanwhile.
    """
    work = _ModerationRunner(request_verdicts, cache, clock, limits or ModerationLimits(), on_retry)
    texts, tokens = await _count_texts_and_tokens(path)
    work.result.images = sum([sum(part) async for part in _read_slices(count_images(path), TEXTS_PER_THREAD_CALL)])
    done = tokens_done = 0
    started = clock.now()
    async for window in _read_slices(iter_text_chunks(path, MODERATION_MODEL), CACHE_WINDOW_CHUNKS):
        async for judged, judged_tokens in work.moderate_chunks(window):
            done, tokens_done = done + judged, tokens_done + judged_tokens
            if progress:
                left = work.seconds_left(tokens - tokens_done, clock.now() - started)
                progress(done, texts, left)
    return work.result


async def _count_texts_and_tokens(path: DatasetPaths) -> tuple[int, int]:
    """How many texts there are, and about how many tokens in them."""
    sizes = (estimate_tokens(piece.text) for piece in iter_text_chunks(path, MODERATION_MODEL))
    parts = [(len(part), sum(part)) async for part in _read_slices(sizes, TEXTS_PER_THREAD_CALL)]
    return sum(texts for texts, _ in parts), sum(tokens for _, tokens in parts)


async def _read_slices(found: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """The items in lists of that size, each read in a thread."""
    while part := await asyncio.to_thread(lambda: list(islice(found, size))):
        yield part


async def load_cached_result(path: DatasetPaths, cache: ModerationCache) -> ModerationResult:
    """What is known of the texts at `path` without asking anyone: `texts` = `known` + those nobody judged yet."""
    outcome = ModerationResult(
        images=sum([sum(part) async for part in _read_slices(count_images(path), TEXTS_PER_THREAD_CALL)])
    )
    seen = set[str]()
    async for window in _read_slices(iter_text_chunks(path, MODERATION_MODEL), CACHE_WINDOW_CHUNKS):
        known = await cache.get([piece.key for piece in window])
        outcome.findings += [piece.to_finding(known[piece.key]) for piece in _iter_flagged(window, known)]
        new = {piece.key for piece in window} - seen
        outcome.texts += len(new)
        outcome.known += len(new & known.keys())
        seen |= new
    return outcome


def _iter_flagged(window: Sequence[TextChunk], known: Mapping[str, ModerationVerdict]) -> Iterator[TextChunk]:
    return (piece for piece in window if piece.key in known and known[piece.key].flagged)


class _ModerationRunner:
    def __init__(
        self,
        request_verdicts: ModerationCall,
        cache: ModerationCache,
        clock: ModerationClock,
        limits: ModerationLimits,
        on_retry: RetryCallback | None,
    ) -> None:
        self.result = ModerationResult()
        self._request_verdicts = request_verdicts
        self._cache = cache
        self._clock = clock
        self._limits = limits
        self._on_retry = on_retry
        self._sent_tokens = 0
        self._rate_limiter = TokenRateLimiter(limits.tokens_per_minute)
        self._seen: set[str] = set()
        self._flagged: dict[str, ModerationVerdict] = {}

    async def moderate_chunks(self, window: Sequence[TextChunk]) -> AsyncIterator[tuple[int, int]]:
        """Judge what is new in the window and note each place of a flagged text.

        Yields, each time, how many texts are done, and about how many tokens.
        """
        new = {piece.key: piece for piece in window if piece.key not in self._seen}
        known = await self._cache.get(list(new))
        self._add_flagged(known)
        self.result.known += len(known)
        todo = [piece for key, piece in new.items() if key not in known]
        for batch in build_batches(todo, self._limits):
            verdicts = await self._send_with_retries(batch)
            await self._cache.put(verdicts)
            self._add_flagged(verdicts)
            self.result.sent += len(verdicts)
            yield len(batch), _estimate_batch_tokens(batch)
        self._seen |= new.keys()
        self.result.texts += len(new)
        flagged = (piece for piece in window if piece.key in self._flagged)
        self.result.findings += [piece.to_finding(self._flagged[piece.key]) for piece in flagged]
        yield len(window) - len(todo), _estimate_batch_tokens(window) - _estimate_batch_tokens(todo)

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

    def _add_flagged(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        self._flagged |= {key: verdict for key, verdict in verdicts.items() if verdict.flagged}

    async def _send_with_retries(self, batch: Sequence[TextChunk]) -> dict[str, ModerationVerdict]:
        """One request, again after a temporary error or an incomplete answer."""
        tokens = _estimate_batch_tokens(batch)
        tries = 0
        while True:
            if wait := self._rate_limiter.delay_seconds(tokens, self._clock.now()):
                await self._clock.sleep(wait)
            self._rate_limiter.record_sent(tokens, self._clock.now())
            tries += 1
            try:
                verdicts = await self._send_batch(batch)
            except TemporaryError as error:
                pause = error.retry_after or 2.0**tries
                if tries >= self._limits.max_attempts or pause > MAX_RETRY_PAUSE_SECONDS:
                    raise
                if self._on_retry:
                    self._on_retry(error, pause)
                await self._clock.sleep(pause)
            else:
                self._sent_tokens += tokens
                return verdicts

    async def _send_batch(self, batch: Sequence[TextChunk]) -> dict[str, ModerationVerdict]:
        verdicts = await self._request_verdicts([piece.text for piece in batch])
        if (result := match_verdicts(batch, verdicts)) is None:
            raise TemporaryError(
                f"the moderation returned {len(verdicts)} results for {len(batch)} texts",
                hint="The response was discarded. If it happens again, moderate with another account.",
            )
        return result


def _estimate_batch_tokens(batch: Sequence[TextChunk]) -> int:
    return sum(estimate_tokens(piece.text) for piece in batch)
