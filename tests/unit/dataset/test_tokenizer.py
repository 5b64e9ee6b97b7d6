"""Token counts with the tokenizer of an open model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from orchestrator.core.errors import ConfigError
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens import huggingface as module

TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == "tool" %}{{ raise_exception("no tools") }}{% endif %}
    {{- "<" + message.role + ">" + message.content + eos_token }}
{%- endfor %}"""
CHAT = {"messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello"}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A tokenizer to which each character is a token."""
    characters = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    characters.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def config(path: Path, **values: Any) -> None:
    path.with_name("tokenizer_config.json").write_text(json.dumps(values))


def test_count_with_the_published_template_is_exact(path: Path) -> None:
    config(path, chat_template=TEMPLATE, bos_token="[", eos_token={"content": "]"})
    assert module.HuggingFaceTokenizer(path).count_tokens(CHAT) == (len("[<user>Hi there]<assistant>Hello]"), True)


def test_template_file_takes_precedence(path: Path) -> None:
    config(path, chat_template="ignored", bos_token="[", eos_token="]")
    path.with_name("chat_template.jinja").write_text("{{ bos_token }}")
    assert module.HuggingFaceTokenizer(path).count_tokens(CHAT) == (1, True)


def test_default_template_is_chosen_of_several(path: Path) -> None:
    config(path, chat_template=[{"name": "rag", "template": "1"}, {"name": "default", "template": "22"}])
    assert module.HuggingFaceTokenizer(path).count_tokens(CHAT) == (2, True)


def test_count_without_a_template_is_estimated(path: Path) -> None:
    assert module.HuggingFaceTokenizer(path).count_tokens(CHAT) == (len(json.dumps(CHAT)), False)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "content": "4"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {"input": CHAT, "preferred_output": [], "non_preferred_output": []},
    ],
)
def test_unsupported_template_content_is_estimated(path: Path, body: dict[str, Any]) -> None:
    config(path, chat_template=TEMPLATE, bos_token="", eos_token="")
    assert module.HuggingFaceTokenizer(path).count_tokens(body)[1] is False


def test_template_is_sandboxed(path: Path) -> None:
    config(path, chat_template="{{ messages.__class__.__base__.__subclasses__() }}")
    assert module.HuggingFaceTokenizer(path).count_tokens(CHAT)[1] is False


def test_half_characters_are_counted(path: Path) -> None:
    config(path, chat_template="{{ messages[0].content }}")
    assert module.HuggingFaceTokenizer(path).count_tokens({"messages": [{"role": "user", "content": "a\ud83d"}]}) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "not a tokenizer"),
        ("tokenizer_config.json", "{", "cannot be read"),
        ("chat_template.jinja", "{% if %}", "invalid chat template"),
    ],
)
def test_damaged_tokenizer_file_is_reported(path: Path, name: str, content: str, message: str) -> None:
    path.with_name(name).write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        module.HuggingFaceTokenizer(path).count_tokens(CHAT)
    assert str(path.parent) in caught.value.message
    assert caught.value.hint


def test_missing_tokenizer_extra_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match="tokenizers") as caught:
        module.HuggingFaceTokenizer(path)
    assert "open-models" in caught.value.hint


def test_check_counts_tokens_with_the_custom_tokenizer(path: Path) -> None:
    config(path, chat_template=TEMPLATE, bos_token="[", eos_token="]")
    chats = path.with_name("chats.jsonl")
    chats.write_text(json.dumps(CHAT) + "\n" + json.dumps(CHAT) + "\n")
    rules = DatasetRules(minimum_examples=0, base_models=("llama", "qwen"), tokenizers={"llama": path})
    summary = check_dataset(chats, rules).summary
    assert summary.tokens == {"llama": 2 * len("[<user>Hi there]<assistant>Hello]"), "qwen": None}
    assert list(summary.estimated_tokens) == ["qwen"]
