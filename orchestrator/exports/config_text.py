"""Quoting, variable names and headers for configuration files of other programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from itertools import chain

from orchestrator.core.account import Account
from orchestrator.exports.model_set import ModelSet, left_out_reason


def quote(text: str) -> str:
    """Quote a string for YAML and TOML on one line. Quotes, backslashes and what is not printable are escaped."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text) + '"'


def escape_non_ascii(document: str) -> str:
    """Escape each character beyond ASCII as it is escaped in a quoted string of YAML and TOML."""
    return re.sub(r"[^\x00-\x7f]", lambda match: _escape(match[0]), document)


def _escape(character: str) -> str:
    return f"\\U{ord(character):08X}"


def build_variable_names(prefix: str, names: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return an environment variable for each name; names that would share one get a hash appended."""
    names = list(dict.fromkeys(names))  # an account occurs once in each run
    plain = {name: prefix + re.sub(r"[^A-Z0-9]", "_", name.upper()) for name in names}
    counts = Counter(chain(plain.values(), taken))
    return {
        name: variable if counts[variable] == 1 else f"{variable}_{sha256(name.encode()).hexdigest()[:8].upper()}"
        for name, variable in plain.items()
    }


def get_key_variables(accounts: Sequence[str], known: Mapping[str, Account]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that hold the accounts' keys, and generated names for accounts whose key is not in one."""
    references = {name: known[name].api_key for name in accounts if name in known}
    existing = {name: text[4:].strip() for name, text in references.items() if text.startswith("env:")}
    return existing, build_variable_names(
        "API_KEY_", [name for name in accounts if name not in existing], set(existing.values())
    )


def format_header(models: ModelSet, head: str) -> list[str]:
    """Return the first lines of a file: a title, and the accounts that are left out."""
    lines = [f"# {head} of the run {quote(models.name)}."]
    if models.has_several_runs:
        lines = [f"# {head} of the runs {', '.join(map(quote, models.run_names.values()))}."]
    for job in models.left_out:
        run = f" in {quote(models.get_run_name(job))}" if models.has_several_runs else ""
        lines.append(f"# Left out: {quote(job.account)}{run} at {job.provider}: {left_out_reason(job)}.")
    return lines
