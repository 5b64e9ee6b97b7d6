"""Runs every text of a dataset through a provider's moderation, with a cache, a rate limit and retries."""

# Theory of operation
#
# The texts of a dataset may need hours at the lowest rate limit, so a run must be resumable and must use little
# memory. It works in windows of CACHE_WINDOW_CHUNKS chunks:
#
#   1. Read the next window from the files, in a thread (`_read_slices`).
#   2. Drop the chunks whose key was in an earlier window of this run (`_seen_keys`), and ask the cache for the rest.
#   3. Send the unknown chunks in batches that keep the provider's limits (`batches`). Each batch is stored in the
#      cache as soon as it is answered, so that a crash or a stop loses at most one request.
#   4. Create a finding for every place of a flagged text. A text that occurs ten times is moderated once, but
#      reported ten times, because the operator has to remove all of them.
#
# What must hold, because a wrong "passed" sends forbidden texts to the provider:
#   * A text counts as passed only if a verdict for it exists. `ModerationResult.passed` compares the number of
#     different texts with the number of verdicts instead of trusting that the loop reached the end.
#   * A response with another number of results than inputs is discarded completely (`match_verdicts`): it is unknown
#     which text each verdict belongs to. It is retried like a temporary error.
#   * Images cannot be moderated here. They are counted, and a dataset with images never passes.
#   * The dataset must not change during the run: it is read twice (once to count, once to moderate), and the
#     estimate of the time left would be wrong. Callers moderate the canonical files, which never change.
#
# Cancellation: the service cancels this coroutine when it stops or when a newer dataset takes over. Every await is a
# safe place for it; at most the verdicts of one response are lost and requested again. Reading runs in a thread,
# which cannot be cancelled; TEXTS_PER_THREAD_CALL bounds how long the stop waits for it.
#
# Time comes from the caller (`ModerationClock`), so that tests run hours of waiting in no time. The rate limiter
# records the tokens before the request, not after the response: a failed request may count at the provider as well.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from orchestrator.core.errors import TemporaryError
from orchestrator.core.finding import Finding
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.structs import Struct, field
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

CACHE_WINDOW_CHUNKS = 256  # chunks per cache query
TEXTS_PER_THREAD_CALL = 2_000  # texts read in one call of a thread: a stop has to wait for the call
MAX_RETRY_PAUSE_SECONDS = 60.0  # for a longer pause the error is raised: the caller may use another account
MODERATION_MODEL = "omni-moderation-latest"
T = TypeVar("T")

ModerationCall = Callable[[Sequence[str]], Awaitable[Sequence[ModerationVerdict]]]
"""Sends the texts to the provider once, without retries. Raises ProviderError."""

ModerationProgressCallback = Callable[[int, int, float], None]
"""Receives the number of finished texts, the number of all texts, and the estimated seconds left."""

RetryCallback = Callable[[TemporaryError, float], None]
"""Receives the error of a request, and the seconds until it is sent again."""


class ModerationCache(Protocol):
    """Persistent store of verdicts by key. It makes a second run free of charge."""

    async def get(self, keys: Sequence[str]) -> Mapping[str, ModerationVerdict]:
        """Return the known verdicts for these keys."""
        ...

    async def put(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        """Store the verdicts."""
        ...


class ModerationClock(Struct, frozen=True, kw_only=True):
    """The time source of a run: `now` returns seconds, `sleep` waits for a number of seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


class ModerationResult(Struct):
    """The outcome of a run, or what the cache knows about a dataset."""

    findings: list[Finding] = field(default_factory=list)  # one per place of a flagged text
    texts: int = 0  # different texts
    sent: int = 0  # texts moderated in this run
    known: int = 0  # texts whose verdict was in the cache
    images: int = 0  # images, which cannot be moderated here

    @property
    def passed(self) -> bool:
        """Whether every text has a verdict, none is flagged, and there are no images."""
        return not self.findings and not self.images and self.texts == self.sent + self.known

    def __str__(self) -> str:
        text = f"{self.sent + self.known:,} of {self.texts:,} texts moderated, {len(self.findings):,} flagged"
        return text + (f"; {self.images:,} images cannot be moderated here" if self.images else "")


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
    """Moderate every text of the dataset at `path`. Flagged texts become findings with file and line.

    Raises the provider's error when it persists; all verdicts received until then are in the cache, and the next call
    continues from there. The dataset must not change during the call.
    """
    runner = _ModerationRunner(request_verdicts, cache, clock, limits or ModerationLimits(), on_retry)
    texts, tokens = await _count_texts_and_tokens(path)
    runner.result.images = sum([sum(part) async for part in _read_slices(count_images(path), TEXTS_PER_THREAD_CALL)])
    done = tokens_done = 0
    started = clock.now()
    async for window in _read_slices(iter_text_chunks(path, MODERATION_MODEL), CACHE_WINDOW_CHUNKS):
        async for finished, finished_tokens in runner.moderate_chunks(window):
            done, tokens_done = done + finished, tokens_done + finished_tokens
            if progress:
                left = runner.seconds_left(tokens - tokens_done, clock.now() - started)
                progress(done, texts, left)
    return runner.result


async def _count_texts_and_tokens(path: DatasetPaths) -> tuple[int, int]:
    """Return the number of texts and the estimated number of their tokens."""
    sizes = (estimate_tokens(chunk.text) for chunk in iter_text_chunks(path, MODERATION_MODEL))
    parts = [(len(part), sum(part)) async for part in _read_slices(sizes, TEXTS_PER_THREAD_CALL)]
    return sum(texts for texts, _ in parts), sum(tokens for _, tokens in parts)


async def _read_slices(items: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """Yield the items in lists of at most `size`, each read in a thread, so that the event loop is not blocked."""
    while part := await asyncio.to_thread(lambda: list(islice(items, size))):
        yield part


async def load_cached_result(path: DatasetPaths, cache: ModerationCache) -> ModerationResult:
    """Return what the cache knows about the texts at `path`, without any request; unknown texts are only counted."""
    outcome = ModerationResult(
        images=sum([sum(part) async for part in _read_slices(count_images(path), TEXTS_PER_THREAD_CALL)])
    )
    seen_keys = set[str]()
    async for window in _read_slices(iter_text_chunks(path, MODERATION_MODEL), CACHE_WINDOW_CHUNKS):
        known = await cache.get([chunk.key for chunk in window])
        outcome.findings += [chunk.to_finding(known[chunk.key]) for chunk in _iter_flagged(window, known)]
        new = {chunk.key for chunk in window} - seen_keys
        outcome.texts += len(new)
        outcome.known += len(new & known.keys())
        seen_keys |= new
    return outcome


def _iter_flagged(window: Sequence[TextChunk], known: Mapping[str, ModerationVerdict]) -> Iterator[TextChunk]:
    return (chunk for chunk in window if chunk.key in known and known[chunk.key].flagged)


class _ModerationRunner:
    """The state of one run: which texts were processed, and which of them are flagged."""

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
        self._sent_tokens = 0  # tokens of answered requests, for the estimate of the time left
        self._rate_limiter = TokenRateLimiter(limits.tokens_per_minute)
        self._seen_keys: set[str] = set()  # keys of earlier windows
        self._flagged: dict[str, ModerationVerdict] = {}

    async def moderate_chunks(self, window: Sequence[TextChunk]) -> AsyncIterator[tuple[int, int]]:
        """Moderate the new chunks of the window and create a finding for each place of a flagged text.

        Yields the number of chunks finished in each step, and the estimated number of their tokens.
        """
        new = {chunk.key: chunk for chunk in window if chunk.key not in self._seen_keys}
        known = await self._cache.get(list(new))
        self._add_flagged(known)
        self.result.known += len(known)
        todo = [chunk for key, chunk in new.items() if key not in known]
        for batch in build_batches(todo, self._limits):
            verdicts = await self._send_with_retries(batch)
            await self._cache.put(verdicts)  # before anything else: a stop must not lose them
            self._add_flagged(verdicts)
            self.result.sent += len(verdicts)
            yield len(batch), _estimate_batch_tokens(batch)
        self._seen_keys |= new.keys()
        self.result.texts += len(new)
        flagged = (chunk for chunk in window if chunk.key in self._flagged)
        self.result.findings += [chunk.to_finding(self._flagged[chunk.key]) for chunk in flagged]
        yield len(window) - len(todo), _estimate_batch_tokens(window) - _estimate_batch_tokens(todo)

    def seconds_left(self, tokens: int, elapsed: float) -> float:
        """Estimate the seconds that `tokens` more tokens take, if none of their verdicts is in the cache.

        The tokens of the first minute may be sent at once. After that the speed is the measured one, at most the
        rate limit.
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
        """Send one request; retry it after a temporary error or an incomplete response."""
        tokens = _estimate_batch_tokens(batch)
        attempts = 0
        while True:
            if wait := self._rate_limiter.delay_seconds(tokens, self._clock.now()):
                await self._clock.sleep(wait)
            self._rate_limiter.record_sent(tokens, self._clock.now())
            attempts += 1
            try:
                verdicts = await self._send_batch(batch)
            except TemporaryError as error:
                pause = error.retry_after or 2.0**attempts
                if attempts >= self._limits.max_attempts or pause > MAX_RETRY_PAUSE_SECONDS:
                    raise
                if self._on_retry:
                    self._on_retry(error, pause)
                await self._clock.sleep(pause)
            else:
                self._sent_tokens += tokens
                return verdicts

    async def _send_batch(self, batch: Sequence[TextChunk]) -> dict[str, ModerationVerdict]:
        verdicts = await self._request_verdicts([chunk.text for chunk in batch])
        if (result := match_verdicts(batch, verdicts)) is None:
            raise TemporaryError(
                f"the moderation returned {len(verdicts)} results for {len(batch)} texts",
                hint="The response was discarded. If it happens again, moderate with another account.",
            )
        return result


def _estimate_batch_tokens(batch: Sequence[TextChunk]) -> int:
    return sum(estimate_tokens(chunk.text) for chunk in batch)
