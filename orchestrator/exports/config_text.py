"""Words: names and texts as other programs' files want them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from itertools import chain

from orchestrator.core.account import Account
from orchestrator.exports.model_set import ModelSet, left_out_reason


def quote(text: str) -> str:
    """A string for YAML and for TOML, on one line: whatever is not plain ASCII is escaped."""
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08X}" for c in text) + '"'


def build_variable_names(prefix: str, names: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A variable of the environment for each name, stable as long as no two names look alike in capitals."""
    plain = {name: prefix + re.sub(r"[^A-Z0-9]", "_", name.upper()) for name in names}
    counts = Counter(chain(plain.values(), taken))
    return {
        name: variable if counts[variable] == 1 else f"{variable}_{sha256(name.encode()).hexdigest()[:8].upper()}"
        for name, variable in plain.items()
    }


def get_key_variables(accounts: Sequence[str], known: Mapping[str, Account]) -> tuple[dict[str, str], dict[str, str]]:
    """Where each account's key is found in the environment; and, apart, the names made up for those it is not in."""
    references = {name: known[name].api_key for name in accounts if name in known}
    given = {name: text[4:].strip() for name, text in references.items() if text.startswith("env:")}
    return given, build_variable_names(
        "API_KEY_", [name for name in accounts if name not in given], set(given.values())
    )


def format_header(models: ModelSet, head: str) -> list[str]:
    """The first lines of a file: what it is, and who is missing."""
    lines = [f"# {head} of the run {quote(models.name)}."]
    lines += [
        f"# Left out: {quote(job.account)} at {job.provider}: {left_out_reason(job)}." for job in models.left_out
    ]
    return lines
