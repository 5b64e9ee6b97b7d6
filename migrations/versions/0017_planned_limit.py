"""The price up to which each run is not held

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("planned_limit_usd", sa.Float()))


def downgrade() -> None:
    op.drop_column("runs", "planned_limit_usd")
