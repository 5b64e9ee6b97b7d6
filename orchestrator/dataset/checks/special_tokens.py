"""Special tokens in texts: the markers that start and end messages in the formats of the base models.

If a text contains such a token, it ends a message early or forges another one when the provider tokenizes the file.
The tokens in `OPENAI_SPECIAL_TOKENS` (OpenAI's and ChatML's) are refused for every base model. Those of open models
are known by family, from the published `tokenizer_config.json` files; a `tokenizer.json` in the accounts file adds
its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from orchestrator.dataset.checks.text_walk import MessageText, iter_texts
from orchestrator.dataset.example import ExampleBody, ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode

OPENAI_SPECIAL_TOKENS: Final = re.compile(
    r"<\|(?:endoftext|endofprompt|startoftext|im_start|im_end|im_sep|fim_\w+|start|end|message|return)\|>"
)

_LLAMA_2: Final = (r"</?s>", r"\[/?INST\]", r"<</?SYS>>")
_LLAMA_3: Final = (
    r"<\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id|python_tag|image)\|>",
    r"<\|finetune_right_pad_id\|>",
    r"<\|reserved_special_token_\d+\|>",
)
_LLAMA_4: Final = (
    r"<\|(?:begin_of_text|end_of_text|header_start|header_end|eot|eom|step|python_start|python_end)\|>",
    r"<\|(?:image_start|image_end|image|patch|tile_x_separator|tile_y_separator|finetune_right_pad)\|>",
)
_MISTRAL: Final = (
    *_LLAMA_2[:2],
    r"\[/?(?:TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK)\]",
    r"\[(?:TOOL_CALLS|TOOL_CONTENT|IMG|IMG_BREAK|IMG_END|PREFIX|MIDDLE|SUFFIX|ARGS|CALL_ID)\]",
)
_QWEN: Final = (
    r"<\|(?:object_ref|box|quad|vision)_(?:start|end)\|>",
    r"<\|(?:vision|image|video)_pad\|>",
    r"<\|(?:repo_name|file_sep)\|>",
)
_GEMMA: Final = (r"<(?:bos|eos|start_of_turn|end_of_turn|start_of_image|end_of_image)>",)
_DEEPSEEK: Final = (
    "<\uff5c(?:begin\u2581of\u2581sentence|end\u2581of\u2581sentence|User|Assistant)\uff5c>",
    "<\uff5ctool\u2581(?:calls?|outputs?|sep)(?:\u2581(?:begin|end))?\uff5c>",
)
_PHI: Final = (r"<\|(?:system|user|assistant|end|tool|tool_call|tool_response)\|>", *_LLAMA_2[:1])
_GLM: Final = (r"\[gMASK\]", r"<e?sop>", r"<\|(?:system|user|assistant|observation)\|>")
_KIMI: Final = (
    r"<\|im_(?:system|user|assistant|middle)\|>",
    r"\[(?:BOS|EOS|EOT|UNK|PAD)\]",
    r"<\|tool_calls?_(?:section_|argument_)?(?:begin|end)\|>",
)
_HARMONY: Final = (r"<\|(?:channel|constrain|call)\|>",)

MODEL_FAMILY_TOKENS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (r"llama-?v?2|llama2|codellama|vicuna", _LLAMA_2),
    (r"llama-?v?4|llama4", _LLAMA_4),
    (r"llama-?v?3|llama3", _LLAMA_3),
    (r"mistral|mixtral|ministral|magistral|devstral|codestral", _MISTRAL),
    (r"qwen|qwq", _QWEN),
    (r"gemma", _GEMMA),
    (r"deepseek", _DEEPSEEK),
    (r"phi-?[34]", _PHI),
    (r"\bglm", _GLM),
    (r"kimi", _KIMI),
    (r"gpt-oss", _HARMONY),
)
"""A pattern of base model names, and patterns of their special tokens. A name may match several families, because a
distilled model has the name of one family and the tokens of another."""

# Tokens of all families that are unambiguous: <s> is also HTML, and [PAD] and <eos> occur in ordinary texts.
FOREIGN_TOKENS: Final = re.compile(
    "|".join((*_LLAMA_2[1:], "</s>", *_LLAMA_3, *_LLAMA_4, *_QWEN, *_GEMMA, *_DEEPSEEK, *_HARMONY))
)


def build_special_token_pattern(base_models: Iterable[str], listed: Iterable[str] = ()) -> re.Pattern[str] | None:
    """Build one pattern for the special tokens of the base models and of their tokenizers; None without any."""
    names = [name.lower() for name in base_models]
    tokens = {token for family, known in MODEL_FAMILY_TOKENS if _any_name_matches(names, family) for token in known}
    tokens |= {re.escape(token) for token in listed if _is_unambiguous_token(token)}
    return re.compile("|".join(sorted(tokens))) if tokens else None


def _any_name_matches(names: list[str], family: str) -> bool:
    return any(re.search(family, name) for name in names)


def _is_unambiguous_token(token: str) -> bool:
    """Whether a token is recognisable in a text. A tokenizer may list a word or a space as special, too."""
    return len(token) > 2 and token[0] in "<[" and token[-1] in ">]"


def check_special_tokens(body: ExampleBody, special: re.Pattern[str]) -> Iterator[ExampleIssue]:
    """Yield an error for each special token of the base models. `messages` checks OPENAI_SPECIAL_TOKENS."""
    for _, text, key_path in iter_texts(body):
        for token in sorted({match[0] for match in special.finditer(text)}):
            if not OPENAI_SPECIAL_TOKENS.fullmatch(token):
                yield ExampleIssue(
                    FindingCode.SPECIAL_TOKEN,
                    key_path,
                    f"the text contains {token}, a special token of the base model",
                )


def check_foreign_tokens(texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield a warning for tokens of another model's format. `line` is the canonical form, for a fast test.

    Tokens of the base models are errors, so an example that reaches this check has none of them.
    """
    if b"<" not in line and (line.count(b"[") == 1 or b"INST]" not in line):
        return  # one bracket: that of the messages
    for _, text, key_path in texts:
        if match := FOREIGN_TOKENS.search(text):
            yield ExampleIssue(FindingCode.FOREIGN_TOKEN, key_path, f"the text contains {match[0]}")
