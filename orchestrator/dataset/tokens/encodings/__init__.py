"""OpenAI's encodings, from token files in the package, so that counting needs no network (README.md)."""

# Theory of operation
#
# An encoding has 100,000 or 200,000 tokens. Building its tables takes longer than everything else that `check` does
# with a few chats, so the texts of a small dataset are counted together, with the tokens that occur in them:
#
#     text -> words -> substrings -> tokens among them -> tiktoken's encoding with these tokens only -> count
#
# The counts are the same, because tiktoken splits a text into pieces and merges neighbours within one piece: the rank
# of something that is no substring of a piece is never needed. A word is one or more whole pieces (WORD_BOUNDARY).

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Collection
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final

import msgspec

from orchestrator.core.model_name import get_base_model

if TYPE_CHECKING:
    from tiktoken import Encoding

TOKEN_FILE_SHA256 = {
    "o200k_base": "21be86ee43e53a592c4dc0621c2eca9af6bc4c29df3c9a2161e452e4ecccab5d",
    "cl100k_base": "ed0816e2b705c3b6474af6314071f4fdeebd9b5862af1ff3d3f9136711a8a00c",
}
MAX_TOKEN_BYTES: Final = 128
# Twice as many substrings take as long as building all tables: texts without spaces, or with many different words.
MAX_SUBSTRINGS: Final = 500_000
# Base models that are missing in tiktoken's table.
EXTRA_MODEL_ENCODINGS = {"sandbox-small": "o200k_base", "sandbox-large": "o200k_base"}
# tiktoken has the patterns only inside functions that download, so they are copied here; a test compares them.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPLIT_PATTERNS = {
    "o200k_base": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
}
# Places where no piece of these patterns continues: before a space, unless white space is before it; after a line
# break, unless white space or "/" is after it; after a letter or digit, before punctuation other than an apostrophe.
# Python's white space is theirs and four control characters, so at worst it finds fewer boundaries.
WORD_BOUNDARY = re.compile(r"(?<=\S)(?= )|(?<=[\r\n])(?=[^\s/])|(?<=[A-Za-z0-9])(?=[!-&(-/:-@\[-`{-~])")

_loaded: set[str] = set()


def find_encoding_name(base_model: str) -> str | None:
    """Return the name of a base model's encoding; None if it is unknown or not one of the shipped encodings.

    Uses tiktoken's table, but resolves fine-tuned models first: tiktoken takes `ft:gpt-4.1-…` for gpt-4.
    """
    from tiktoken.model import encoding_name_for_model

    plain = get_base_model(base_model)
    try:
        name = EXTRA_MODEL_ENCODINGS.get(plain) or encoding_name_for_model(plain)
    except KeyError:
        return None
    return name if name in TOKEN_FILE_SHA256 else None


@cache
def load_encoding(name: str) -> Encoding:
    """Load an encoding with all tokens. Takes about 0.3 s, once per process."""
    return _build_encoding(name, {token: rank for rank, token in enumerate(read_tokens(name))})


def _build_encoding(name: str, ranks: dict[bytes, int]) -> Encoding:
    import tiktoken

    return tiktoken.Encoding(name, pat_str=SPLIT_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})


def is_loaded(name: str) -> bool:
    """Return whether `get_token_counter` has loaded the encoding in this process."""
    return name in _loaded


@cache
def get_token_counter(name: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text; it uses gigatoken if the extra `fast` is installed."""
    _loaded.add(name)
    try:
        from gigatoken import Tokenizer
    except ModuleNotFoundError:
        encode = load_encoding(name).encode_ordinary
        return lambda text: len(encode(text))
    with NamedTemporaryFile(suffix=".tiktoken") as file:
        file.write(format_rank_file(read_tokens(name)))
        file.flush()
        fast = Tokenizer.from_tiktoken(file.name, pretokenizer=name.removesuffix("_base"), special_tokens={}).encode
    return lambda text: len(fast(text.encode("utf-8", "replace")))


def count_few_texts(name: str, texts: Collection[str]) -> dict[str, int]:
    """Count the tokens of each text without loading the others; return nothing if that would not be faster."""
    try:
        words = {word.encode() for text in texts for word in WORD_BOUNDARY.split(text)}
    except UnicodeEncodeError:  # half a character, which tiktoken replaces
        return {}
    if not any(words) or sum(len(word) * min(len(word), MAX_TOKEN_BYTES) for word in words) > MAX_SUBSTRINGS:
        return {}
    substrings = {
        word[start:end]
        for word in words
        for start in range(len(word))
        for end in range(start + 1, min(len(word), start + MAX_TOKEN_BYTES) + 1)
    }
    encode = _build_encoding(
        name, {token: rank for rank, token in enumerate(read_tokens(name)) if token in substrings}
    ).encode_ordinary
    return {text: len(encode(text)) for text in texts}


def read_tokens(name: str) -> list[bytes]:
    """Read the tokens of an encoding, in the order of their ranks."""
    content = (Path(__file__).parent / f"{name}.msgpack").read_bytes()
    if (digest := sha256(content).hexdigest()) != TOKEN_FILE_SHA256[name]:
        raise RuntimeError(f"the token file of {name} is damaged (SHA-256 {digest}): install orchestrator again")
    return msgspec.msgpack.decode(content, type=list[bytes])


def format_rank_file(tokens: list[bytes]) -> bytes:
    """Format tokens as the file that OpenAI publishes."""
    return b"".join([b"%b %d\n" % (b2a_base64(token, newline=False), rank) for rank, token in enumerate(tokens)])
