"""Wraps a provider so that each call is reported to the observer, which counts it in the metrics."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ProviderError
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.structs import Struct
from orchestrator.providers.base import Provider


def instrument_provider(
    provider: Provider, name: ProviderName, observer: ServiceObserver, clock: Callable[[], float]
) -> Provider:
    """Return the provider with each call reported: its operation, outcome and duration in seconds."""
    return (
        provider
        if observer is NULL_OBSERVER
        else cast(Provider, _InstrumentedProvider(provider, name, observer, clock))
    )


class _InstrumentedProvider(Struct, frozen=True):
    """Wraps every coroutine method that the dialect has, optional ones included."""

    provider: Provider
    name: ProviderName
    observer: ServiceObserver
    clock: Callable[[], float]

    def __getattr__(self, operation: str) -> Any:
        offered = getattr(self.provider, operation)
        if not iscoroutinefunction(offered):
            return offered

        async def call(*arguments: Any, **options: Any) -> Any:
            started, outcome = self.clock(), "cut_off"
            try:
                answer = await offered(*arguments, **options)
                outcome = "ok"
            except ProviderError as error:
                outcome = error.kind
                raise
            except Exception:
                outcome = "internal_error"
                raise
            finally:
                self.observer.call_finished(self.name, operation, outcome, self.clock() - started)
            return answer

        return call
