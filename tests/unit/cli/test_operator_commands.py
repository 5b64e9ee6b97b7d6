"""Every operator action has a command, and the command's help is the action's summary."""

from __future__ import annotations

import pytest
from deploy_files import list_commands

from orchestrator.core.jobs.operator_action import ACTION_INFO, OperatorAction

OTHER_COMMANDS = {
    OperatorAction.START: "start",  # also follows the run, so that its help says more
    OperatorAction.REDELIVER: "deliveries",  # `deliveries retry`
    OperatorAction.REVOKE_ACCEPTANCE: "accept",  # `accept --revoke`
}


@pytest.mark.parametrize("action", OperatorAction)
def test_every_action_has_a_command_with_its_summary(action: OperatorAction) -> None:
    commands = list_commands()
    assert OTHER_COMMANDS.get(action, action.value) in commands
    if action not in OTHER_COMMANDS:
        assert commands[action.value].help == ACTION_INFO[action].summary
