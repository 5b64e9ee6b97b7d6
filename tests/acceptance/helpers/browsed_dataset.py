"""A dataset of many chats with tools, pictures, findings and hostile texts, for the pages that show it."""

from __future__ import annotations

import json
import random
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.dataset.browse.index_builder import build_index

ATTACKS = (
    "<script>window.attacked = 1</script>",
    '<img src="x" onerror="window.attacked = 1">',
    "<svg onload=window.attacked=1></svg>",
    '"><iframe srcdoc="<script>parent.attacked=1</script>">',
    "{{ 7 * 7 }} {% raw %} ${7*7} </textarea></title></style></pre><b>bold</b>",
    "javascript:window.attacked=1 [click](javascript:window.attacked=1)",
)
QUESTIONS = (
    "My parcel was announced for Tuesday, but the tracking page has not changed since. Where is it?",
    "How do I change the address on order {number}?",
    "Kann ich die Größe noch ändern? Die Bestellung ist {number}.",
    "注文{number}の状況を教えてください。",
    "I was charged twice for order {number}. What do I do?",
    "Which plan includes the export of reports, and what does it cost per seat?",
)
ANSWERS = (
    "I am sorry about that. Order {number} left our warehouse on Monday and is with the carrier.",
    "You can change it until the parcel is packed: open *My orders*, choose the order, then *Change address*.",
    "Gern. Ich habe die Größe geändert; eine Bestätigung ist unterwegs. 🌱",
    "The team plan does. It includes:\n\n1. exports as CSV and PDF,\n2. scheduled reports,\n3. ten seats.",
)
TOOL = {
    "type": "function",
    "function": {"name": "find_order", "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}}},
}
SYSTEM = {
    "role": "system",
    "content": "You are a patient assistant of the support team. Answer in the user's language.",
}


def build_chats(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield chats: the first ten have each kind of content, the others vary in length."""
    chance = random.Random(seed)
    yield from _build_special_chats()
    for number in range(10, count):
        yield _build_chat(chance, 1_000_000 + number)


def write_dataset(folder: Path, chats: Iterator[dict[str, Any]], base_model: str) -> Dataset:
    """Write the JSONL and its index into the folder, as the service does."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(chat, ensure_ascii=False, separators=(",", ":")) for chat in chats]
    content = ("\n".join(lines) + "\n").encode()
    digest = sha256(content).hexdigest()
    path = folder / local_filename(digest)
    path.write_bytes(content)
    build_index(path, base_model)
    part = DatasetPart(path=path, sha256=digest, bytes=len(content), examples=len(lines), tokens=1_234_567)
    return Dataset(training=part)


def _build_chat(chance: random.Random, number: int) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [SYSTEM]
    for _ in range(min(12, 1 + int(chance.expovariate(0.6)))):
        question = f"{chance.choice(QUESTIONS).format(number=number)} ({number})"
        answers = [chance.choice(ANSWERS).format(number=number) for _ in range(1 + int(chance.expovariate(0.8)))]
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": " ".join(answers)}]
    if number % 7 == 0:
        messages[-1]["content"] += " Write to jane.doe@acme-corp.com if it does not arrive."
    if number % 31 == 0:
        messages[-1]["content"] += " As an AI language model, I cannot open the parcel."
    return {"messages": messages}


def _build_special_chats() -> list[dict[str, Any]]:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "find_order", "arguments": '{"id": 41, "note": "<b>"}'},
    }
    result = '{"state": "shipped", "carrier": "<script>window.attacked=1</script>"}'
    tools = {
        "messages": [
            SYSTEM,
            {"role": "user", "content": "Where is order 41?", "name": "jane"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": result},
            {"role": "assistant", "content": "It is on its way and arrives on Thursday."},
        ],
        "tools": [TOOL],
    }
    pictures = [_build_picture(width) for width in (320, 96)]
    address = {"type": "image_url", "image_url": {"url": "https://tracker.example/pixel.png"}}
    seen = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "What do these pictures show?"}, *pictures, address],
            },
            {"role": "assistant", "content": "Two gradients from blue to orange."},
        ]
    }
    code = (
        'Sure:\n\n```python\nfor item in cart:\n    print(f"{item.name:<20}{item.price:>8.2f}")\n```\n\n' + "x" * 300
    )
    long = {"messages": [{"role": "user", "content": "Print the cart."}, {"role": "assistant", "content": code}]}
    attacks = [
        {"messages": [{"role": "user", "content": attack}, {"role": "assistant", "content": f"No. {attack}"}]}
        for attack in ATTACKS
    ]
    many = {
        "messages": [
            message
            for turn in range(4)
            for message in (
                {"role": "user", "content": f"And then? ({turn})"},
                {"role": "assistant", "content": ANSWERS[3] * 6},
            )
        ]
    }
    return [tools, seen, long, *attacks, many]


def _build_picture(width: int) -> dict[str, Any]:
    """Return the part of a message with a PNG of this width."""
    height = width // 2
    rows = b"".join(
        b"\0"
        + b"".join(bytes((x * 255 // width, y * 160 // height + 60, 220 - x * 180 // width)) for x in range(width))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(content).decode()}"}}
