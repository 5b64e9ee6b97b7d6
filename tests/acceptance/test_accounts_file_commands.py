"""validate, account add and account remove: the accounts file is checked and edited without a key or a provider."""

from __future__ import annotations

from processes import LONG_INTENTS, SandboxProcess, Site

PASTED_KEY = "sk-proj-abcdefghijklmnopqrstuvwx"


def add_arguments(name: str, reference: str = "env:NORTH_KEY") -> list[str]:
    return ["account", "add", name, "--provider", "openai", "--api-key", reference]


def test_validate_reads_neither_keys_nor_chats(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts("a", "b", run='dataset = "nowhere"', keys={"a": "env:UNSET_KEY"})
    done = site.run("validate")
    assert (done.code, done.out) == (0, "accounts.toml is valid: 2 accounts (2 at openai).\n")
    assert not site.data.exists()
    assert sandbox.state()["requests"] == {}


def test_validate_reports_every_problem_with_its_line(site: Site) -> None:
    site.write_accounts("a", run='datset = "chats"', options={"a": "budget_usd = -1"})
    done = site.run("validate")
    assert done.code == 2
    assert 'accounts.toml:4: [run]: datset: is not a known option; did you mean "dataset"?' in done.err
    assert "accounts.toml:13: [[accounts]] a: budget_usd" in done.err


def test_add_and_remove_leave_every_other_byte(site: Site) -> None:
    site.write_accounts("a", run="# a comment")
    path = site.folder / "accounts.toml"
    before = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(before)
    path.chmod(0o640)
    added = site.run(*add_arguments("north"), "--budget-usd", "5", "--label", "eu")
    assert (added.code, added.out) == (0, "Added north: accounts.toml now has 2 accounts.\n"), added
    assert b'budget_usd = 5.0\r\nlabels = ["eu"]' in path.read_bytes()
    removed = site.run("account", "remove", "north")
    assert (removed.code, removed.err) == (0, "")
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in site.folder.glob(".accounts*")] == []


def test_dry_run_prints_a_diff_and_writes_nothing(site: Site) -> None:
    site.write_accounts("a", "b")
    path = site.folder / "accounts.toml"
    before = path.read_bytes()
    added, removed = site.run(*add_arguments("north"), "--dry-run"), site.run("account", "remove", "a", "--dry-run")
    assert '+name = "north"\n' in added.out
    assert '-name = "a"\n' in removed.out
    assert path.read_bytes() == before


def test_impossible_edits_are_refused(site: Site) -> None:
    site.write_accounts("a", "b", run="")
    path = site.folder / "accounts.toml"
    path.write_text(path.read_text().replace('moderation_waived = "a test"', 'moderation = "b"'))
    before = path.read_bytes()
    for arguments, message in (
        (add_arguments("a"), "already has an account 'a'"),
        (add_arguments("not a name"), "must be 1 to 64 of the characters"),
        (
            ["account", "add", "c", "--provider", "together", "--api-key", "env:K"],
            "add [run.together] with base_model",
        ),
        (["account", "remove", "aa"], "no account 'aa'; did you mean \"a\"?"),
        (["account", "remove", "b"], "moderation: is not the name of an account"),
    ):
        done = site.run(*arguments)
        assert done.code == 2, done
        assert message in done.err
    assert path.read_bytes() == before


def test_pasted_key_is_refused_and_not_repeated(site: Site) -> None:
    site.write_accounts("a")
    done = site.run(*add_arguments("north", PASTED_KEY))
    assert done.code == 2
    assert "not the key itself" in done.err
    assert PASTED_KEY not in done.out + done.err + (site.folder / "accounts.toml").read_text()


def test_remove_warns_about_an_unfinished_job(site: Site, sandbox: SandboxProcess) -> None:
    sandbox.set_faults({"kind": "fail_job", "accounts": ["a"], "seconds": 36_000})  # the job does not end
    site.write_accounts("a", "b")
    assert site.run("start", **LONG_INTENTS).code == 0
    removed = site.run("account", "remove", "a")
    assert removed.code == 0
    assert "warning: a has 1 unfinished job" in removed.err
    assert "orchestrator cancel a" in removed.err
