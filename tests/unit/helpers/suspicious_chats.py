"""Chats of ordinary words with suspicious ones among them: keys, addresses, tokens of models, remains of markup."""

from __future__ import annotations

from random import Random
from typing import Any

SUSPICIOUS = (
    *("sk-proj-" + "a1B2" * 8, "AKIA" + "Q7" * 8, "AIza" + "x" * 35, "ghp_" + "a" * 36, "github_pat_" + "A" * 24),
    *("glpat-" + "x1" * 12, "xoxb-1234567890ab", "sk_live_" + "a1" * 12, "hf_" + "A" * 32),
    *("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM", "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----"),
    *("password: hunter2hunter2", "PASSWD is abcd1234efg", "Api Key = q1w2e3r4t5", "access_token: zzzz1111yy"),
    *("client-secret 'is' x", "passwort ist geheim", "password: \u0661\u0662abcdefgh", "my password is long"),
    *("ann@acme.org", "a@example.com", "+49 (30) 1234567", "555-123-4567", "030 1234 5678", "12.10.2020"),
    *("{{char}}", "<think>hm</think>", "[THINK]x[/THINK]", "![a](b.png)", "<img src=x>", "[INST]", "</s>"),
    *("<start_of_turn>", "<\uff5cUser\uff5c>", "&amp;", "R&D", "\u00c2\u00a0x", "\u00c3\u00a9", "\u00e2\u20ac\u2122"),
    *("\u00f0\u0178\u02dc", "\ufffd", "caf\u00e9", "\u00c9COLE", "\u03a3\u039f\u03a3", "\u0130stanbul", "\u3002"),
    *("\uff01", "\uff1a", "\uff1b", "\uff1f", "\uff0c", "- item", "[1]", "Kazak", "J."),
    *("x: y", '"a":', '\\": z', "a\tb"),
)
ORDINARY = "We open at ten and close at four every day. Please ask for help! Why? Orders, returns; thanks"


def write_chats(seed: int, count: int) -> list[dict[str, Any]]:
    """Write chats of ordinary words with some suspicious ones."""
    chance = Random(seed)
    words = ORDINARY.split()

    def write_text() -> str:
        text = chance.choices(words, k=chance.randint(1, 60))
        for _ in range(chance.choice([0, 0, 1, 1, 2])):
            text.insert(chance.randrange(len(text) + 1), chance.choice(SUSPICIOUS))
        return " ".join(text) + chance.choice(["", ".", ",", "!"])

    roles = ("system", "user", "assistant", "user", "assistant")
    return [{"messages": [{"role": role, "content": write_text()} for role in roles]} for _ in range(count)]
