"""Conversion of the canonical file to a provider's format: streamed, cached, verified, and checked beforehand."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities, WireFormat
from orchestrator.core.dataset import DatasetPart
from orchestrator.core.errors import DatasetChanged
from orchestrator.core.structs import replace
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.convert import CONVERTERS, ChatConverter
from orchestrator.dataset.convert.converted_file import get_converted_file, list_converted_files
from orchestrator.dataset.convert.refusal import ConversionRefused
from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.rules import DatasetRules

FORMAT = WireFormat.GEMINI
LINES = b"".join(
    json.dumps(
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "Yes."}]}
    ).encode()
    + b"\n"
    for n in range(3)
)
EXPECTED = b'{"n":2,"last":"Yes."}\n' * 3


def convert_chat(example: ExampleBody) -> dict[str, Any]:
    for index, message in enumerate(example["messages"]):
        if "weight" in message:
            raise ConversionRefused(("messages", index, "weight"), "there is no weight", "Remove `weight`.")
    return {"n": len(example["messages"]), "last": example["messages"][-1]["content"]}


@pytest.fixture(autouse=True)
def small_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that holds two values of a chat, read by one provider."""
    put_converter(monkeypatch, 1)
    reads_it = replace(CAPABILITIES[ProviderName.TOGETHER], wire_format=FORMAT)
    monkeypatch.setitem(cast(dict[ProviderName, Capabilities], CAPABILITIES), ProviderName.TOGETHER, reads_it)


def put_converter(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    converters = cast(dict[WireFormat, ChatConverter], CONVERTERS)
    monkeypatch.setitem(converters, FORMAT, ChatConverter(convert_chat, version))


def write_part(folder: Path, content: bytes = LINES) -> DatasetPart:
    digest = sha256(content).hexdigest()
    path = folder / f"{digest[:16]}.jsonl"
    path.write_bytes(content)
    return DatasetPart(path=path, sha256=digest, bytes=len(content), examples=content.count(b"\n"), tokens=None)


def test_converted_file_has_its_own_hash_and_leaves_the_canonical_one(tmp_path: Path) -> None:
    part = write_part(tmp_path)
    file = get_converted_file(part, FORMAT)
    assert file.path.read_bytes() == EXPECTED
    assert (file.sha256, file.bytes) == (sha256(EXPECTED).hexdigest(), len(EXPECTED))
    assert part.path.read_bytes() == LINES
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {part.path.name, file.path.name}
    assert list_converted_files(tmp_path, part.path.name) == [file.path.name]


def test_converted_file_is_used_again_until_it_is_deleted_or_damaged(tmp_path: Path) -> None:
    part = write_part(tmp_path)
    first = get_converted_file(part, FORMAT)
    written = first.path.stat().st_ino
    assert get_converted_file(part, FORMAT) == first
    assert first.path.stat().st_ino == written
    first.path.write_bytes(EXPECTED[:-5])
    assert get_converted_file(part, FORMAT) == first
    assert first.path.read_bytes() == EXPECTED
    first.path.unlink()
    assert get_converted_file(part, FORMAT) == first
    assert first.path.read_bytes() == EXPECTED


def test_another_version_of_a_converter_converts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write_part(tmp_path)
    first = get_converted_file(part, FORMAT)
    put_converter(monkeypatch, 2)
    second = get_converted_file(part, FORMAT)
    assert (first.sha256, first.path != second.path) == (second.sha256, True)


def test_refused_line_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    heavy = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!", "weight": 0}]}
    part = write_part(tmp_path, LINES + json.dumps(heavy).encode() + b"\n")
    with pytest.raises(DatasetChanged, match=r"line 4 .* to gemini: \$\.messages\[1\]\.weight: there is no weight"):
        get_converted_file(part, FORMAT)
    assert [path.name for path in tmp_path.iterdir()] == [part.path.name]


def test_canonical_file_that_changed_is_not_converted(tmp_path: Path) -> None:
    part = write_part(tmp_path)
    part.path.write_bytes(LINES * 2)
    with pytest.raises(DatasetChanged, match="was changed while it was converted"):
        get_converted_file(part, FORMAT)
    assert [path.name for path in tmp_path.iterdir()] == [part.path.name]


def test_memory_of_a_conversion_does_not_grow_with_the_file(tmp_path: Path) -> None:
    line = json.dumps(
        {"messages": [{"role": "user", "content": "x" * 50_000}, {"role": "assistant", "content": "y"}]}
    )
    part = write_part(tmp_path, f"{line}\n".encode() * 400)  # 20 MB
    tracemalloc.start()
    try:
        get_converted_file(part, FORMAT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def write_chats(folder: Path, *examples: ExampleBody) -> Path:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(example) + "\n" for example in examples))
    return path


def iter_chats() -> Iterator[ExampleBody]:
    user, answer = {"role": "user", "content": "Any bikes?"}, {"role": "assistant", "content": "Three."}
    yield {"messages": [user, answer]}
    # The canonical form has no empty system message, so the weight is at $.messages[1] there.
    yield {"messages": [{"role": "system", "content": " "}, user, answer | {"weight": 0}, user, answer]}


def test_check_reports_what_a_format_cannot_hold_with_file_line_and_path(tmp_path: Path) -> None:
    path = write_chats(tmp_path, *iter_chats())
    providers = (ProviderName.OPENAI, ProviderName.TOGETHER)
    result = check_dataset(path, DatasetRules(minimum_examples=0, providers=providers))
    assert [(each.code, each.file, each.line, each.path) for each in result.errors] == [
        ("not-convertible", "chats.jsonl", 2, "$.messages[2].weight")
    ]
    assert result.errors[0].message == "together: there is no weight"
    assert result.errors[0].hint == "Remove `weight`."
    assert check_dataset(path, DatasetRules(minimum_examples=0)).errors == ()


def test_every_wire_format_of_a_provider_has_a_converter() -> None:
    used = {offers.wire_format for offers in CAPABILITIES.values()} - {WireFormat.CHAT_LINES}
    assert used <= CONVERTERS.keys()
