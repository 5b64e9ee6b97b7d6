"""Since when nothing has changed about a job, and what is said of that

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("changed_at", sa.Float()))
    op.add_column("jobs", sa.Column("warning", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("jobs", "warning")
    op.drop_column("jobs", "changed_at")
