"""A provider is named in few places: a new one is a row in these, and no module decides by the name of a provider."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest
from source_tree import CHECKOUT as TREE
from source_tree import Module

GUIDE = "docs/how-to/add-a-provider.md"
ENUM = "ProviderName"
LISTED_IN_THE_GUIDE = {
    "orchestrator/core/account.py": "the names",
    "orchestrator/core/capabilities.py": "what each provider offers",
    "orchestrator/core/providers.py": "what is known about each provider",
    "orchestrator/core/deployment/deployment_offers.py": "what each provider offers for deployments",
    "orchestrator/dataset/provider_rules.py": "what each provider requires of the chats",
    "orchestrator/providers/registry.py": "which dialect connects a provider",
    "orchestrator/providers/openai/dialects.py": "the providers that implement OpenAI's API",
}
OTHER_MEANINGS = {
    "orchestrator/dataset/formats/*.py": "the names of the formats that chats are read from",
    "orchestrator/dataset/polish/polisher.py": "the default without an accounts file",
    "orchestrator/dataset/rules.py": "the default without an accounts file",
    "orchestrator/providers/aws_signature.py": "AWS's own name of a service",
    "orchestrator/web/api/*examples.py": "the examples of the API reference",
}
DIALECTS = "orchestrator/providers/*/*.py"  # each may name its own provider


def read_names() -> dict[str, str]:
    """Return the value of each member of the enumeration, read from its source."""
    module = ast.parse(TREE.read("orchestrator/core/account.py"))  # TREE.modules would parse all of them
    (enum,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == ENUM)
    return {
        target.id: node.value.value
        for node in enum.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


NAMES = read_names()


def find_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name wherever a provider is named as a member or as its value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == ENUM:
            if node.attr in NAMES:
                yield node.lineno, f"{ENUM}.{node.attr}"
        elif isinstance(node, ast.Constant) and node.value in NAMES.values():
            yield node.lineno, repr(node.value)


def may_name(module: Module, name: str) -> bool:
    if module.path in LISTED_IN_THE_GUIDE or any(fnmatch(module.path, path) for path in OTHER_MEANINGS):
        return True
    folder = module.path.split("/")[-2]
    own = {folder, f"{ENUM}.{folder.upper()}", repr(folder)}
    return fnmatch(module.path, DIALECTS) and name in own


def test_names_of_providers_are_read_from_the_enumeration() -> None:
    assert {"OPENAI", "VERTEX"} <= NAMES.keys()
    assert NAMES["OPENAI_COMPATIBLE"] == "openai-compatible"


@pytest.mark.parametrize(
    "text", ["x = y.provider is ProviderName.VERTEX", "if name in ('openai', 'x'): ...", "{'bedrock': 1}"]
)
def test_comparison_and_list_are_found(text: str) -> None:
    assert len(list(find_names(ast.parse(text)))) == 1


def test_provider_is_named_only_where_a_new_one_needs_a_row() -> None:
    found = [
        f"{module.path}:{line}: {name}"
        for module in TREE.modules
        for line, name in find_names(module.tree)
        if not may_name(module, name)
    ]
    assert found == [], f"read a field of ProviderInfo instead, or list the module here and in {GUIDE}"


def test_guide_lists_every_module_with_a_row_for_each_provider() -> None:
    guide = TREE.read(GUIDE)
    assert [path for path in LISTED_IN_THE_GUIDE if f"`{path}`" not in guide] == []


def test_every_exception_is_still_needed() -> None:
    naming = [module.path for module in TREE.modules if any(find_names(module.tree))]
    paths = [*LISTED_IN_THE_GUIDE, *OTHER_MEANINGS]
    assert [path for path in paths if not any(fnmatch(name, path) for name in naming)] == []
