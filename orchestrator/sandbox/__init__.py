"""A provider on loopback that speaks OpenAI's files, fine-tuning, models, moderation, chat and responses endpoints.

It is an independent judge of the program's traffic: nothing here imports anything of `orchestrator` outside this
room, and what it knows of the provider it knows from the provider's documentation. Nothing runs in the background but
for webhooks: what a file or job is at a moment follows from what is recorded and the time.
"""

from orchestrator.sandbox.app import create_app
from orchestrator.sandbox.faults import Fault, FaultError, load_faults
from orchestrator.sandbox.loopback import NotLoopback
from orchestrator.sandbox.server import serve
from orchestrator.sandbox.settings import SandboxSettings

__all__ = ["Fault", "FaultError", "NotLoopback", "SandboxSettings", "create_app", "load_faults", "serve"]
