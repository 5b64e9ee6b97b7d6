"""Connection: what queries are made on.

SQLAlchemy's own class is a name for the type checker only: importing it brings the ORM along, 7 MB that nobody uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection as AsyncConnection
else:
    AsyncConnection = object
