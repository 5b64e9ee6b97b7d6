"""Deployments that a comparison starts, what they cost, and the events of a comparison

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("comparisons", sa.Column("hosting_usd", sa.Float, server_default="0"))
    op.add_column("deployments", sa.Column("comparison_id", sa.String(32)))
    op.add_column("events", sa.Column("comparison_id", sa.String(32)))
    op.create_index(op.f("ix_deployments_comparison_id"), "deployments", ["comparison_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_deployments_comparison_id"), "deployments")
    op.drop_column("events", "comparison_id")
    op.drop_column("deployments", "comparison_id")
    op.drop_column("comparisons", "hosting_usd")
