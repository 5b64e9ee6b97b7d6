"""Moderation: each text is moderated once and within the limits, and no text passes without a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import AuthenticationFailed, RateLimited, TemporaryError
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.dataset.moderation.batches import (
    ModerationLimits,
    TextChunk,
    TokenRateLimiter,
    build_batches,
    estimate_tokens,
    iter_text_chunks,
)
from orchestrator.dataset.moderation.runner import ModerationClock, moderate_dataset

FLAGGED_VERDICT = ModerationVerdict(
    flagged=True, categories=("harassment",), scores={"harassment": 0.93, "violence": 0.2, "hate": 0.0001}
)
ANSWER = {"role": "assistant", "content": "Two."}


@dataclass
class Clock:
    """Time that passes only when someone waits."""

    now: float = 1_000.0
    waits: list[float] = field(default_factory=list)

    @property
    def time(self) -> ModerationClock:
        return ModerationClock(now=lambda: self.now, sleep=self.pause)

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@dataclass
class MemoryVerdicts:
    """A cache as the database will be one."""

    verdicts: dict[str, ModerationVerdict] = field(default_factory=dict)

    async def get(self, keys: Sequence[str]) -> Mapping[str, ModerationVerdict]:
        return {key: self.verdicts[key] for key in keys if key in self.verdicts}

    async def put(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        self.verdicts |= verdicts


@dataclass
class Provider:
    """Flags what holds FLAGME; `script` says how the next requests go wrong."""

    script: list[Exception | str] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    async def __call__(self, texts: Sequence[str]) -> Sequence[ModerationVerdict]:
        self.asked.append(list(texts))
        issue = self.script.pop(0) if self.script else None
        if isinstance(issue, Exception):
            raise issue
        verdicts = [FLAGGED_VERDICT if "FLAGME" in text else ModerationVerdict(flagged=False) for text in texts]
        return verdicts[:-1] if issue == "drop one" else verdicts

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.asked for text in batch]


def put(folder: Path, *chats: Any) -> Path:
    for number, chat in enumerate(chats):
        (folder / f"{number:02}.json").write_text(json.dumps(chat, indent=1))
    return folder


def chat(*texts: str) -> list[Any]:
    return [{"role": "user", "content": text} for text in texts] + [ANSWER]


async def test_text_is_moderated_once_and_reported_at_every_place(tmp_path: Path) -> None:
    folder = put(tmp_path, chat("Hi", "FLAGME"), chat("Hi", "there"), chat("x", "FLAGME"))
    provider, kept, seen = Provider(), MemoryVerdicts(), []
    outcome = await moderate_dataset(
        folder,
        provider,
        kept,
        clock=Clock().time,
        progress=lambda done, total, left: seen.append((done, total, left)),
    )
    assert provider.texts == ["Hi", "FLAGME", "Two.", "there", "x"]
    assert [(found.code, found.file, found.line, found.path) for found in outcome.findings] == [
        ("flagged", "00.json", 8, "$[1].content"),
        ("flagged", "02.json", 8, "$[1].content"),
    ]
    assert (
        outcome.findings[0].message
        == "the provider's moderation flags this text: harassment 0.93 (also violence 0.20)"
    )
    assert (outcome.texts, outcome.sent, outcome.known, outcome.passed) == (5, 5, 0, False)
    assert seen == [(5, 9, 0.0), (9, 9, 0.0)]
    again = await moderate_dataset(folder, provider, kept, clock=Clock().time)
    assert len(provider.asked) == 1
    assert (again.findings, again.sent, again.known) == (outcome.findings, 0, 5)


async def test_clean_chats_pass(tmp_path: Path) -> None:
    outcome = await moderate_dataset(put(tmp_path, chat("Hi")), Provider(), MemoryVerdicts(), clock=Clock().time)
    assert outcome.passed
    assert str(outcome) == "2 of 2 texts moderated, 0 flagged"


async def test_busy_provider_is_retried_after_its_delay(tmp_path: Path) -> None:
    clock = Clock()
    provider = Provider([RateLimited("slow down", retry_after=7.0), TemporaryError("oops")])
    outcome = await moderate_dataset(put(tmp_path, chat("Hi")), provider, MemoryVerdicts(), clock=clock.time)
    assert clock.waits == [7.0, 4.0]
    assert outcome.passed
    assert len(provider.asked) == 3


async def test_answer_with_a_dropped_result_is_discarded(tmp_path: Path) -> None:
    kept = MemoryVerdicts()
    provider = Provider(["drop one"] * 3)
    folder = put(tmp_path, chat("Hi", "FLAGME"))
    with pytest.raises(TemporaryError, match="2 results for 3 texts"):
        await moderate_dataset(folder, provider, kept, clock=Clock().time, limits=ModerationLimits(max_attempts=3))
    assert kept.verdicts == {}
    assert not (await moderate_dataset(folder, provider, kept, clock=Clock().time)).passed


async def test_moderation_resumes_where_it_stopped(tmp_path: Path) -> None:
    kept, folder = MemoryVerdicts(), put(tmp_path, chat("a", "b", "c", "FLAGME"))
    provider = Provider(["", AuthenticationFailed("no")])
    limits = ModerationLimits(inputs_per_request=2)
    with pytest.raises(AuthenticationFailed):
        await moderate_dataset(folder, provider, kept, clock=Clock().time, limits=limits)
    outcome = await moderate_dataset(folder, provider, kept, clock=Clock().time, limits=limits)
    assert provider.asked == [["a", "b"], ["c", "FLAGME"], ["c", "FLAGME"], ["Two."]]
    assert (outcome.known, outcome.sent, len(outcome.findings)) == (2, 3, 1)


async def test_token_limit_per_minute_is_kept(tmp_path: Path) -> None:
    clock, provider = Clock(), Provider()
    texts = [f"{number} {'word ' * 200}" for number in range(6)]  # some 335 tokens each
    await moderate_dataset(
        put(tmp_path, chat(*texts)),
        provider,
        MemoryVerdicts(),
        clock=clock.time,
        limits=ModerationLimits(tokens_per_minute=700),
    )
    assert [len(batch) for batch in provider.asked] == [2, 2, 3]
    assert clock.waits == [60.0, 60.0]


async def test_dataset_with_an_image_never_passes(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    content = [{"type": "text", "text": "See?"}, image]
    outcome = await moderate_dataset(
        put(tmp_path, [{"role": "user", "content": content}, ANSWER]),
        Provider(),
        MemoryVerdicts(),
        clock=Clock().time,
    )
    assert (outcome.images, outcome.findings, outcome.passed) == (1, [], False)
    assert "1 images cannot be moderated here" in str(outcome)


def test_every_text_of_an_example_is_a_chunk(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    row = {"messages": [{"role": "assistant", "content": "Hm.", "tool_calls": [call]}]}
    pair = {"input": {"messages": [ANSWER]}, "preferred_output": [{"role": "assistant", "content": "yes"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}]}  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text(
        f"{json.dumps(row)}\n{json.dumps(pair)}\n" + json.dumps({"messages": [5, {"content": 5, "tool_calls": [5]}]})
    )
    assert [(chunk.line, chunk.path, chunk.text) for chunk in iter_text_chunks(path, "m")] == [
        (1, "$.messages[0].content", "Hm."),
        (1, "$.messages[0].tool_calls[0].function.arguments", '{"a": 1}'),
        (2, "$.input.messages[0].content", "Two."),
        (2, "$.preferred_output[0].content", "yes"),
        (2, "$.non_preferred_output[0].content", "no"),
    ]


def test_long_text_is_split_into_chunks_without_a_gap(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + number % 20_000) for number in range(50_000))
    parts = [chunk.text for chunk in iter_text_chunks(put(tmp_path, chat(text)), "m")][:-1]
    assert [len(part) for part in parts] == [20_000, 20_000, 10_400]
    assert all(one[-200:] == other[:200] for one, other in pairwise(parts))
    assert parts[0] + parts[1][200:] + parts[2][200:] == text


def chunk(size: int) -> TextChunk:
    return TextChunk("k", "x" * (3 * size - 3), "f", 1, "$")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([5, 5, 5, 5], [3, 1]), ([5, 90, 6, 5], [2, 2]), ([500, 5], [1, 1]), ([40, 40, 40], [2, 1])],
)
def test_batches_keep_the_limits(sizes: list[int], expected: list[int]) -> None:
    limits = ModerationLimits(inputs_per_request=3, tokens_per_request=100, tokens_per_minute=1_000)
    made = list(build_batches([chunk(size) for size in sizes], limits))
    assert [len(batch) for batch in made] == expected
    assert [estimate_tokens(one.text) for batch in made for one in batch] == sizes


def test_rate_limiter_delays_requests() -> None:
    pace = TokenRateLimiter(100)
    assert pace.delay_seconds(80, 0.0) == 0
    pace.record_sent(80, 0.0)
    pace.record_sent(15, 10.0)
    assert pace.delay_seconds(5, 10.0) == 0
    assert pace.delay_seconds(20, 10.0) == 50
    assert pace.delay_seconds(90, 10.0) == 60
    assert pace.delay_seconds(500, 10.0) == 60, "what is too much for any minute waits until nothing else counts"
    assert pace.delay_seconds(20, 60.0) == 0
