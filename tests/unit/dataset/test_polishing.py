"""Polish repairs what the warnings report, shows a diff first, and changes nothing the second time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.checks.messages import ANY_ROLE_KEYS, COMMON_MESSAGE_KEYS
from orchestrator.dataset.checks.object_keys import is_droppable_key
from orchestrator.dataset.checks.structure import CHAT_KEYS
from orchestrator.dataset.formats.feedback import FEEDBACK_KEYS, LOSS_WEIGHT_KEYS
from orchestrator.dataset.formats.system_message import SYSTEM_KEYS
from orchestrator.dataset.polish.polisher import ALL_REPAIRS, PolishOptions, polish_dataset, write_polished_files
from orchestrator.dataset.rules import DatasetRules

SAMPLES = Path(__file__).parents[3] / "chats"
SYSTEM = {"role": "system", "content": "Be kind."}
ONE = {"role": "user", "content": "What is one and one?"}
TWO = {"role": "assistant", "content": "Two."}
NAMES = ("Mina", "Tomás", "Aisha")


def put(folder: Path, *chats: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, chat in enumerate(chats):
        (folder / f"{number:02}.json").write_text(json.dumps(chat), encoding="utf-8")
    return folder


def after(folder: Path, options: PolishOptions) -> list[Any]:
    return [json.loads(file.after) if file.after else None for file in polish_dataset(folder, options)]


def polished(folder: Path, output: Path, options: PolishOptions) -> Path:
    write_polished_files(polish_dataset(folder, options), folder, output)
    return output


def test_system_messages_become_one(tmp_path: Path) -> None:
    late = {"role": "system", "content": "Be brief."}
    empty = {"role": "system", "content": " "}
    folder = put(
        tmp_path, [ONE, late, TWO, SYSTEM], [empty, ONE, TWO], [SYSTEM, SYSTEM, ONE, TWO], [SYSTEM, ONE, TWO]
    )
    assert after(folder, PolishOptions(merge_system=True)) == [
        [{"role": "system", "content": "Be brief.\n\nBe kind."}, ONE, TWO],
        [ONE, TWO],
        [SYSTEM, ONE, TWO],
        [SYSTEM, ONE, TWO],
    ]


def test_turns_after_the_last_answer_are_removed(tmp_path: Path) -> None:
    folder = put(
        tmp_path, [SYSTEM, ONE, TWO, ONE], [ONE, TWO, ONE, SYSTEM], [ONE, TWO], [ONE], {"messages": [ONE, TWO, ONE]}
    )
    assert [one.code for one in check_dataset(folder, DatasetRules(minimum_examples=0)).errors].count(
        "last-not-assistant"
    ) == 3
    assert after(folder, PolishOptions(cut_end=True)) == [
        [SYSTEM, ONE, TWO],
        [ONE, TWO],
        [ONE, TWO],
        [ONE],
        [ONE, TWO],
    ]


def test_unknown_keys_are_dropped_and_shown(tmp_path: Path) -> None:
    cached = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    user = {"role": "user", "content": [cached], "timestamp": 7}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": 5, "messages": [user, TWO | {"mid": "x", "weight": 1}], "meta": {}}) + "\n")
    assert len(check_dataset(path, DatasetRules(minimum_examples=0)).errors) == 5
    (file,) = polish_dataset(path, PolishOptions(drop_unknown_keys=True))
    part = {"type": "text", "text": "Hi"}
    assert json.loads(file.after) == {"messages": [{"role": "user", "content": [part]}, TWO | {"weight": 1}]}
    assert '-{"id": 5,' in file.diff()
    assert (
        check_dataset(polished(path, tmp_path / "clean", ALL_REPAIRS), DatasetRules(minimum_examples=0)).errors == ()
    )


@pytest.mark.parametrize("key", sorted({*FEEDBACK_KEYS, *LOSS_WEIGHT_KEYS, *SYSTEM_KEYS}))
def test_ratings_and_system_texts_are_kept(key: str) -> None:
    assert not is_droppable_key(key, COMMON_MESSAGE_KEYS | ANY_ROLE_KEYS)
    assert not is_droppable_key(key, CHAT_KEYS)


@pytest.mark.parametrize("key", ["label", "rating", "mesages", "functions", "system", "split"])
def test_meaningful_unknown_key_is_kept(tmp_path: Path, key: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [ONE, TWO], key: "x"}) + "\n")
    (file,) = polish_dataset(path, PolishOptions(drop_unknown_keys=True))
    assert file.after == file.before


@pytest.mark.parametrize("key", ["label", "rating"])
def test_rejected_chat_is_not_polished(tmp_path: Path, key: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [ONE, TWO], key: False}) + "\n")
    with pytest.raises(DatasetError) as caught:
        list(polish_dataset(path))
    assert [found.code for found in caught.value.findings] == ["unwanted-answer"]


def test_unknown_keys_of_a_pair_are_dropped(tmp_path: Path) -> None:
    pair = {
        "input": {"messages": [ONE], "id": 1},
        "preferred_output": [TWO],
        "non_preferred_output": [TWO | {"t": 1}],
    }
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(pair | {"id": 1}) + "\n")
    (file,) = polish_dataset(path, PolishOptions(drop_unknown_keys=True, cut_end=True))
    assert json.loads(file.after) == {
        "input": {"messages": [ONE]},
        "preferred_output": [TWO],
        "non_preferred_output": [TWO],
    }


def test_text_parts_are_joined_where_a_provider_requires_it(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]
    refusal = [{"type": "refusal", "refusal": "No."}]
    chat = [ONE | {"content": parts}, TWO | {"content": parts}, ONE, TWO | {"content": refusal}]
    folder = put(tmp_path / "chats", chat)
    joined = {"role": "assistant", "content": "One. Two."}
    assert after(folder, ALL_REPAIRS) == [[chat[0], joined, ONE, chat[3]]]
    assert after(folder, PolishOptions(text_roles=frozenset({"user"}))) == [
        [ONE | {"content": "One. Two."}, *chat[1:]]
    ]
    assert [one.code for one in check_dataset(folder, DatasetRules(minimum_examples=0)).errors] == [
        "content-in-parts"
    ]
    assert (
        check_dataset(polished(folder, tmp_path / "clean", ALL_REPAIRS), DatasetRules(minimum_examples=0)).errors
        == ()
    )


def test_empty_system_messages_alone_are_dropped(tmp_path: Path) -> None:
    folder = put(tmp_path, [SYSTEM, ONE, {"role": "system", "content": ""}, SYSTEM, TWO])
    assert after(folder, PolishOptions(drop_empty_system=True)) == [[SYSTEM, ONE, SYSTEM, TWO]]


def test_system_message_option_replaces_all_system_messages(tmp_path: Path) -> None:
    other = {"role": "system", "content": "Be brief."}
    folder = put(tmp_path, [SYSTEM, ONE, TWO], [other, ONE, TWO], [ONE, TWO], [SYSTEM, TWO])
    assert after(folder, PolishOptions(common_system="")) == [[SYSTEM, ONE, TWO]] * 3 + [[SYSTEM, TWO]]
    assert after(folder, PolishOptions(common_system="Be brief."))[3] == [other, TWO]


def with_user(text: str) -> list[Any]:
    return [
        {"role": "system", "content": "You are Juniper. Alex is your pupil."},
        {"role": "user", "content": f"Hi, I'm Alex. {text}?", "name": "Alex"},
        {"role": "assistant", "content": f"Hi Alex! Alex's {text}: Alexander and ALEX differ."},
    ]


WORDS = ["amber", "birch", "cedar", "dune", "elm", "fern", "grove", "heath"]


def test_user_gets_another_name_in_each_chat(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats", *map(with_user, WORDS))
    assert check_dataset(folder, DatasetRules(minimum_examples=0)).counts == {"same-user-name": 1}
    chats = after(folder, PolishOptions(names=NAMES))
    assert chats[1] == [
        {"role": "system", "content": "You are Juniper. Tomás is your pupil."},
        {"role": "user", "content": "Hi, I'm Tomás. birch?", "name": "Tomás"},
        {"role": "assistant", "content": "Hi Tomás! Tomás's birch: Alexander and ALEX differ."},
    ]
    assert chats[3][1]["name"] == "Mina"
    common = after(folder, PolishOptions(names=NAMES, common_system=""))
    assert {chat[0]["content"] for chat in common} == {"You are Juniper. the user is your pupil."}
    assert (
        check_dataset(
            polished(folder, tmp_path / "out", PolishOptions(names=NAMES, common_system="")),
            DatasetRules(minimum_examples=0),
        ).counts
        == {}
    )


def test_duplicates_are_removed_and_secrets_redacted(tmp_path: Path) -> None:
    secret = {"role": "assistant", "content": "Write to mina@lantern.club."}
    folder = put(tmp_path, [ONE, TWO], [ONE, TWO], [ONE, secret])
    assert after(folder, PolishOptions(remove_duplicates=True, redact=True)) == [
        [ONE, TWO],
        None,
        [ONE, {"role": "assistant", "content": "Write to [e-mail]."}],
    ]


def test_diff_shows_only_repairs(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats", [SYSTEM, SYSTEM, ONE, TWO])
    (file,) = polish_dataset(folder, ALL_REPAIRS)
    assert [row for row in file.diff().splitlines() if row[0] in "+-"] == [
        "--- 00.json",
        "+++ 00.json",
        "-  {",
        '-    "role": "system",',
        '-    "content": "Be kind."',
        "-  },",
    ]
    assert [file.diff() for file in polish_dataset(SAMPLES, ALL_REPAIRS)] == [""] * 14


def test_polish_overwrites_nothing(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats", [ONE, TWO])
    with pytest.raises(ConfigError, match="contains the original chats"):
        write_polished_files(polish_dataset(folder), folder, folder)
    put(tmp_path / "full", [ONE, TWO])
    with pytest.raises(ConfigError, match="not empty"):
        write_polished_files(polish_dataset(folder), folder, tmp_path / "full")


def test_unreadable_chat_is_not_repaired(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"bad-{number}.json").write_text("[{")
    with pytest.raises(DatasetError, match="2 chats cannot be read") as refused:
        list(polish_dataset(tmp_path))
    assert [found.file for found in refused.value.findings] == ["bad-0.json", "bad-1.json"]
    with pytest.raises(DatasetError, match="cannot be polished"):
        list(polish_dataset(tmp_path / "nowhere"))


def test_polish_leaves_the_original_chats_unchanged(tmp_path: Path) -> None:
    folder = put(tmp_path / "chats", [ONE, TWO])
    (tmp_path / "file").touch()
    for output, why in (
        (folder, "contains the original chats"),
        (folder / "new", "contains the original chats"),
        (tmp_path / "file", "file"),
    ):
        with pytest.raises(ConfigError, match=why):
            polished(folder, output, ALL_REPAIRS)


def test_files_keep_their_names_and_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    chat = {"messages": [ONE, TWO], "tools": [{"type": "function", "function": {"name": "add"}}]}
    (folder / "a.jsonl").write_text(json.dumps({"messages": [ONE, TWO]}) + "\n" + json.dumps(chat))
    (folder / "b.json").write_text(json.dumps([chat, [ONE, {"role": "assistant", "content": "2"}]]))
    header = {"chat_metadata": {}, "user_name": "Mina", "character_name": "Juniper"}
    (folder / "c.jsonl").write_text(json.dumps(header) + "\n" + json.dumps({"is_user": False, "mes": "Hi {{user}}"}))
    (folder / "d.jsonl").write_text((folder / "c.jsonl").read_text().replace("Hi", "Ho"))
    (folder / "d.json").write_text(json.dumps([TWO]))
    files = {file.name: file for file in polish_dataset(folder, PolishOptions())}
    assert list(files) == ["a.jsonl", "b.json", "c.json", "d.json", "d.jsonl.json"]
    assert [json.loads(row) for row in files["a.jsonl"].after.splitlines()] == [{"messages": [ONE, TWO]}, chat]
    assert json.loads(files["b.json"].after)[0] == chat
    assert json.loads(files["c.json"].after) == [{"role": "assistant", "content": "Hi Mina"}]
    assert [file.diff() for file in files.values()] == [""] * 5


def test_export_check_polish_format_round_trip(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for number, word in enumerate(WORDS * 2):
        rows: list[Any] = [
            {"chat_metadata": {}, "user_name": "Alex", "character_name": "Juniper"},
            {"name": "Juniper", "is_user": False, "mes": "Hello {{user}}, what shall we look at?"},
            {"name": "Alex", "is_user": True, "mes": f"Tell me about {word} number {number}."},
            {"name": "Juniper", "is_user": False, "mes": f"With joy, Alex! {word} is lovely in {number + 3} ways."},
        ]
        (folder / f"{number:02}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert check_dataset(folder).counts == {"same-user-name": 1}
    options = PolishOptions(names=NAMES, common_system="You are Juniper.", remove_duplicates=True, redact=True)
    clean = polished(folder, tmp_path / "clean", options)
    assert check_dataset(clean).findings == ()
    assert [file.diff() for file in polish_dataset(clean, options)] == [""] * 16
    built = build_dataset(clean, tmp_path / "out", DatasetRules(validation_fraction=0.1))
    assert built.dataset.training.examples == 14
    assert b"Alex" not in built.dataset.training.path.read_bytes()


TEXT = st.sampled_from(
    ["Alex", "Hi Alex!", "I'm Alex.", "Mina", "a@b.co", "", " ", "Be kind.", "+49 170 1234567", "x"]
)
MESSAGE = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user", "assistant"]), TEXT
)
WISHES = st.builds(
    PolishOptions,
    merge_system=st.booleans(),
    drop_empty_system=st.booleans(),
    common_system=st.sampled_from([None, "", "Be Alex."]),
    names=st.sampled_from([(), ("Mina",), NAMES]),
    cut_end=st.booleans(),
    drop_unknown_keys=st.booleans(),
    text_roles=st.sampled_from([frozenset(), frozenset({"user", "assistant"})]),
    persona=st.sampled_from([None, "Alex"]),
    remove_duplicates=st.booleans(),
    redact=st.booleans(),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chats=st.lists(st.lists(MESSAGE, min_size=1, max_size=4), min_size=8, max_size=12), options=WISHES)
def test_polishing_twice_changes_nothing(
    chats: list[Any], options: PolishOptions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("polish")
    clean = polished(put(folder / "chats", *chats), folder / "clean", options)
    assert [file.diff() for file in polish_dataset(clean, options) if file.diff()] == []
