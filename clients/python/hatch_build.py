"""Generates the package `orchestrator_client` from the API's OpenAPI document while a wheel is built.

The generated code is not in the repository, so it cannot differ from the document.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).parent
DOCUMENTS = (FOLDER / "openapi.json", FOLDER.parents[1] / "docs" / "reference" / "openapi.json")
PACKAGE = "orchestrator_client"


class ClientGenerator(BuildHookInterface[Any]):
    """Adds the generated package to a wheel. An sdist gets the document instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        self._temporary = TemporaryDirectory()
        package = Path(self._temporary.name) / PACKAGE
        generate_package(next(path for path in DOCUMENTS if path.exists()), package)
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        self._temporary.cleanup()


def generate_package(document: Path, package: Path) -> None:
    """Generate the package. A warning of the generator fails the build: it means that an operation is missing."""
    config = package.with_suffix(".json")
    config.write_text(json.dumps({"package_name_override": PACKAGE, "post_hooks": []}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    subprocess.run(
        [*command, "--path", str(document), "--output-path", str(package), "--config", str(config)], check=True
    )
    (package / "py.typed").touch()
