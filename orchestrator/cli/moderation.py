"""What is known of the chats' moderation, for the report. Nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from orchestrator.app import has_database, open_app
from orchestrator.cli.session import Session
from orchestrator.dataset.moderating import Moderated


def recalled(given: Session, chats: Sequence[Path]) -> Moderated | None:
    """What was said of these chats before; None where there is no database yet."""
    if not has_database(given.settings):
        return None

    async def ask() -> Moderated:
        async with open_app(given.settings, given.redact) as app:
            return await app.recall_moderation(chats)

    return asyncio.run(ask())
