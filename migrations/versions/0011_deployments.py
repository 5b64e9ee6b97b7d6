"""Deployments: what makes fine-tuned models callable, with the time at which each is stopped

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("wake_at", sa.Float(), nullable=True),
        sa.Column("intent_until", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("stop_reason", sa.String(length=32), nullable=True),
        sa.Column("hold", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("failure", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("missing_since", sa.Float(), nullable=True),
        sa.Column("remote_id", sa.Text(), nullable=True),
        sa.Column("remote_status", sa.Text(), nullable=True),
        sa.Column("model_string", sa.Text(), nullable=True),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("usd_per_hour", sa.Float(), nullable=True),
        sa.Column("price_source", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("state_since", sa.Float(), nullable=False),
        sa.Column("create_started_at", sa.Float(), nullable=True),
        sa.Column("ready_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("replica", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_deployments_job_id")),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_deployments_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.CheckConstraint(
            "state IN ('wanted', 'stopped', 'gone', 'failed') OR expires_at IS NOT NULL",
            name=op.f("ck_deployments_expires"),
        ),
    )
    op.create_index(op.f("ix_deployments_wake_at"), "deployments", ["wake_at"])
    op.create_index(op.f("ix_deployments_account_state"), "deployments", ["account", "state"])
    op.create_index(op.f("ix_deployments_job_id"), "deployments", ["job_id"])
    # Nullable: replicas of the earlier version insert events without this column.
    op.add_column("events", sa.Column("deployment_id", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("events", "deployment_id")
    op.drop_table("deployments")
