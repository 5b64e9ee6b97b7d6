"""A stop kills the children that are running and those that come too late."""

from __future__ import annotations

from orchestrator.system.child_processes import ChildProcesses


def test_stop_kills_registered_processes_only() -> None:
    children, killed = ChildProcesses(), []
    with children.register(lambda: killed.append("ended before")):
        pass
    with children.register(lambda: killed.append("running")):
        children.kill_all()

    assert killed == ["running"]


def test_a_child_that_registers_after_the_stop_is_killed_at_once() -> None:
    children, killed = ChildProcesses(), []
    children.kill_all()

    with children.register(lambda: killed.append("late")):
        assert killed == ["late"]
