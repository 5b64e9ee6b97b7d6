"""What the check found in a dataset

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("findings", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("datasets", "findings")
