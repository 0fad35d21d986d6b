"""Who was told of what; runs under way are found without looking at all the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """One table, one index."""
    is_running = sa.text("status = 'running'")
    op.create_index(
        "ix_runs_running", "runs", ["connection"], unique=False, sqlite_where=is_running, postgresql_where=is_running
    )
    op.create_table(
        "alerts",
        sa.Column("key", sa.Text(), nullable=False, comment="of the matter"),
        sa.Column("channel", sa.Text(), nullable=False, comment="webhook:NAME or mail"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("since", types.Instant(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("opened_at", types.Instant(), nullable=False),
        sa.Column("told_at", types.Instant(), nullable=True),
        sa.Column("resolved_at", types.Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="in vain, of the message that is due"),
        sa.Column("next_try_at", types.Instant(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True, comment="why the last attempt failed"),
        sa.PrimaryKeyConstraint("key", "channel"),
    )


def downgrade() -> None:
    """What was told is forgotten: an older release tells nothing."""
    op.drop_table("alerts")
    op.drop_index("ix_runs_running", table_name="runs")
