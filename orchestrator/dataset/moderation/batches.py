"""The pure part of moderation: text chunks, batches, the rate limit, and findings from verdicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.structs import Struct
from orchestrator.dataset.checks.text_walk import iter_messages, iter_texts
from orchestrator.dataset.example import Example, KeyPath, create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.reader import read_chats
from orchestrator.dataset.read.source_files import DatasetPaths, list_source_files

CHUNK_CHARACTERS = 20_000  # longer texts are split
CHUNK_OVERLAP_CHARACTERS = 200  # shared by two chunks, so that no phrase is hidden by a split
MIN_SHOWN_SCORE = 0.01  # scores below it are left out of messages


class TextChunk(Struct, frozen=True):
    """A text, or a part of a long text, with its place in the source file."""

    key: str  # hash of model and text: equal texts have equal keys, so that each is moderated once
    text: str
    file: str
    line: int
    path: str  # JSON path

    def to_finding(self, verdict: ModerationVerdict) -> Finding:
        """Create the finding for a flagged text, with its categories and scores."""
        flagged = (
            f"{name} {verdict.scores[name]:.2f}" if name in verdict.scores else name for name in verdict.categories
        )
        scores = sorted(verdict.scores.items(), key=lambda item: -item[1])
        others = (
            f"{name} {score:.2f}"
            for name, score in scores
            if score >= MIN_SHOWN_SCORE and name not in verdict.categories
        )
        message = f"the provider's moderation flags this text: {', '.join(flagged) or 'no category given'}"
        also = ", ".join(others)
        return create_finding(
            FindingCode.FLAGGED,
            self.file,
            message + (f" (also {also})" if also else ""),
            line=self.line,
            path=self.path,
        )


class ModerationLimits(Struct, frozen=True, kw_only=True):
    """The limits of one account's moderation. The defaults are those of OpenAI's lowest tier."""

    inputs_per_request: int = 32
    tokens_per_request: int = 8_000
    tokens_per_minute: int = 10_000
    max_attempts: int = 6  # attempts of one request


def iter_text_chunks(path: DatasetPaths, model: str) -> Iterator[TextChunk]:
    """Yield every text of every example at `path`, including the arguments of tool calls, in chunks."""
    for example in _read_examples(path):
        for text, key_path in _iter_texts(example):
            line, place = example.locate(key_path)
            for start in range(
                0, max(1, len(text) - CHUNK_OVERLAP_CHARACTERS), CHUNK_CHARACTERS - CHUNK_OVERLAP_CHARACTERS
            ):
                part = text[start : start + CHUNK_CHARACTERS]
                key = sha256(f"{model}\0{part}".encode("utf-8", "surrogatepass")).hexdigest()
                yield TextChunk(key, part, example.file, line or example.line, place)


def count_images(path: DatasetPaths) -> Iterator[int]:
    """Yield the number of images of each example. Images cannot be moderated here, so they never pass."""
    return (
        sum(_count_message_images(message) for message, _ in iter_messages(example.body))
        for example in _read_examples(path)
    )


def _read_examples(path: DatasetPaths) -> Iterator[Example]:
    for source in list_source_files(path):
        for record in read_chats(source):
            if record.example and not any(finding.severity is Severity.ERROR for finding in record.findings):
                yield record.example


def _iter_texts(example: Example) -> Iterator[tuple[str, KeyPath]]:
    for _, text, key_path in iter_texts(example.body):
        if text.strip():
            yield text, key_path
    for message, key_path in iter_messages(example.body):
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(arguments, str) and arguments.strip():
                yield arguments, (*key_path, "tool_calls", number, "function", "arguments")


def _count_message_images(message: Mapping[str, Any]) -> int:
    parts = message.get("content")
    if not isinstance(parts, list):
        return 0
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def build_batches(chunks: Iterable[TextChunk], limits: ModerationLimits) -> Iterator[list[TextChunk]]:
    """Group the chunks into batches that keep the limits; a chunk that is too large is a batch of its own."""
    batch: list[TextChunk] = []
    size = 0
    for chunk in chunks:
        tokens = estimate_tokens(chunk.text)
        if batch and (
            len(batch) >= limits.inputs_per_request
            or size + tokens > min(limits.tokens_per_request, limits.tokens_per_minute)
        ):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += tokens
    if batch:
        yield batch


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too high: the encoding of the moderation is not published."""
    return len(text.encode("utf-8", "surrogatepass")) // 3 + 1


class TokenRateLimiter:
    """Limits the tokens of any 60 seconds. The caller passes the time in, in seconds."""

    def __init__(self, tokens_per_minute: int) -> None:
        self._limit = tokens_per_minute
        self._sent: deque[tuple[float, int]] = deque()

    def delay_seconds(self, tokens: int, now: float) -> float:
        """Return the seconds until so many tokens may be sent."""
        while self._sent and self._sent[0][0] <= now - 60:
            self._sent.popleft()
        over = sum(size for _, size in self._sent) + tokens - self._limit
        free_at = now
        for at, size in self._sent:
            if over <= 0:
                break
            over -= size
            free_at = at + 60
        return max(0.0, free_at - now)

    def record_sent(self, tokens: int, now: float) -> None:
        """Record that tokens were sent at `now`."""
        self._sent.append((now, tokens))


def match_verdicts(
    batch: Sequence[TextChunk], verdicts: Sequence[ModerationVerdict]
) -> dict[str, ModerationVerdict] | None:
    """Return the verdicts by key; None if their number differs, because then no verdict can be assigned."""
    if len(batch) != len(verdicts):
        return None
    return {chunk.key: verdict for chunk, verdict in zip(batch, verdicts, strict=True)}
