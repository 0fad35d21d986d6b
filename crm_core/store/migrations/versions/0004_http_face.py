"""Keys, sessions and the audit log of the HTTP face; what back offices tell us by webhook."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Four tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="the part of the key that may be shown"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False, comment="space-separated"),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("revoked_at", types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "web_sessions",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="of the cookie's token"),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text(), nullable=False, comment="the request's id"),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False, comment="key:ID, oidc:SUBJECT, webhook:CONNECTION or local"),
        sa.Column("action", sa.Text(), nullable=False, comment="method and route: POST /orders"),
        sa.Column("subject", sa.Text(), nullable=True, comment="the path that was asked for"),
        sa.Column(
            "status",
            sa.Integer(),
            nullable=True,
            comment="as answered; null: it was begun, and its answer was not recorded",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"], unique=False)
    op.create_table(
        "notices",
        sa.Column("id", sa.Text(), nullable=False, comment="connection and digest of what was told"),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("received_at", types.Instant(), nullable=False),
        sa.Column("done_at", types.Instant(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'done', 'failed')", name="ck_notice_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_notices_state", "notices", ["state", "received_at"], unique=False)


def downgrade() -> None:
    """Keys, sessions, the audit log and what was told are gone; nothing else is touched."""
    op.drop_table("notices")
    op.drop_table("audit_log")
    op.drop_table("web_sessions")
    op.drop_table("api_keys")
