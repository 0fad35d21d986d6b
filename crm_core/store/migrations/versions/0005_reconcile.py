"""What tells that an entity is still what the mapping made of its record; the differences that a reconcile found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """One column, one table."""
    op.add_column(
        "bindings",
        sa.Column(
            "content",
            sa.BigInteger(),
            nullable=True,
            comment="digest of the entity when it was certainly what the mapping makes of it",
        ),
    )
    op.create_table(
        "drifts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False, comment="external id; `#` and our id of what is not bound"),
        sa.Column("crm_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False, comment="empty: the whole record"),
        sa.Column("here", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("there", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("first_seen_at", types.Instant(), nullable=False),
        sa.Column("last_seen_at", types.Instant(), nullable=False),
        sa.Column("closed_at", types.Instant(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=False, comment="that saw it last"),
        sa.CheckConstraint("state IN ('open', 'repaired', 'gone')", name="ck_drift_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drifts_record", "drifts", ["stream_id", "state", "record"], unique=False)


def downgrade() -> None:
    """The history of differences is gone; nothing else is touched."""
    op.drop_table("drifts")
    op.drop_column("bindings", "content")
