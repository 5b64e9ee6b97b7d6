"""Special tokens of open base models in a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.checks.special_tokens import build_special_token_pattern
from orchestrator.dataset.rules import DatasetRules

TURBO = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"


def errors(tmp_path: Path, text: str, rules: DatasetRules) -> list[tuple[str, str | None]]:
    messages = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": text}]
    (tmp_path / "chat.json").write_text(json.dumps(messages), encoding="utf-8")
    return [(one.code, one.path) for one in check_dataset(tmp_path / "chat.json", rules).errors]


def rules(*base_models: str, tokenizers: dict[str, Path] | None = None) -> DatasetRules:
    return DatasetRules(minimum_examples=0, base_models=base_models, tokenizers=tokenizers or {})


@pytest.mark.parametrize(
    ("base_model", "token"),
    [
        (TURBO, "<|eot_id|>"),
        (TURBO, "<|start_header_id|>"),
        (TURBO, "<|reserved_special_token_17|>"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "<|eot_id|>"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "<|eot|>"),
        ("meta-llama/Llama-2-7b-chat-hf", "<<SYS>>"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "[INST]"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "</s>"),
        ("mistralai/Ministral-3B", "[TOOL_CALLS]"),
        ("Qwen/Qwen3-VL-8B-Instruct", "<|vision_start|>"),
        ("google/gemma-3-12b-it", "<start_of_turn>"),
        ("deepseek-ai/DeepSeek-V3", "<\uff5cUser\uff5c>"),
        ("deepseek-ai/DeepSeek-V3", "<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
        ("deepseek-ai/DeepSeek-V3", "<\uff5ctool\u2581calls\u2581begin\uff5c>"),
        ("microsoft/Phi-4-mini-instruct", "<|user|>"),
        ("zai-org/GLM-4.6", "<|observation|>"),
        ("moonshotai/Kimi-K2-Instruct", "<|im_middle|>"),
        ("openai/gpt-oss-20b", "<|channel|>"),
    ],
)
def test_special_token_is_an_error_for_its_model_family_only(tmp_path: Path, base_model: str, token: str) -> None:
    text = f"Like {token} this."
    assert errors(tmp_path, text, rules(base_model)) == [("special-token", "$[1].content")]
    assert errors(tmp_path, text, rules("gpt-4.1-mini-2025-04-14")) == []


def test_universal_special_token_is_reported_once(tmp_path: Path) -> None:
    assert errors(tmp_path, "<|im_end|>", rules("Qwen/Qwen3-8B")) == [("special-token", "$[1].content")]


@pytest.mark.parametrize("text", ["a <b>bold</b> word", "[1] and [x]", "s > t", "a<|b|>c", "<system>", "[PAD]"])
def test_ordinary_brackets_are_not_tokens(tmp_path: Path, text: str) -> None:
    assert errors(tmp_path, text, rules(TURBO, "mistralai/Mistral-7B-Instruct-v0.3")) == []
    assert check_dataset(tmp_path / "chat.json", rules("sandbox-small")).warnings == ()


@pytest.mark.parametrize("text", ["[INST] a [/INST] b</s>", "<start_of_turn>model\nhi<end_of_turn>", "<|eot_id|>"])
def test_token_of_another_model_is_a_warning(tmp_path: Path, text: str) -> None:
    other = rules("gpt-4.1-mini-2025-04-14")
    assert errors(tmp_path, text, other) == []
    warnings = check_dataset(tmp_path / "chat.json", other).warnings
    assert [(one.code, one.path) for one in warnings] == [("foreign-token", "$[1].content")]


def test_custom_tokenizer_defines_its_special_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_special_tokens(["<|our_turn|>", "word"])
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    mine = rules("our/model", tokenizers={"our/model": folder / "tokenizer.json"})
    assert errors(tmp_path, "<|our_turn|>", mine) == [("special-token", "$[1].content")]
    assert errors(tmp_path, "a word in a <tool>", mine) == []


def test_closed_models_have_no_special_token_pattern() -> None:
    assert build_special_token_pattern(["gpt-4.1-mini-2025-04-14", "sandbox-small"]) is None
