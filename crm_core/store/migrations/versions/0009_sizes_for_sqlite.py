"""SQLite is told how large the tables become, and how much their indexes tell apart.

It has no figures of its own before somebody calls ANALYZE, and what it assumes then is wrong for `bindings`: it walks
all records of a stream to find the one of a CRM record. https://www.sqlite.org/fileformat2.html#stat1tab
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

SIZES = (
    ("streams", "sqlite_autoindex_streams_1", "30 10 1"),
    ("bindings", "bindings", "1000000 100000 1"),
    ("bindings", "ix_bindings_crm_id", "1000000 100000 1"),
)
"""(table, index, rows in all and for one value of its first column, of its first two, ...). A guess will do: what
counts is which index tells more apart."""


def upgrade() -> None:
    """Figures until ANALYZE is called, which replaces them."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("ANALYZE streams")  # makes the table that they stand in
    op.execute("DELETE FROM sqlite_stat1")
    for table, index, sizes in SIZES:
        op.execute(f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('{table}', '{index}', '{sizes}')")
    op.execute("ANALYZE sqlite_schema")  # read by this connection, too


def downgrade() -> None:
    """An older release goes without."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DELETE FROM sqlite_stat1")
