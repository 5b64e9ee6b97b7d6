"""A simulated provider on a loopback address, with OpenAI's files, fine-tuning, models, moderation and chat
endpoints.

It checks the traffic of the program independently: nothing here imports anything of `orchestrator` outside this
package, and its rules come from the provider's documentation. Only webhooks run in the background. The state of a
file or job at a moment is computed from its record and the time.
"""

from orchestrator.sandbox.app import create_app
from orchestrator.sandbox.faults import Fault, FaultError
from orchestrator.sandbox.loopback import NotLoopback
from orchestrator.sandbox.record_store import StateFileError
from orchestrator.sandbox.server import serve
from orchestrator.sandbox.settings import SandboxSettings, load_simulation
from orchestrator.sandbox.simulation.answer_behaviour import AnswerBehaviour

__all__ = [
    "AnswerBehaviour",
    "Fault",
    "FaultError",
    "NotLoopback",
    "SandboxSettings",
    "StateFileError",
    "create_app",
    "load_simulation",
    "serve",
]
