"""What the earlier rounds of each deployment have cost

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("earlier_usd", sa.Float()))
    op.add_column("deployments", sa.Column("earlier_month_usd", sa.Float()))
    op.add_column("deployments", sa.Column("earlier_started_at", sa.Float()))


def downgrade() -> None:
    op.drop_column("deployments", "earlier_started_at")
    op.drop_column("deployments", "earlier_month_usd")
    op.drop_column("deployments", "earlier_usd")
