"""The tables, as Alembic compares them. Times are epoch seconds, UTC.

What people or providers write is Text: PostgreSQL refuses what is longer than its column, SQLite does not.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_json = JSON(none_as_null=True)

datasets = Table(
    "datasets",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("training_sha256", String(64), nullable=False),
    Column("training_bytes", BigInteger, nullable=False),
    Column("training_examples", Integer, nullable=False),
    Column("training_tokens", BigInteger),
    Column("validation_sha256", String(64)),
    Column("validation_bytes", BigInteger),
    Column("validation_examples", Integer),
    Column("validation_tokens", BigInteger),
    Column("created_at", Float, nullable=False),
    Column("findings", _json),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("dataset_sha256", ForeignKey("datasets.sha256"), nullable=False),
    Column("specs", _json, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("approved_at", Float),
    Column("approved_by", Text),
    Column("approved_usd", Float),
    Column("pins", _json),
    Column("planned_usd", Float),
    Column("planned_limit_usd", Float),
    Column("hold", _json),
    Column("moderation", _json),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("gate", Boolean, nullable=False, server_default=false()),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("definition", String(32), nullable=False),
    Column("key_fingerprint", String(16), nullable=False),
    Column("organization", Text),
    Column("project", Text),
    Column("labels", _json, nullable=False),
    Column("verified_at", Float),
    Column("removed_at", Float),
    Column("hold", _json),
    Column("webhook_seen_at", Float),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("account", ForeignKey("accounts.name"), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("base_model", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("wake_at", Float),
    Column("intent_until", Float),
    Column("cancel_asked", Boolean, nullable=False),
    Column("hold", _json),
    Column("failure", _json),
    Column("remote_file_id", Text),
    Column("remote_validation_file_id", Text),
    Column("remote_job_id", Text),
    Column("remote_status", Text),
    Column("fine_tuned_model", Text),
    Column("servable", Boolean),
    Column("estimated_usd", Float),
    Column("earlier_usd", Float),
    Column("trained_tokens", BigInteger),
    Column("estimated_finish", Float),
    Column("progress", Float),
    Column("quoted_usd", Float),
    Column("loss_step", Integer),
    Column("losses_at", Float),
    Column("hyperparameters", _json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("state_since", Float, nullable=False),
    Column("changed_at", Float),
    Column("warning", _json),
    Column("submitted_at", Float),
    Column("finished_at", Float),
    Column("retires_on", Date),
    Column("gone_at", Float),
    Column("checked_at", Float),
    Column("announced_days", Integer),
    Column("replica", String(32)),
    Column("webhook_at", Float),
    Index(None, "wake_at"),
    Index(None, "account", "state"),
    Index(None, "run_id", "state"),
)

run_jobs = Table(
    "run_jobs",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Index(None, "job_id"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", ForeignKey("jobs.id")),
    Column("account", ForeignKey("accounts.name"), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("model", Text, nullable=False),
    Column("checkpoint", Text),
    Column("spec", _json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("wake_at", Float),
    Column("intent_until", Float),
    Column("expires_at", Float),
    Column("stop_reason", String(32)),
    Column("hold", _json),
    Column("failure", _json),
    Column("missing_since", Float),
    Column("remote_id", Text),
    Column("remote_status", Text),
    Column("model_string", Text),
    Column("base_url", Text),
    Column("usd_per_hour", Float),
    Column("price_source", Text),
    Column("approved_at", Float),
    Column("created_at", Float, nullable=False),
    Column("state_since", Float, nullable=False),
    Column("create_started_at", Float),
    Column("earlier_usd", Float),
    Column("earlier_month_usd", Float),
    Column("earlier_started_at", Float),
    Column("ready_at", Float),
    Column("ended_at", Float),
    Column("replica", String(32)),
    Column("comparison_id", String(32)),
    Index(None, "wake_at"),
    Index(None, "account", "state"),
    Index(None, "job_id"),
    Index(None, "comparison_id"),
    # What may exist at a provider has an end, whichever program wrote the row.
    CheckConstraint(
        "state IN ('wanted', 'stopped', 'gone', 'failed') OR expires_at IS NOT NULL", name="ck_deployments_expires"
    ),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("settings", _json, nullable=False),
    Column("models", _json, nullable=False),
    Column("probe_set", String(64), nullable=False),
    Column("probe_ids", _json, nullable=False),
    Column("max_output_tokens", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("spent_usd", Float),
    Column("first_round_at", Float),
    Column("claimed_by", String(32)),
    Column("claimed_until", Float),
    Column("finished_at", Float),
    Column("result", _json),
    Column("message", Text),
    Column("hosting_usd", Float, server_default="0"),
    Index(None, "run_id"),
)

answers = Table(
    "answers",
    metadata,
    Column("comparison_id", ForeignKey("comparisons.id"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("probe_id", String(32), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("text", Text),
    Column("text_sha256", String(64), nullable=False),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("usd", Float),
    Column("finish_reason", Text),
    Column("served_as", Text),
    Column("request_id", Text),
    Column("mean_logprob", Float),
    Column("message", Text),
)

acceptances = Table(
    "acceptances",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("account", ForeignKey("accounts.name"), nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("model", Text, nullable=False),
    Column("comparison_id", ForeignKey("comparisons.id")),
    Column("reason", Text, nullable=False),
    Column("accepted_by", Text, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("revoked_by", Text),
    Column("revoked_at", Float),
    Index(None, "run_id"),
)

losses = Table(
    "losses",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("training_loss", Float),
    Column("validation_loss", Float),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("epoch", Integer),
    Column("training_loss", Float),
    Column("validation_loss", Float),
)

uploads = Table(
    "uploads",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("remote_id", Text, nullable=False),
    Column("part_bytes", BigInteger, nullable=False),
    Column("parts", _json, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("alive_until", Float, nullable=False),
    Column("refusal", _json),
)

leases = Table(
    "leases",
    metadata,
    Column("account", ForeignKey("accounts.name"), primary_key=True),
    Column("replica", String(32), nullable=False),
)

moderations = Table(
    "moderations",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("flagged", Boolean, nullable=False),
    Column("categories", _json, nullable=False),
    Column("scores", _json, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("cause", Text, nullable=False),
    Column("account", String(64)),
    Column("run_id", String(32)),
    Column("job_id", String(32)),
    Column("note", Text, nullable=False),
    Column("state_before", String(16)),
    Column("state_after", String(16)),
    Column("attempt", Integer),
    Column("remote_job_id", Text),
    Column("request_id", Text),
    Column("message", Text),
    Column("deployment_id", String(32)),
    Column("comparison_id", String(32)),
    Index(None, "job_id"),
    Index(None, "account"),
)

webhooks = Table(  # that came in
    "webhooks",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Index(None, "at"),
)

announcements = Table(  # not addressed yet
    "announcements",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("topic", String(32), nullable=False),
    Column("payload", _json, nullable=False),
    Index(None, "at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("message", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("topic", String(32), nullable=False),
    Column("payload", _json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float),
    Column("delivered_at", Float),
    Column("error", Text),
    Index(None, "due_at"),
)
