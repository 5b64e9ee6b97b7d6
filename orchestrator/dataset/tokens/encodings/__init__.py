"""Encodings: OpenAI's rank files, shipped so that tokens are counted without a network. See README.md beside this."""

from __future__ import annotations

import gzip
import re
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

# tiktoken keeps hash and pattern inside functions that download; a test compares these with them.
RANK_FILE_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
# Base models that tiktoken does not know.
EXTRA_MODEL_ENCODINGS = {"sandbox-small": "o200k_base", "sandbox-large": "o200k_base"}
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


def find_encoding_name(base_model: str) -> str | None:
    """The encoding a base model reads with, of those shipped here; None where it is another or not known.

    tiktoken's own table answers, except that it takes a fine-tuned `ft:gpt-4.1-…` for gpt-4.
    """
    from tiktoken.model import encoding_name_for_model

    plain = re.sub(r"^ft:([^:]*).*", r"\1", base_model)
    try:
        name = EXTRA_MODEL_ENCODINGS.get(plain) or encoding_name_for_model(plain)
    except KeyError:
        return None
    return name if name in RANK_FILE_SHA256 else None


@cache
def load_encoding(name: str) -> Encoding:
    """The encoding, its rank file proven by hash. Takes about 0.4 s, once a process."""
    import tiktoken

    return tiktoken.Encoding(name, pat_str=SPLIT_PATTERNS[name], mergeable_ranks=_read_ranks(name), special_tokens={})


@cache
def get_token_counter(name: str) -> Callable[[str], int]:
    """Counts the tokens of a text of ordinary length: with gigatoken where the extra `fast` is installed."""
    try:
        from gigatoken import Tokenizer
    except ModuleNotFoundError:
        encode = load_encoding(name).encode_ordinary
        return lambda text: len(encode(text))
    with NamedTemporaryFile(suffix=".tiktoken") as file:
        file.write(_read_rank_file(name))
        file.flush()
        fast = Tokenizer.from_tiktoken(file.name, pretokenizer=name.removesuffix("_base"), special_tokens={}).encode
    return lambda text: len(fast(text.encode("utf-8", "replace")))


def _read_ranks(name: str) -> dict[bytes, int]:
    rows = (line.split() for line in BytesIO(_read_rank_file(name)))  # one at a time: there are 200,000
    return {b64decode(token): int(rank) for token, rank in rows}


def _read_rank_file(name: str) -> bytes:
    content = gzip.decompress(files(__package__).joinpath(f"{name}.tiktoken.gz").read_bytes())
    if (digest := sha256(content).hexdigest()) != RANK_FILE_SHA256[name]:
        raise RuntimeError(f"the rank file of {name} is damaged (SHA-256 {digest}): install orchestrator again")
    return content
