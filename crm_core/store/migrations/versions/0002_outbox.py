"""Writes on their way out; what an order and an invoice know of each other; sweeps that spare what was just pushed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0002"
down_revision = "0001"

_STATES = "'queued', 'claimed', 'sent', 'confirmed', 'rejected', 'outcome_unknown', 'cancelled'"


def upgrade() -> None:
    """Three tables and five columns."""
    op.add_column("orders", sa.Column("bill_to", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("ship_to", sa.Text(), nullable=True))
    op.add_column("invoices", sa.Column("order_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_invoices_order_id", "invoices", ["order_id"], unique=False)
    op.add_column(
        "checkpoints",
        sa.Column(
            "bindings_before",
            sa.BigInteger(),
            nullable=True,
            comment="only lower binding ids were there when this full read began",
        ),
    )
    op.add_column("runs", sa.Column("owner", sa.Text(), nullable=True, comment="the process that runs it"))
    op.create_table(
        "client_references",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("crm_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False, comment="by which this record is known in every back office"),
        sa.PrimaryKeyConstraint("entity", "crm_id"),
        sa.UniqueConstraint("reference", name="uq_client_references"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("crm_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column(
            "revision",
            sa.Integer(),
            nullable=False,
            comment="of the content; with the reference it is the idempotency key",
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="JSON: what the CRM wants to be there"),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "payload",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON in their words, as last sent or as a person made it",
        ),
        sa.Column("is_edited", sa.Boolean(), nullable=False, comment="a person made the payload"),
        sa.Column("mapping", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("parent_entity", sa.Text(), nullable=True, comment="goes out after the open intents of this record"),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "waits_entity", sa.Text(), nullable=True, comment="cannot be mapped before this record is known over there"
        ),
        sa.Column("waits_id", sa.BigInteger(), nullable=True),
        sa.Column("not_before", types.Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="how often it may have been sent"),
        sa.Column("looks", sa.Integer(), nullable=False, comment="how often it was looked up since it was lost"),
        sa.Column(
            "first_sent_at",
            types.Instant(),
            nullable=True,
            comment="when this content may have been sent for the first time",
        ),
        sa.Column("lost_at", types.Instant(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("leased_until", types.Instant(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column(
            "origin", sa.Text(), nullable=False, comment="`crm`, or the connection whose pull brought the change"
        ),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("changed_at", types.Instant(), nullable=False),
        sa.CheckConstraint(f"state IN ({_STATES})", name="ck_outbox_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_record", "outbox", ["connection", "entity", "crm_id", "id"], unique=False)
    op.create_index("ix_outbox_state", "outbox", ["connection", "state", "id"], unique=False)
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_events_intent", "outbox_events", ["intent_id"], unique=False)


def downgrade() -> None:
    """As in the first schema; what was still on its way out is lost."""
    op.drop_table("outbox_events")
    op.drop_table("outbox")
    op.drop_table("client_references")
    op.drop_column("runs", "owner")
    op.drop_column("checkpoints", "bindings_before")
    op.drop_index("ix_invoices_order_id", "invoices")
    op.drop_column("invoices", "order_id")
    op.drop_column("orders", "ship_to")
    op.drop_column("orders", "bill_to")
