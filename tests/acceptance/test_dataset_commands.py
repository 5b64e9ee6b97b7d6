"""check, polish and format as a person uses them: on exports, on broken files, in a terminal, and cut short."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import PROGRAM, Site, clean_environ

SAMPLES = Path(__file__).parents[1] / "samples" / "sillytavern"
BROKEN = {
    "cut.json": b'[{"role": "user"',
    "empty.jsonl": b"",
    "half.jsonl": b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}',
    "request.json": b'[{"role": "user", "content": "Hello?"}]',
    "notes.txt": b"not a chat",
}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    return folder


def test_an_export_becomes_a_dataset(site: Site) -> None:
    check = site.run("check", str(SAMPLES))
    assert check.code == 0, check.err
    assert "5 chats: 5 examples (format: 4 × sillytavern, 1 × request), 0 refused" in check.out
    assert "6 × swipe, 2 × hidden message" in check.out
    assert site.run("check", "--strict", str(SAMPLES)).code == 1

    diff = site.run("polish", str(SAMPLES))
    assert diff.code == 0
    assert '-    "content": "Then I have 6 more than before! You can send the worksheet to mina' in diff.out
    assert "5 files: 4 changed, 1 removed. Nothing was written" in diff.err
    assert not (site.folder / "clean").exists()

    names = ("--names", "Noor,Teo,Wren,Ilse", "--persona", "Mina")
    assert site.run("polish", str(SAMPLES), *names, "--into", "clean").code == 0
    texts = [chat.read_text() for chat in sorted((site.folder / "clean").iterdir())]
    assert len(texts) == 4
    assert all(name in text for name, text in zip(("Noor", "Teo", "Wren"), texts, strict=False))
    assert not any("Mina" in text or "mina.okafor" in text or "{{" in text for text in texts)
    assert "Nothing to polish" in site.run("polish", "clean", *names).err, "polishing twice changes nothing"
    assert site.run("check", "--strict", "clean").code == 0

    parts = site.run("format", "clean", "-o", "out.jsonl", "--validation", "0.3", "--seed", "7", "--json").json
    assert {name: part["examples"] for name, part in parts.items()} == {"training": 3, "validation": 1}
    for part in parts.values():
        assert sha256((site.folder / part["path"]).read_bytes()).hexdigest() == part["sha256"]
    again = site.run("format", "clean", "--validation", "0.3", "--seed", "7", "--json").json
    assert {part["sha256"] for part in again.values()} == {part["sha256"] for part in parts.values()}
    assert site.run("check", "out.validation.jsonl", "--training", "out.jsonl").code == 0
    overlap = site.run("check", "out.jsonl", "--training", "out.jsonl")
    assert (overlap.code, overlap.out.count("[validation-overlap]")) == (1, 3)


def test_minimum_number_of_examples_applies_to_the_dataset_only(site: Site) -> None:
    site.write_accounts("one")
    for chat in sorted(site.chats.iterdir())[1:]:
        chat.unlink()
    chat = next(site.chats.iterdir())
    assert site.run("check", f"chats/{chat.name}").code == 0
    for arguments in ([], ["chats"]):
        check = site.run("check", *arguments)
        assert (check.code, check.out.count("there is 1 training example, at least 10 are required")) == (1, 1)
    assert site.run("format").code == 1


def test_check_names_every_broken_file_and_counts_add_up(site: Site, broken: Path) -> None:
    check = site.run("check", "broken", "--json")
    assert check.code == 1
    summary = check.json["summary"]
    assert {finding["file"] for finding in check.json["findings"]} == {
        f"broken/{name}" for name in BROKEN if name != "notes.txt"
    }
    assert summary["ignored"] == ["broken/notes.txt"]
    assert (summary["chats"], summary["examples"], summary["refused"]) == (4, 0, 4)
    assert check.json["errors"] == sum(check.json["counts"].values()) == len(check.json["findings"])
    assert site.run("check", "broken", "--format", "json").out == check.out

    text = site.run("check", "broken")
    assert "broken/cut.json:1" in text.out
    assert "not read: broken/notes.txt" in text.out
    for verb in (["polish", "broken"], ["format", "broken"], ["polish", "broken", "--into", "clean"]):
        refused = site.run(*verb)
        assert refused.code == 1
        assert all(name in refused.err for name in ("cut.json", "empty.jsonl", "half.jsonl"))
        assert "Traceback" not in refused.err
    assert not (site.folder / "clean").exists()


def test_sarif_paths_are_relative_to_the_working_directory(site: Site, broken: Path) -> None:
    check = site.run("check", "broken", "-f", "sarif")
    (run,) = check.json["runs"]
    places = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: result["level"]
        for result in run["results"]
    }
    assert set(places.values()) == {"error"}
    assert all((site.folder / uri).is_file() for uri in places)


def test_report_includes_moderation_results(site: Site) -> None:
    site.write_accounts("one")
    assert site.run("check", "--report", "before.html").code == 0
    assert "Not moderated yet." in (site.folder / "before.html").read_text()
    unmoderated = (site.folder / "accounts.toml").read_text().replace('moderation_waived = "a test"\n', "")
    (site.folder / "accounts.toml").write_text(unmoderated)
    assert site.run("upload").code == 0
    assert site.run("check", "--report", "after.html").code == 0
    assert "texts moderated, 0 flagged." in (site.folder / "after.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "chats", "--report", "nowhere/report.html"], ["nowhere/report.html cannot be written"]),
        (["check", "--training"], ["--training"]),
        (["check", "chats", "--format", "yaml"], ["yaml", "sarif"]),
        (["check"], ["accounts.toml"]),
        (["polish", "chats", "--into", "chats/polished"], ["contains the original chats"]),
        (["polish", "chats", "--into", "keys/../chats"], ["contains the original chats"]),
        (["polish", "chats", "--into", "file"], ["file is a file"]),
        (["format", "chats", "-o", "nowhere/x.jsonl"], ["nowhere/x.jsonl cannot be written"]),
        (["format", "chats", "--validation", "2"], ["--validation"]),
    ],
)
def test_wrong_arguments_are_refused_with_exit_code_2(site: Site, arguments: list[str], words: list[str]) -> None:
    (site.folder / "file").touch()
    refused = site.run(*arguments)
    assert (refused.code, "Traceback" in refused.err) == (2, False), refused
    assert [word for word in words if word not in refused.err] == []


def test_run_with_two_training_methods_is_refused(site: Site) -> None:
    site.write_accounts("one")
    accounts = (site.folder / "accounts.toml").read_text()
    pairs = accounts.replace("n_epochs = 3", 'n_epochs = 3\nmethod = "dpo"')
    (site.folder / "accounts.toml").write_text(pairs)
    check = site.run("check", "--json")
    assert check.json["counts"]["wrong-method"] == len(list(site.chats.iterdir()))
    (site.folder / "accounts.toml").write_text(pairs + TOGETHER_SECTION)
    refused = site.run("check")
    assert refused.code == 2
    assert "dpo in [run.openai], supervised in [run.together]" in refused.err


TOGETHER_SECTION = """
[run.together]
base_model = "m"
[[accounts]]
name = "two"
provider = "together"
api_key = "env:TWO"
"""


def test_check_shows_a_progress_bar_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    row = json.dumps(
        {"messages": [{"role": "user", "content": "Why? " * 200}, {"role": "assistant", "content": "x"}]}
    )
    megabytes = (tmp_path / "large.jsonl").write_text((row + "\n") * 60_000) / 1e6
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
    terminal, end = pty.openpty()
    check = subprocess.Popen(
        [*PROGRAM, "check", "large.jsonl"], cwd=tmp_path, env=clean_environ(), stdout=subprocess.DEVNULL, stderr=end
    )
    os.close(end)
    said = b""
    while b"MB" not in said:
        said += os.read(terminal, 1000)
    check.send_signal(signal.SIGINT)
    code = check.wait(scale_seconds(120))
    while chunk := read(terminal):
        said += chunk
    os.close(terminal)
    assert (code, b"Traceback" in said) == (130, False), said
    assert b"checking" in said
    assert f"{megabytes:.1f}/{megabytes:.1f} MB".encode() not in said


def read(terminal: int) -> bytes:
    """What is left; a terminal whose other end is closed says so by an error."""
    try:
        return os.read(terminal, 1000)
    except OSError:
        return b""


def test_closed_output_pipe_ends_the_check_without_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n" * 5_000)
    check = subprocess.Popen(
        [*PROGRAM, "check", "bad.jsonl"],
        cwd=tmp_path,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert check.stdout
    assert check.stderr
    assert check.stdout.readline().startswith(b"bad.jsonl:1 $: error: not a chat")
    check.stdout.close()
    assert (check.stderr.read(), check.wait(scale_seconds(120))) == (b"", 1)
    check.stderr.close()


def test_method_comes_from_data_or_option_without_an_accounts_file(site: Site) -> None:
    (site.folder / "accounts.toml").unlink(missing_ok=True)
    pairs = site.folder / "pairs"
    pairs.mkdir()
    (pairs / "a.jsonl").write_text('{"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}\n')
    assert site.run("check", "pairs").code == 0
    assert site.run("format", "pairs", "-o", "pairs.jsonl").code == 0
    refused = site.run("check", "pairs", "--method", "supervised")
    assert (refused.code, "wrong-method" in refused.out) == (1, True)
    assert site.run("format", "pairs", "--method", "supervised").code == 1


def test_empty_folder_is_a_failure(site: Site) -> None:
    (site.folder / "accounts.toml").unlink(missing_ok=True)
    (site.folder / "texts").mkdir()
    (site.folder / "texts" / "train.txt").write_text("Hi")
    check = site.run("check", "texts")
    assert (check.code, "texts/train.txt" in check.out, "[no-chats]" in check.out) == (1, True, True)
    assert site.run("format", "texts", "-o", "out.jsonl").code == 1
    assert not (site.folder / "out.jsonl").exists()
