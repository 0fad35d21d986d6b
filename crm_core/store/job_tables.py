"""The tables of jobs, as SQLAlchemy sees them; `jobs.py` and `job_steps.py` work on them."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Integer, Table, Text

from crm_core.store.metadata import metadata
from crm_core.store.types import Document, Instant

job_definitions = Table(
    "job_definitions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("definition", Document(), nullable=False, comment="as a table [jobs.NAME] of counterfoil.toml"),
    Column("added_at", Instant(), nullable=False),
)

job_states = Table(
    "job_states",
    metadata,
    Column("job", Text, primary_key=True),
    Column("connection", Text, nullable=False),
    Column("lane", Text, nullable=False, comment="one job at a time on each lane of a connection"),
    Column("priority", Integer, nullable=False),
    Column("timing", Text, nullable=False, comment="the schedule that next_due was reckoned from"),
    Column("state", Text, nullable=False),
    Column("next_due", Instant(), comment="null: only when it is asked for"),
    Column("decided_at", Instant(), nullable=False, comment="when next_due was reckoned"),
    Column("paused_at", Instant()),
    Column("wanted_at", Instant()),
    Column("not_before", Instant()),
    Column("handed_over_at", Instant()),
    Column("token", BigInteger, nullable=False, comment="grows with every worker that takes the job up"),
    Column("owner", Text, nullable=False),
    Column("leased_until", Instant()),
    Column("started_at", Instant()),
    Column("finished_at", Instant()),
    Column("outcome", Text, comment="of the last time: done, stopped or failed"),
    Column("message", Text),
    Column("failures", Integer, nullable=False, comment="in a row"),
    CheckConstraint("state IN ('idle', 'wanted', 'handed_over', 'running')", name="ck_job_state"),
    Index("ix_job_states_due", "state", "next_due"),
    Index("ix_job_states_connection", "connection", "state"),
)

connection_states = Table(
    "connection_states",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("failures", Integer, nullable=False, comment="in a row; above 0 it is asked by one probe"),
    Column("not_before", Instant()),
    Column("message", Text),
)

call_budgets = Table(
    "call_budgets",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("next_at", Double, nullable=False, comment="seconds since 1970, by the database's clock"),
)

backfill_steps = Table(
    "backfill_steps",
    metadata,
    Column("job", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("run_id", BigInteger),
    Column("message", Text),
    Column("changed_at", Instant(), nullable=False),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="ck_backfill_state"),
)
