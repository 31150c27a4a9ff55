"""The tables. Times are the database's clock in seconds since 1970; JSON is kept as text."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    text,
)

AnyRow = Row[*tuple[Any, ...]]
"""A row whose columns only the query knows."""

metadata = MetaData()

_SERIAL = BigInteger().with_variant(Integer, "sqlite")
_NAME = String(64).with_variant(String(64, collation="C"), "postgresql")
"""A name in the order of its characters, as SQLite and Python have it."""

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),  # order of acceptance
    Column("id", String(64), nullable=False, unique=True),
    Column("idempotency_key", String(255), unique=True),
    Column("request", Text, nullable=False),  # JobRequest
    Column("request_sha256", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("queue", String(16), nullable=False),
    Column("dataset", String(64), nullable=False),  # name, or "inline"
    Column("network", Text, nullable=False),  # NetworkConfig; null (JSON) of a prediction
    Column("training", Text, nullable=False),  # TrainingConfig; null (JSON) of a prediction
    Column("model", String(64), nullable=False),  # name to publish under, or to predict with
    Column("status", String(16), nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("pause_requested", Boolean, nullable=False, server_default=text("false")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("lost_attempts", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Double, nullable=False, server_default=text("0")),
    Column("worker", String(255)),
    Column("lease_token", String(64)),
    Column("lease_until", Double),
    Column("epoch", Integer, nullable=False, server_default=text("0")),  # epochs, or rows, done
    Column("epochs", Integer, nullable=False),
    Column("engine", String(16)),
    Column("device", String(64)),
    Column("metrics", Text),  # Metrics
    Column("diagnosis", String(64)),  # DiagnosisCode
    Column("error", Text),  # JobError
    Column("model_version", Integer),  # published, or pinned to predict with
    Column("dataset_sha256", String(64)),  # of the stored dataset that was accepted
    Column("parent", ForeignKey("jobs.id", ondelete="CASCADE")),  # of a shard: its sweep
    Column("pending_shards", Integer, nullable=False, server_default=text("0")),  # it waits for
    Column("search", Text),  # Search, of a sweep
    Column("columns", Text),  # JobColumns; null of a prediction
    Column("report", Text),  # PredictionReport, of a prediction that succeeded
    Column("traceparent", String(55)),  # of the request that made the job
    Column("request_id", String(128)),  # of that request
    Column("event_count", Integer, nullable=False, server_default=text("0")),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index("jobs_waiting", "status", "queue", "seq"),
    Index("jobs_shards", "parent"),
)

ended_jobs = Table(  # a count that only grows, also where jobs are deleted
    "ended_jobs",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("jobs", BigInteger, nullable=False, server_default=text("0")),
    Column("started_jobs", BigInteger, nullable=False, server_default=text("0")),
    Column("seconds", Double, nullable=False, server_default=text("0")),  # from start to end
)

events = Table(
    "events",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1, 2, … within the job
    Column("type", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("data", Text, nullable=False),  # JSON object
)

models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("built_in", Boolean, nullable=False, server_default=text("false")),
    Column("last_version", Integer, nullable=False),  # never reused, even after a deletion
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("name", ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("job_id", String(64), unique=True),  # one model per job, whatever happens
    Column("weights", LargeBinary, nullable=False),  # safetensors
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("card", Text, nullable=False),  # ModelCard
    Column("created_at", Double, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", ForeignKey("models.name"), primary_key=True),
    Column("alias", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("etag", String(32), nullable=False),  # new at every move
    Column("route", Text),  # AliasUpdate; null: all to the version
)

alias_states = Table(
    "alias_states",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("alias", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, …: a stack
    Column("route", Text, nullable=False),  # AliasUpdate
    Column("ended_at", Double, nullable=False),
    ForeignKeyConstraint(
        ["model", "alias"], ["aliases.model", "aliases.alias"], ondelete="CASCADE"
    ),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("built_in", Boolean, nullable=False, server_default=text("false")),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("summary", Text, nullable=False),  # DatasetSummary, without the above
    Column("details", Text, nullable=False),  # the rest of Dataset: columns and first rows
    Column("data", LargeBinary, nullable=False),  # Frame; last: SQLite reads up to what is asked
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, nullable=False),  # the one that made it
    Column("epoch", Integer, nullable=False),  # epochs done
    Column("data", LargeBinary, nullable=False),  # safetensors
    Column("created_at", Double, nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),  # a sweep
    Column("rung", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the member
    Column("fold", Integer, primary_key=True, autoincrement=False),
    Column("hidden_layers", Text, nullable=False),  # JSON array
    Column("activation", String(16), nullable=False),
    Column("optimizer", String(16), nullable=False),
    Column("batch_size", BigInteger),
    Column("epochs", Integer, nullable=False),
    Column("weight_decay", Double, nullable=False),
    Column("learning_rate", Double, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("diverged_at", Integer),
    Column("trained_epochs", Integer),
    Column("best_epoch", Integer),
    Column("score", Double),
    Column("train_loss", Double),
    Column("train_accuracy", Double),
    Column("valid_loss", Double),
    Column("valid_accuracy", Double),
)

predictions = Table(
    "predictions",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("first_row", Integer, primary_key=True, autoincrement=False),  # of the table, from 0
    Column("rows", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # outputs of the network, row by row
)
