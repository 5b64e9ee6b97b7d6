"""Every child process of the program has a chosen environment: the usual one has the keys of `env:` references."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import CHECKOUT

STARTERS = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
MODULES = {"subprocess", "asyncio"}
CHOSEN = {"build_child_environment", "_build_environment"}  # the second: of the command of a `cmd:` reference


def list_starts() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of the package that starts a process, with its place."""
    paths = [path for path in CHECKOUT.files if path.startswith("orchestrator/") and path.endswith(".py")]
    for path, text in ((path, CHECKOUT.read(path)) for path in paths):
        if "subprocess" in text:  # as in each name of STARTERS with its module; to parse all of them takes a second
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTERS:
                    owner = node.func.value
                    # asyncio.run starts no process
                    is_module = isinstance(owner, ast.Name) and owner.id in MODULES
                    if is_module and ast.unparse(node.func) != "asyncio.run":
                        yield f"{path}:{node.lineno}", node


STARTS = dict(list_starts())


def test_starts_of_processes_are_found() -> None:
    assert len(STARTS) >= 4


@pytest.mark.parametrize("place", STARTS)
def test_child_process_gets_a_chosen_environment(place: str) -> None:
    given = next((word.value for word in STARTS[place].keywords if word.arg == "env"), None)
    assert isinstance(given, ast.Call), f"{place}: pass env=build_child_environment(os.environ)"
    assert ast.unparse(given.func) in CHOSEN, f"{place}: pass env=build_child_environment(os.environ)"
