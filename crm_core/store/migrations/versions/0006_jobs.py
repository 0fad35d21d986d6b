"""Jobs that run by themselves: definitions, what is due, connections that are left alone, budgets of calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Five tables."""
    op.create_table(
        "job_definitions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", types.Document(), nullable=False, comment="as a table [jobs.NAME] of counterfoil.toml"),
        sa.Column("added_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "job_states",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False, comment="one job at a time on each lane of a connection"),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("timing", sa.Text(), nullable=False, comment="the schedule that next_due was reckoned from"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_due", types.Instant(), nullable=True, comment="null: only when it is asked for"),
        sa.Column("decided_at", types.Instant(), nullable=False, comment="when next_due was reckoned"),
        sa.Column("paused_at", types.Instant(), nullable=True),
        sa.Column("wanted_at", types.Instant(), nullable=True),
        sa.Column("not_before", types.Instant(), nullable=True),
        sa.Column("handed_over_at", types.Instant(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="grows with every worker that takes the job up"),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("leased_until", types.Instant(), nullable=True),
        sa.Column("started_at", types.Instant(), nullable=True),
        sa.Column("finished_at", types.Instant(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True, comment="of the last time: done, stopped or failed"),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.CheckConstraint("state IN ('idle', 'wanted', 'handed_over', 'running')", name="ck_job_state"),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("ix_job_states_due", "job_states", ["state", "next_due"], unique=False)
    op.create_index("ix_job_states_connection", "job_states", ["connection", "state"], unique=False)
    op.create_table(
        "connection_states",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row; above 0 it is asked by one probe"),
        sa.Column("not_before", types.Instant(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("connection"),
    )
    op.create_table(
        "call_budgets",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False, comment="seconds since 1970, by the database's clock"),
        sa.PrimaryKeyConstraint("connection"),
    )
    op.create_table(
        "backfill_steps",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("changed_at", types.Instant(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="ck_backfill_state"),
        sa.PrimaryKeyConstraint("job", "entity"),
    )


def downgrade() -> None:
    """Jobs that were added here are gone, and what was due; what they brought in stays."""
    op.drop_table("backfill_steps")
    op.drop_table("call_budgets")
    op.drop_table("connection_states")
    op.drop_table("job_states")
    op.drop_table("job_definitions")
