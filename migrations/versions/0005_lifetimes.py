"""Losses, progress, pinned values, and how long models live

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JOB_COLUMNS = {
    "progress": sa.Float(),
    "quoted_usd": sa.Float(),
    "loss_step": sa.Integer(),
    "losses_at": sa.Float(),
    "retires_on": sa.Date(),
    "gone_at": sa.Float(),
    "checked_at": sa.Float(),
    "announced_days": sa.Integer(),
}


def upgrade() -> None:
    for name, kind in JOB_COLUMNS.items():
        op.add_column("jobs", sa.Column(name, kind))
    op.add_column("runs", sa.Column("pins", sa.JSON(none_as_null=True)))
    op.create_table(
        "losses",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("training_loss", sa.Float()),
        sa.Column("validation_loss", sa.Float()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_losses_job_id")),
        sa.PrimaryKeyConstraint("job_id", "step", name=op.f("pk_losses")),
    )


def downgrade() -> None:
    op.drop_table("losses")
    op.drop_column("runs", "pins")
    for name in JOB_COLUMNS:
        op.drop_column("jobs", name)
