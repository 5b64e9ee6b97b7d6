"""What is known of the chats' moderation, for the report. Nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from orchestrator.app import has_database, open_app
from orchestrator.cli.session import CommandSession
from orchestrator.dataset.moderation.runner import ModerationResult


def find_moderation(session: CommandSession, chats: Sequence[Path]) -> ModerationResult | None:
    """What was said of these chats before; None where there is no database yet."""
    if not has_database(session.settings):
        return None

    async def ask() -> ModerationResult:
        async with open_app(session.settings, session.redact) as app:
            return await app.get_moderation(chats)

    return asyncio.run(ask())
