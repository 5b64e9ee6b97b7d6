"""OpenAI's encodings, from rank files that are part of the package, so that counting needs no network (README.md)."""

from __future__ import annotations

import gzip
from binascii import a2b_base64
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.resources import files
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from orchestrator.core.model_name import get_base_model

if TYPE_CHECKING:
    from tiktoken import Encoding

# tiktoken has hash and pattern only inside functions that download, so they are copied here; a test compares them.
RANK_FILE_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
# Base models that are missing in tiktoken's table.
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
    """Return the name of a base model's encoding; None if it is unknown or not one of the shipped encodings.

    Uses tiktoken's table, but resolves fine-tuned models first: tiktoken takes `ft:gpt-4.1-…` for gpt-4.
    """
    from tiktoken.model import encoding_name_for_model

    plain = get_base_model(base_model)
    try:
        name = EXTRA_MODEL_ENCODINGS.get(plain) or encoding_name_for_model(plain)
    except KeyError:
        return None
    return name if name in RANK_FILE_SHA256 else None


@cache
def load_encoding(name: str) -> Encoding:
    """Load an encoding; its rank file is verified by hash. Takes about 0.4 s, once per process."""
    import tiktoken

    return tiktoken.Encoding(name, pat_str=SPLIT_PATTERNS[name], mergeable_ranks=_read_ranks(name), special_tokens={})


@cache
def get_token_counter(name: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text; it uses gigatoken if the extra `fast` is installed."""
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
    """Read the rank of each token. There are 200,000 rows: a loop in Python would take twice the time."""
    cells = _read_rank_file(name).split()
    return dict(zip(map(a2b_base64, cells[::2]), map(int, cells[1::2]), strict=True))


def _read_rank_file(name: str) -> bytes:
    content = gzip.decompress(files(__package__).joinpath(f"{name}.tiktoken.gz").read_bytes())
    if (digest := sha256(content).hexdigest()) != RANK_FILE_SHA256[name]:
        raise RuntimeError(f"the rank file of {name} is damaged (SHA-256 {digest}): install orchestrator again")
    return content
