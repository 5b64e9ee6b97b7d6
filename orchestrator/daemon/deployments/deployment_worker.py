"""The deployments of a service: what hands out the due ones, and what handles them."""

from __future__ import annotations

from orchestrator.core.structs import Struct
from orchestrator.daemon.deployments.reconciler import DeploymentReconciler
from orchestrator.dispatch.embedded import EmbeddedDispatcher


class DeploymentWorker(Struct, frozen=True):
    """Works on the deployments that are due, until it is stopped."""

    dispatch: EmbeddedDispatcher
    reconciler: DeploymentReconciler

    async def run(self) -> None:
        """Handle due deployments until `stop` is called. Return when the last of them is done."""
        await self.dispatch.run(self.reconciler.handle)

    def wake(self) -> None:
        """Check now for due deployments."""
        self.dispatch.wake()

    def stop(self) -> None:
        """Begin nothing more: the steps at work end."""
        self.dispatch.stop()
        self.reconciler.stop()

    def abort(self) -> None:
        """Cancel the steps at work. Their intents stay."""
        self.dispatch.abort()
