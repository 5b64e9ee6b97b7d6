"""The declarations of all commands, one module per group. Their bodies are in `cli/handlers`.

The order of the imports is the order of the commands in `--help`: as a newcomer needs them.
"""

# isort: off
from orchestrator.cli.commands import (  # noqa: F401
    demo, accounts_file, dataset, run, status, operate, deployments, comparisons,
    deliveries, tokens, admin, completion,
)  # fmt: skip

# isort: on
from orchestrator.cli.commands.root import app

__all__ = ["app"]
