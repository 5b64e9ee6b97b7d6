"""Generates accounts files and folders of chats that are broken or malicious, and uses them as the program does."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import strategies as st

from orchestrator.cli.session import format_error
from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError, DatasetChanged, DatasetError
from orchestrator.core.structs import replace
from orchestrator.dataset.browse.example_index import find_index
from orchestrator.dataset.browse.example_library import OpenDataset
from orchestrator.dataset.browse.index_builder import build_index
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.convert import CONVERTERS
from orchestrator.dataset.convert.converted_file import get_converted_file
from orchestrator.dataset.output.formatters import to_json, to_sarif, to_text
from orchestrator.dataset.output.html_report import to_html
from orchestrator.dataset.output.report_examples import ReportExamples
from orchestrator.dataset.polish.polisher import ALL_REPAIRS, PolishOptions, polish_dataset, write_polished_files
from orchestrator.dataset.rules import DatasetRules
from orchestrator.inputs.accounts_file.editor import add_account, remove_account
from orchestrator.inputs.accounts_file.loader import parse_accounts_file
from orchestrator.inputs.accounts_file.schema import TABLE_SCHEMAS

BASE_MODEL: Final = "sandbox-small"
CONTROL: Final = frozenset(map(chr, (*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2028)))
KNOWN_TAGS: Final = frozenset(
    [
        "html", "head", "meta", "title", "link", "style", "body", "main", "h1", "h2", "h3", "p", "div", "b", "span",
        "figure", "figcaption", "svg", "line", "rect", "text", "code", "details", "summary", "table", "thead",
        "tbody", "tr", "th", "td", "ol", "li", "blockquote", "article", "img",
    ]
)  # fmt: skip
MODEL_TABLES: Final = {name: sorted(schema.model_fields) for name, schema in TABLE_SCHEMAS}

HOSTILE_TEXTS: Final = st.sampled_from(
    [
        "", " ", "\0", "a\0b", "\ud800x", "\n", "x\x1b[2J\x07\n", "\u202etxt\u2028", "\ud7ff\ue000", "=1+1", "../x",
        "~nosuchuser/x", "~", "/dev/zero", "/proc/self/mem", "//", "a" * 300, "x" * 5_000, "%s%n{0}{x}", "$(id)`id`",
        "<script>alert(1)</script>", '"\'><img src=x onerror=alert(1)>', "http://[::1", "https://user:pw@host/",
        "https://169.254.169.254/", "file:", "cmd:", "env:", "env:A B", "file:/dev/zero", "cmd:'", "sk-" + "a" * 40,
        "9999-99-99", "NaN", "1e999", "\N{GRINNING FACE}", "e\u0301" * 40, "https://x/\r\nHost: y", "[x](https://y)",
    ]
)  # fmt: skip
TEXTS = HOSTILE_TEXTS | st.text(st.characters(codec="utf-8"), max_size=40)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([0, -1, 1, 10**400, 2**31, 2**63, 0.5])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)

VALID_FILE: Final = """\
[run]
name = "tone"
dataset = "chats"
moderation_waived = "fuzzing"
max_total_usd = 5
[run.openai]
base_model = "gpt-4.1-mini-2025-04-14"
n_epochs = 3
[run.together]
base_model = "m"
[run.together.deployment]
kind = "hour"
keep_hours = 2
[run.comparison]
probes = 10
[[accounts]]
name = "one"
provider = "openai"
api_key = "env:ONE"
labels = ["a", "b"]
[[accounts]]
name = "two"
provider = "together"
api_key = "file:keys/two"
[[webhooks]]
url = "https://hooks.example.com/x"
secret = "env:SECRET"
[[alerts]]
url = "env:TEAM"
"""
VALID_OPTIONS: Final[dict[str, list[Any]]] = {
    "name": ["one", "two", "a-b"],
    "provider": [*map(str, ProviderName)],
    "api_key": ["env:ONE", "file:keys/x", "cmd:echo x", "google:default"],
    "base_url": ["https://api.example.com/v1", "http://127.0.0.1:1/v1", "http://10.0.0.1/v1"],
    "url": ["https://hooks.example.com/x", "env:HOOK"],
    "secret": ["env:SECRET"],
    "base_model": [BASE_MODEL, "gpt-4.1-mini-2025-04-14"],
    "schedule": ["0 3 * * *", "*/7 1-5 1,2 * 0", "0 0 31 2 *"],
    "proxy": ["http://proxy:3128", "env:PROXY", "none"],
    "region": ["eu-west-1", "us-central1"],
    "method": ["supervised", "dpo"],
    "events": [["model.ready"], []],
    "kind": ["token", "hour"],
    "keep_hours": [1, 48.5],
}


def draw_option(draw: st.DrawFn, name: str) -> Any:
    valid = VALID_OPTIONS.get(name)
    if valid and draw(st.booleans()):
        return draw(st.sampled_from(valid))
    return draw(JSON_VALUES)


def draw_table(draw: st.DrawFn, table: str) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(MODEL_TABLES[table]), max_size=6, unique=True))
    options = {name: draw_option(draw, name) for name in names}
    needed = [name for name in ("name", "provider", "api_key", "base_model") if name in MODEL_TABLES[table]]
    if draw(st.integers(0, 3)):
        options |= {name: draw(st.sampled_from(VALID_OPTIONS[name])) for name in needed}
    return options


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an accounts file of the right shape, with options of any kind."""

    def run(table: str) -> dict[str, Any]:
        made = draw_table(draw, table)
        for provider in draw(st.lists(st.sampled_from(list(ProviderName)), max_size=3, unique=True)):
            block = draw_table(draw, "[run.PROVIDER]")
            if draw(st.booleans()):
                block["deployment"] = draw_table(draw, "[run.PROVIDER.deployment]")
            made[str(provider)] = block
        if draw(st.booleans()):
            made["comparison"] = draw_table(draw, "[run.comparison]")
        return made

    made: dict[str, Any] = {}
    if draw(st.booleans()):
        made["run"] = run("[run]")
    else:
        made["runs"] = [run("[[runs]]") for _ in range(draw(st.integers(0, 3)))]
    for name in ("accounts", "webhooks", "alerts"):
        made[name] = [draw_table(draw, f"[[{name}]]") for _ in range(draw(st.integers(0, 3)))]
    if draw(st.integers(0, 4)) == 0:
        made[draw(st.sampled_from(["run", "runs", "accounts", "alerts", "openai", "x"]))] = draw(JSON_VALUES)
    return made


def to_toml(value: Any) -> str:
    """Write a value inline; whatever TOML has no form for becomes a text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {to_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(str(value) if value is None else value).replace("\x7f", "\\u007f")


def format_document(document: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(name)} = {to_toml(value)}\n" for name, value in document.items())


@st.composite
def damaged_texts(draw: st.DrawFn, text: str) -> str:
    """Draw a valid text of which parts were deleted, repeated, moved or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 60)))
        part = text[start:end]
        new = draw(st.sampled_from(["", part * 2, part[::-1], part.upper(), "[[", "]]", '"""', "#", "=", "\r", "'"]))
        text = text[:start] + (new if draw(st.booleans()) else draw(TEXTS)) + text[end:]
    return text


ACCOUNTS_FILES = documents().map(format_document) | damaged_texts(VALID_FILE) | st.text(max_size=300)


def use_accounts_file(text: str) -> bool:
    """Load the file, and edit it. Returns whether it is valid; anything but a ConfigError is a bug."""
    path = Path("/nowhere/accounts.toml")
    try:
        file = parse_accounts_file(path, text)
    except ConfigError as error:
        printed = format_error(error)
        assert not CONTROL & set(printed), ascii(printed)
        assert len(printed) < 100_000
        is_valid = False
    else:
        is_valid = True
        assert file.runs
        assert file.accounts
        repr((file, file.key_variables))
        with suppress(ConfigError):
            file.get_run()
        with suppress(ConfigError):
            added = add_account(text, {"name": "brand-new", "provider": "openai", "api_key": "env:NEW"})
            assert tomllib.loads(remove_account(added, "brand-new")) == tomllib.loads(text)
    return is_valid


KEYS = st.sampled_from(
    [
        "messages", "role", "content", "name", "tool_calls", "tool_call_id", "function", "arguments", "id", "type",
        "text", "image_url", "url", "detail", "weight", "functions", "tools", "parameters", "prompt", "completion",
        "chosen", "rejected", "input", "preferred_output", "non_preferred_output", "conversations", "from", "value",
        "instruction", "output", "system", "history", "mes", "is_user", "systemInstruction", "contents", "parts",
        "schemaVersion", "refusal", "audio", "reasoning_content", "parallel_tool_calls", "response_format", "label",
    ]
)  # fmt: skip
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "function", "developer", "human", "gpt", "", "USER"])
IMAGES = st.sampled_from(
    [
        "data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,", "data:image/svg+xml;base64,PHN2Zz4=",
        "data:,x", "https://x.example/y.png", "javascript:alert(1)", "data:image/png;base64,\u202e\n",
    ]
)  # fmt: skip
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "refusal", "x"]) | JSON_VALUES},
    optional={
        "text": TEXTS | JSON_VALUES,
        "image_url": st.fixed_dictionaries({"url": IMAGES}, optional={"detail": TEXTS}) | JSON_VALUES,
    },
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["1", "2", ""]) | JSON_VALUES,
        "type": st.just("function") | JSON_VALUES,
        "function": st.fixed_dictionaries(
            {}, optional={"name": st.sampled_from(["f", "g"]) | JSON_VALUES, "arguments": st.just("{}") | JSON_VALUES}
        )
        | JSON_VALUES,
    },
)
CONTENTS = TEXTS | st.lists(PARTS, max_size=3) | JSON_VALUES
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES | JSON_VALUES},
    optional={
        "content": CONTENTS,
        "name": TEXTS | JSON_VALUES,
        "tool_calls": st.lists(CALLS | JSON_VALUES, max_size=3) | JSON_VALUES,
        "tool_call_id": st.sampled_from(["1", "2"]) | JSON_VALUES,
        "weight": st.sampled_from([0, 1, 2, 0.0, True]) | JSON_VALUES,
    },
)
TURNS = st.lists(
    st.tuples(TEXTS, TEXTS).map(
        lambda pair: [{"role": "user", "content": pair[0] or "q"}, {"role": "assistant", "content": pair[1] or "a"}]
    ),
    min_size=1,
    max_size=3,
).map(lambda pairs: [message for pair in pairs for message in pair])
TOOLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.just("function") | JSON_VALUES,
            "function": st.fixed_dictionaries({"name": st.just("f")}, optional={"parameters": JSON_VALUES})
            | JSON_VALUES,
        },
    )
    | JSON_VALUES,
    max_size=2,
)
CHATS = (
    st.fixed_dictionaries(
        {"messages": TURNS | st.lists(MESSAGES, max_size=5) | JSON_VALUES},
        optional={"tools": TOOLS | JSON_VALUES, "functions": JSON_VALUES, "parallel_tool_calls": JSON_VALUES},
    )
    | st.fixed_dictionaries(
        {"input": st.fixed_dictionaries({"messages": TURNS}) | JSON_VALUES},
        optional={
            "preferred_output": st.lists(MESSAGES, max_size=2) | JSON_VALUES,
            "non_preferred_output": st.lists(MESSAGES, max_size=2) | JSON_VALUES,
        },
    )
    | TURNS
    | st.lists(MESSAGES, max_size=4)
    | st.dictionaries(KEYS, JSON_VALUES | TURNS, max_size=5)
    | JSON_VALUES
)
GOOD_CHATS = st.builds(
    lambda turns, extra: {"messages": turns} | extra,
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), TEXTS).map(
            lambda pair: [{"role": "user", "content": f"q{pair[0]}"}, {"role": "assistant", "content": f"a{pair[1]}"}]
        ),
        min_size=1,
        max_size=2,
    ).map(lambda pairs: [message for pair in pairs for message in pair]),
    st.sampled_from([{}, {}, {"tools": [{"type": "function", "function": {"name": "f"}}]}]),
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "latin-1", "cp1252", "shift-jis"])
NAMES = st.sampled_from(
    ["a.json", "b.jsonl", "c.ndjson", "\u202e\nq.json", "d\x1b[2J.jsonl", "[x](https:..y).json", "z" * 200 + ".json",
     "sub/e.json", ".hidden.json", "f.txt", "test.jsonl", "=g.json", "<b>h.json", "\udcff.json"]
)  # fmt: skip


@st.composite
def chat_files(draw: st.DrawFn) -> bytes:
    """Draw the content of a file: chats in any encoding, whole or damaged."""
    chats = draw(st.lists(GOOD_CHATS, min_size=1, max_size=5) | st.lists(CHATS, max_size=4))
    form = draw(st.integers(0, 4))
    if form == 0:
        text = json.dumps(chats, ensure_ascii=draw(st.booleans()))
    elif form == 1:
        text = json.dumps(chats[0] if chats else None, indent=draw(st.sampled_from([None, 2])))
    else:
        text = "\n".join(json.dumps(chat, ensure_ascii=form == 2) for chat in chats)
    content = text.encode(draw(ENCODINGS), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(st.binary(max_size=6)) + content[start + draw(st.integers(0, 30)) :]
    return content


@st.composite
def chat_folders(draw: st.DrawFn) -> dict[str, bytes]:
    files = chat_files() if draw(st.booleans()) else chat_files() | st.binary(max_size=60)
    return draw(st.dictionaries(NAMES, files, min_size=1, max_size=3))


RULES = st.builds(
    lambda providers, method, fraction: DatasetRules(
        minimum_examples=0,
        providers=tuple(sorted(providers)),
        method=method,
        base_models=(BASE_MODEL,),
        validation_fraction=fraction,
    ),
    st.sets(st.sampled_from(list(ProviderName)), min_size=1, max_size=3),
    st.sampled_from(["supervised", "dpo", None]),
    st.sampled_from([0.0, 0.3]),
)


MORE_REPAIRS: Final = PolishOptions(
    names=("Alex", "Kim"),
    persona="q",
    redact=True,
    merge_system=True,
    text_roles=frozenset({"system", "user", "assistant"}),
)


class StrictPage(HTMLParser):
    """Fails on an element or attribute that the report does not contain by itself."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN_TAGS, tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("src", "href") or (value or "").startswith("data:"), value


@contextmanager
def folder_of(files: dict[str, bytes]) -> Iterator[Path]:
    with TemporaryDirectory(prefix="chats-") as name:
        folder = Path(name)
        for path, content in files.items():
            target = folder / "chats" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield folder


def use_chats(files: dict[str, bytes], rules: DatasetRules) -> bool:
    """Check, report, polish, build, convert and browse the chats. Returns whether they became a dataset."""
    with folder_of(files) as folder:
        chats, examples = folder / "chats", ReportExamples()
        result = check_dataset(chats, rules, observer=examples)
        text = to_text(result)
        assert not CONTROL & set(text), ascii(text)
        for document in (to_json(result), to_sarif(result)):
            json.loads(json.dumps(document, allow_nan=False))
        StrictPage(convert_charrefs=True).feed(to_html(result, title="chats", examples=examples))
        for number, options in enumerate((ALL_REPAIRS, MORE_REPAIRS)):
            with suppress(DatasetError):
                for file in polish_dataset(chats, options):
                    file.diff()
                write_polished_files(polish_dataset(chats, options), chats, folder / f"polished-{number}")
        try:
            built = build_dataset(chats, folder / "out", rules)
        except DatasetError:
            return False
        assert not result.errors
        browse(built.dataset.training.path)
        for wire_format in CONVERTERS:
            with suppress(DatasetChanged):
                get_converted_file(built.dataset.training, wire_format)
        again = build_dataset(chats, folder / "again", replace(rules))
        assert again.dataset.training.sha256 == built.dataset.training.sha256
        return True


def browse(path: Path) -> None:
    """Read every example as the dashboard does."""
    build_index(path, BASE_MODEL)
    index = find_index(path, BASE_MODEL)
    assert index is not None
    lines = path.read_bytes().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    OpenDataset(path, index).list_examples(range(len(lines)))
