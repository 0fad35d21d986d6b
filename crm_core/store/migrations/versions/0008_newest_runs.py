"""The newest run of each job and kind is found without looking at all the others."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """One index."""
    op.create_index("ix_runs_newest", "runs", ["job", "kind", "id"], unique=False)


def downgrade() -> None:
    """An older release looks at all of them."""
    op.drop_index("ix_runs_newest", table_name="runs")
