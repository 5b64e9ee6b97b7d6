"""Identifies everything that the result of checking a chat depends on besides the chat itself."""

from __future__ import annotations

import platform
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import orchestrator
from orchestrator.dataset.rules import DatasetRules
from orchestrator.system.regular_file import read_regular_file

# The code that reads and checks a chat. Its content is hashed, and not the version of the program, because a working
# copy of the source has the same version before and after a change.
CODE_FOLDERS = ("core", "dataset", "system")
LIBRARIES = ("msgspec", "tiktoken", "gigatoken", "tokenizers", "jinja2")
TOKENIZER_FILES = ("tokenizer_config.json", "chat_template.jinja")  # beside the tokenizer file
MAX_TOKENIZER_BYTES = 256 << 20


def compute_fingerprint(rules: DatasetRules) -> bytes:
    """Return a hash of the program, its libraries, and the rules that concern a single chat.

    The other rules, such as the minimum number of examples, are applied after the results of all chats are merged.
    """
    digest = sha256()
    for part in (*_iter_program(), *_iter_rules(rules)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def describe_rules(rules: DatasetRules) -> str:
    """Return the rules that concern a single chat, as text. Rules with different texts have caches of their own."""
    tokenizers = sorted((model, str(path)) for model, path in rules.tokenizers.items())
    return repr((rules.method, [str(name) for name in rules.providers], rules.base_models, tokenizers))


def _iter_program() -> Iterator[bytes]:
    yield f"{platform.python_implementation()} {platform.python_version()} {unicodedata.unidata_version}".encode()
    for library in LIBRARIES:
        try:
            yield f"{library} {version(library)}".encode()
        except PackageNotFoundError:
            yield b""
    root = Path(orchestrator.__file__).parent
    for path in sorted(path for folder in CODE_FOLDERS for path in (root / folder).rglob("*.py")):
        yield path.relative_to(root).as_posix().encode()
        yield path.read_bytes()


def _iter_rules(rules: DatasetRules) -> Iterator[bytes]:
    yield describe_rules(rules).encode()
    for _, path in sorted(rules.tokenizers.items()):
        for file in (path, *(path.with_name(name) for name in TOKENIZER_FILES)):
            try:
                yield sha256(read_regular_file(file, MAX_TOKENIZER_BYTES)).digest()
            except OSError:
                yield b""  # most tokenizers have one of the two files
