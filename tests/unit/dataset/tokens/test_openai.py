"""Token counts equal those of tiktoken, without a network."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.dataset.checker import SMALL_DATASET_BYTES, check_dataset
from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens import encodings, openai
from orchestrator.dataset.tokens.counter import TokenCounter
from orchestrator.dataset.tokens.openai import count_example_tokens, count_text_tokens, prepare_texts

public = import_module("tiktoken_ext.openai_public")
NAMES = sorted(encodings.TOKEN_FILE_SHA256)
PIECES = [
    "hello ",
    "<|endoftext|>",
    "👩‍🔬",
    "漢字かな",
    "  \n\n\t",
    "don't",
    "été",
    "12345678",
    "!!!///\n",
    "\u00a0",
    "\u200b",
    " ",
    "/",
    "\r",
    "\x1c",
    "Straße,",
    "x=f(a_b)[0];",
    "abcdefghijklmnopqrstuvwxyz" * 5,
]


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """tiktoken's own constructors, with the download replaced by a record of the hash they would ask for."""
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda _url, expected_hash: {"hash": expected_hash})
    return {name: public.ENCODING_CONSTRUCTORS[name]() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_token_file_and_pattern_match_tiktoken(name: str, definitions: dict[str, dict[str, object]]) -> None:
    tokens = encodings.read_tokens(name)
    digest = sha256(encodings.format_rank_file(tokens)).hexdigest()
    assert definitions[name]["mergeable_ranks"] == {"hash": digest}
    assert max(map(len, tokens)) == encodings.MAX_TOKEN_BYTES
    assert definitions[name]["pat_str"] == encodings.SPLIT_PATTERNS[name]


@pytest.fixture(params=["with the extra fast", "without"])
def _extra(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "gigatoken", None)
        monkeypatch.setattr(encodings, "get_token_counter", cache(encodings.get_token_counter.__wrapped__))
    else:
        pytest.importorskip("gigatoken")


@pytest.mark.usefixtures("_extra")
@pytest.mark.parametrize("name", NAMES)
def test_token_counts_match_tiktoken(name: str) -> None:
    chance = random.Random(7)
    loaded = encodings.load_encoding(name)
    texts = ["".join(chance.choices(PIECES, k=chance.randrange(12))) for _ in range(10_000)]
    assert [count_text_tokens(name, text) for text in texts] == [len(loaded.encode_ordinary(text)) for text in texts]


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.sampled_from(PIECES) | st.text()).map("".join))
@example("a \n\n b!\n\n/c.\nd  e\t f\x1c g\u2003h it's'so")
def test_words_are_whole_pieces(name: str, text: str) -> None:
    encode = encodings.load_encoding(name).encode_ordinary
    assert [token for word in encodings.WORD_BOUNDARY.split(text) for token in encode(word)] == encode(text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(10))
def test_counts_of_few_texts_match_tiktoken(name: str, seed: int) -> None:
    chance = random.Random(seed)
    texts = {"".join(chance.choices(PIECES, k=chance.randrange(12))) for _ in range(20)}
    encode = encodings.load_encoding(name).encode_ordinary
    assert encodings.count_few_texts(name, texts) == {text: len(encode(text)) for text in texts}


@pytest.mark.parametrize("text", ["", "half a character \ud83d", "long" * 1_000])
def test_texts_that_need_the_whole_encoding_are_not_counted(text: str) -> None:
    assert encodings.count_few_texts("o200k_base", [text]) == {}


@pytest.fixture
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "_small_datasets", Counter())
    monkeypatch.setattr(encodings, "_loaded", set())


@pytest.mark.usefixtures("_new_process")
@pytest.mark.parametrize("size", [100, SMALL_DATASET_BYTES])
def test_small_dataset_loads_no_whole_encoding(size: int, tmp_path: Path) -> None:
    caches = (encodings.load_encoding, encodings.get_token_counter)
    for function in caches:
        function.cache_clear()
    chat = '{"messages": [{"role": "user", "content": "%s", "name": "m"}, {"role": "assistant", "content": "x"}]}\n'
    (tmp_path / "chats.jsonl").write_text(chat % ("word " * (size // 5)))
    check_dataset(tmp_path, DatasetRules(base_models=("gpt-4.1-2025-04-14", "gpt-3.5-turbo-0125")))
    assert any(function.cache_info().currsize for function in caches) is (size > 100)


@pytest.mark.usefixtures("_new_process")
def test_small_datasets_use_an_encoding_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: dict[str, Mapping[str, int]] = {}
    monkeypatch.setattr(openai, "_prepared_counts", prepared)
    monkeypatch.setattr(encodings, "get_token_counter", cache(encodings.get_token_counter.__wrapped__))
    encodings.get_token_counter("o200k_base")
    prepare_texts(["o200k_base", "cl100k_base"], [{"messages": [{"role": "user", "content": "Hello"}]}])
    assert list(prepared) == ["cl100k_base"]


@pytest.mark.usefixtures("_new_process")
def test_many_small_datasets_load_the_encoding_and_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: dict[str, Mapping[str, int]] = {}
    monkeypatch.setattr(openai, "_prepared_counts", prepared)
    encode = encodings.load_encoding("o200k_base").encode_ordinary
    for number in range(2 * openai.MAX_SMALL_DATASETS):
        text = f"This is the text of dataset {number}."
        prepare_texts(["o200k_base"], [{"messages": [{"role": "user", "content": text}]}])
        assert (text in prepared.get("o200k_base", {})) is (number < openai.MAX_SMALL_DATASETS)
        assert count_text_tokens("o200k_base", text) == len(encode(text))


LONG = 100_000  # the shortest run that is encoded as one piece


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", "\u2003", " \u3000"])
@pytest.mark.parametrize(
    "around", [("", ""), ("word", "word and"), ("!\n", "\n"), ("a ", "\r\nb"), ("\n\n", "1"), ("x", "/")]
)
def test_split_of_long_white_space_keeps_the_count(name: str, space: str, around: tuple[str, str]) -> None:
    before, after = around
    text = before + space * (LONG // len(space)) + after
    assert count_text_tokens(name, text) == len(encodings.load_encoding(name).encode_ordinary(text))


@pytest.mark.parametrize("name", NAMES)
def test_split_of_several_long_white_spaces_keeps_the_count(name: str) -> None:
    text = f"a{' ' * LONG}b\n{' ' * LONG}\nand{' ' * LONG}"
    assert count_text_tokens(name, text) == len(encodings.load_encoding(name).encode_ordinary(text))


@pytest.mark.parametrize("name", NAMES)
def test_a_million_spaces_do_not_crash(name: str) -> None:
    assert 7_000 < count_text_tokens(name, " " * 1_000_000 + "x") < 9_000


@pytest.mark.parametrize("name", NAMES)
def test_long_white_space_count_matches_gigatoken(name: str) -> None:
    pytest.importorskip("gigatoken")
    many = " " * 2 * LONG
    for text in (many, many + "x", "a\n" + many + "\n"):
        assert count_text_tokens(name, text) == encodings.get_token_counter(name)(text)


def test_message_overhead_matches_the_openai_cookbook() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi", "name": "mina"},
            {"role": "assistant", "content": "Hello!"},
        ]
    }
    count = tiktoken.Encoding.encode_ordinary
    loaded = encodings.load_encoding("o200k_base")
    expected = 3  # the example
    for message in body["messages"]:
        expected += 3 + sum(len(count(loaded, value)) for value in message.values()) + ("name" in message)
    assert count_example_tokens("o200k_base", body) == expected


@pytest.mark.parametrize(
    ("base_model", "encoding"),
    [
        ("gpt-4.1-mini-2025-04-14", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("ft:gpt-4.1-2025-04-14:acme:tone:abc", "o200k_base"),
        ("ft:gpt-4-0613:acme::abc", "cl100k_base"),
        ("meta-llama/Llama-3.3-70B-Instruct", None),
        ("", None),
    ],
)
def test_base_model_has_its_encoding(base_model: str, encoding: str | None) -> None:
    assert encodings.find_encoding_name(base_model) == encoding


def test_unknown_base_model_has_no_count() -> None:
    tally = TokenCounter(["gpt-4.1-2025-04-14", "gpt-3.5-turbo-0125", "llama"])
    for text in ("one", "two"):
        assert list(tally.count_example({"messages": [{"role": "assistant", "content": text}]})) == []
        tally.add_counts(tally.last_counts)
    assert tally.totals() == {"gpt-4.1-2025-04-14": 16, "gpt-3.5-turbo-0125": 16, "llama": None}
    assert tally.totals([True, False])["gpt-4.1-2025-04-14"] == 8
    assert tally.estimates() == {"llama": 16}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "add"}}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x"}}]}
            ]
        },
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
        {"messages": [{"role": "assistant", "content": None, "refusal": "No."}]},
    ],
)
def test_undocumented_content_is_estimated(more: dict[str, object]) -> None:
    tally = TokenCounter(["gpt-4.1-2025-04-14", "llama"])
    body = {"messages": [{"role": "assistant", "content": "Hello."}]}
    for one in (body, body | more):
        assert list(tally.count_example(one)) == []
        tally.add_counts(tally.last_counts)
    assert tally.totals() == {"gpt-4.1-2025-04-14": None, "llama": None}
    assert set(tally.estimates()) == {"gpt-4.1-2025-04-14", "llama"}
    assert all(10 < estimate < 100 for estimate in tally.estimates().values())


def test_one_text_part_counts_as_its_text() -> None:
    parts = {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "Hello."}]}]}
    text = {"messages": [{"role": "assistant", "content": "Hello."}]}
    assert count_example_tokens("o200k_base", parts) == count_example_tokens("o200k_base", text)


def test_damaged_token_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encodings.TOKEN_FILE_SHA256, "o200k_base", "0" * 64)
    with pytest.raises(RuntimeError, match="damaged"):
        encodings.read_tokens("o200k_base")


def test_a_dataset_without_anything_to_count_is_not_read_twice() -> None:
    bodies: Iterator[ExampleBody] = iter([{"messages": []}])
    TokenCounter([]).prepare(bodies)
    assert list(bodies) == [{"messages": []}]
