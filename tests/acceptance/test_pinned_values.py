"""pin_auto: one job is created with "auto"; the rest with what the provider made of it."""

from __future__ import annotations

from processes import SandboxProcess, Site

NAMES = ("one", "two", "three", "four")


def test_only_the_first_job_uses_provider_defaults(site: Site, sandbox: SandboxProcess) -> None:
    site.write_accounts(*NAMES, run="allow_unknown_price = true")
    file = site.folder / "accounts.toml"
    file.write_text(file.read_text().replace("n_epochs = 3", "pin_auto = true"))
    done = site.run("run")
    assert done.code == 0, done.err

    jobs = [job for name in NAMES for job in sandbox.jobs(name)]
    used = [job["method"]["supervised"]["hyperparameters"] for job in jobs]
    assert all(values == used[0] for values in used)
    left_open = [job for job in jobs if "auto" in job["asked"].values()]
    assert len(jobs) == 4
    assert len(left_open) == 1
    assert all(job["asked"] == used[0] for job in jobs if job not in left_open)
    seen = site.status()["run"]
    assert (seen["pins"], seen["warnings"]) == ({"openai": used[0]}, [])

    changes = sandbox.count_changing_requests()
    site.write_accounts(*NAMES, "five", run="allow_unknown_price = true")
    file.write_text(file.read_text().replace("n_epochs = 3", "pin_auto = true"))
    again = site.run("run")
    assert again.code == 0, again.err
    assert sandbox.jobs("five")[0]["asked"] == used[0]
    assert sandbox.count_changing_requests()["jobs.create"] == changes["jobs.create"] + 1
