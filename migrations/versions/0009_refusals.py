"""Why an edit of the accounts file is not in force at a replica

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("replicas", sa.Column("refusal", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("replicas", "refusal")
