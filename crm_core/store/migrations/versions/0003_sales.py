"""Credit that is promised for a while, and orders that were entered with a key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Three tables."""
    op.create_table(
        "credit_reservations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", types.ExactNumber(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True, comment="whatever the asker knows it by"),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_credit_reservations_account_id", "credit_reservations", ["account_id"], unique=False)
    op.create_table(
        "credit_turns",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "turn",
            sa.BigInteger(),
            nullable=False,
            comment="who promises credit of an account holds this row meanwhile",
        ),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "entered_orders",
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False, comment="JSON: what the first caller was told"),
        sa.Column("entered_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key"),
    )


def downgrade() -> None:
    """As before; what was promised is forgotten."""
    op.drop_table("entered_orders")
    op.drop_table("credit_turns")
    op.drop_table("credit_reservations")
