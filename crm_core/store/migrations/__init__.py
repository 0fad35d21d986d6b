"""Alembic's scripts; `database.upgrade` runs them."""
