"""Builds the index of a canonical JSONL file. The service runs this module in a child process, at low priority.

Memory is constant: the file is read line by line, and each row is written at once. The index gets its name only when
it is complete.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.core.finding import Severity
from orchestrator.dataset.browse.example_index import (
    INDEX_SUFFIX,
    TOKENS_ESTIMATED,
    IndexHeader,
    IndexRow,
    encode_row,
    get_index_path,
)
from orchestrator.dataset.checks.style import check_style
from orchestrator.dataset.checks.text_walk import iter_message_lists, iter_texts
from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.tokens.counter import FALLBACK_ENCODING
from orchestrator.dataset.tokens.encodings import find_encoding_name
from orchestrator.dataset.tokens.openai import count_example_tokens, estimate_example_tokens
from orchestrator.dataset.working_folder import create_working_folder
from orchestrator.system.hardening import die_with_parent, forbid_core_dumps

LOW_PRIORITY = 10
MAX_INDEX_BYTES = 1 << 30  # of all indexes of a folder: 20 million examples
INDEXED_CODES = tuple(code for code in FindingCode if code.severity is Severity.WARNING)[:64]
_BIT_BY_CODE = {code: 1 << bit for bit, code in enumerate(INDEXED_CODES)}


def build_index(jsonl: Path, base_model: str) -> Path:
    """Build the index of a JSONL file and return its path. Raises OSError when it cannot be written."""
    encoding = find_encoding_name(base_model)
    with jsonl.open("rb") as lines:
        state = os.fstat(lines.fileno())
        header = IndexHeader(
            state.st_size,
            state.st_mtime_ns,
            base_model,
            encoding or FALLBACK_ENCODING,
            tuple(code.slug for code in INDEXED_CODES),
        )
        # A killed process leaves its folder behind; the next build, of an index or of a dataset, deletes it.
        with create_working_folder(jsonl.parent) as folder:
            temporary = folder / get_index_path(jsonl).name
            _write_index(temporary, lines, header, exact=encoding is not None)
            target = get_index_path(jsonl)
            temporary.replace(target)
    delete_surplus_indexes(jsonl.parent, keep=target)
    return target


def _write_index(path: Path, lines: Iterable[bytes], header: IndexHeader, *, exact: bool) -> None:
    with open(path, "xb", opener=_open_private) as file:
        file.write(header.encode())
        offset = 0
        for line in lines:
            file.write(encode_row(build_row(line, offset, header.encoding, exact=exact)))
            offset += len(line)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def delete_surplus_indexes(folder: Path, *, keep: Path, limit: int = MAX_INDEX_BYTES) -> None:
    """Delete the indexes whose JSONL is gone, and the oldest ones beyond `limit` bytes in all, but never `keep`."""
    sizes: list[tuple[int, int, Path]] = []
    for path in folder.glob(f"*{INDEX_SUFFIX}"):
        with suppress(OSError):
            if not path.with_suffix(".jsonl").is_file():
                path.unlink()
            elif path != keep:
                state = path.stat()
                sizes.append((state.st_mtime_ns, state.st_size, path))
    rest = limit - keep.stat().st_size
    for _, size, path in sorted(sizes, reverse=True):
        rest -= size
        if rest < 0:
            with suppress(OSError):
                path.unlink()


def build_row(line: bytes, offset: int, encoding: str, *, exact: bool = True) -> IndexRow:
    """Build the row of one line. `exact`: the encoding is that of the base model."""
    body: ExampleBody = msgspec.json.decode(line)
    tokens = count_example_tokens(encoding, body)
    findings = 0
    for issue in check_style(body, list(iter_texts(body)), line):
        findings |= _BIT_BY_CODE.get(issue.code, 0)
    prompt, turns = _find_prompt(body)
    return IndexRow(
        offset=offset,
        size=len(line),
        tokens=estimate_example_tokens(encoding, body) if tokens is None else tokens,
        turns=turns,
        flags=0 if exact and tokens is not None else TOKENS_ESTIMATED,
        findings=findings,
        prompt_hash=_hash(msgspec.json.encode(prompt)),
        line_hash=_hash(line),
    )


def _find_prompt(body: ExampleBody) -> tuple[Any, int]:
    """Return the first user message, or all messages but the last if there is none, and the number of turns."""
    messages = next((messages for messages, _ in iter_message_lists(body)), [])
    users = [message for message in messages if message.get("role") == "user"]
    return users[0] if users else messages[:-1], len(users)


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def main() -> None:
    """Run the child process: the arguments are the JSONL file and the base model."""
    die_with_parent()
    forbid_core_dumps()
    os.nice(LOW_PRIORITY)
    jsonl, base_model = sys.argv[1:]
    try:
        build_index(Path(jsonl), base_model)
    except OSError as error:
        sys.exit(f"{jsonl} could not be indexed: {error.strerror}")


if __name__ == "__main__":
    main()
