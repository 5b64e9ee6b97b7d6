"""OpenAI's chat format: one object with `messages` (and `tools`, `parallel_tool_calls`)."""

from __future__ import annotations

from orchestrator.dataset.formats.shape import Shape


def chat(value: object) -> Shape | None:
    """`{"messages": […], …}`"""
    if isinstance(value, dict) and "messages" in value:
        return Shape("chat", value)
    return None
