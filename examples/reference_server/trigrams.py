"""The toy behind the reference server: a model of trigrams, which counts which word follows which two words.

It is trained for real, on the CPU, in a second, and it is of no use. Put your own trainer in its place.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from math import log
from pathlib import Path

MAX_WORDS = 60
ASSISTANT, END = "<assistant>", "<end>"

Model = dict[str, dict[str, int]]
"""How often each word followed two words."""


def read_chats(path: Path) -> Iterator[list[str]]:
    """Yield the words of each chat: what comes before the answer, a mark, and the answer."""
    # Not `splitlines`, which also splits at characters that a text may contain, such as U+2028.
    for number, line in enumerate(path.read_text("utf-8").removesuffix("\n").split("\n"), 1):
        try:
            *before, answer = json.loads(line)["messages"]
            context = [word for message in before for word in message["content"].split()]
            yield [END, *context, ASSISTANT, *answer["content"].split(), END]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} is no chat: {error!r}") from error


def train(path: Path, epochs: int, report: Callable[[int, float], bool]) -> Model | None:
    """Count the words after each pair of words. `report` receives epoch and loss, and returns whether to go on."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    chats = list(read_chats(path))
    known = len({word for chat in chats for word in chat})
    for epoch in range(1, epochs + 1):
        for words in chats:
            for first, second, third in zip(words, words[1:], words[2:], strict=False):
                counts[f"{first} {second}"][third] += 1
        steps = [(f"{a} {b}", c) for words in chats for a, b, c in zip(words, words[1:], words[2:], strict=False)]
        loss = -sum(log((counts[pair][word] + 0.1) / (counts[pair].total() + 0.1 * known)) for pair, word in steps)
        if not report(epoch, loss / max(len(steps), 1)):
            return None
    return {pair: dict(after) for pair, after in counts.items()}


def complete(model: Model, question: str, seed: int) -> str:
    """Write an answer, word by word, each chosen as often as it followed the two words before it."""
    chance, answer = random.Random(seed), list[str]()
    first, second = (question.split() or [END])[-1], ASSISTANT
    while len(answer) < MAX_WORDS:
        unseen = next((after for pair, after in model.items() if pair.endswith(f" {second}")), {END: 1})
        after = model.get(f"{first} {second}", unseen)
        word = chance.choices(list(after), list(after.values()))[0]
        if word == END:
            break
        answer.append(word)
        first, second = second, word
    return " ".join(answer)
