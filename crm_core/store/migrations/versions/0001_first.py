"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crm_core.store import types

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "account_addresses",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("street", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("postal_code", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("is_bill_to", sa.Boolean(), nullable=False),
        sa.Column("is_ship_to", sa.Boolean(), nullable=False),
        sa.Column("is_tax", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("relationship", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("tax_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("payment_terms", sa.Text(), nullable=True),
        sa.Column("price_list_id", sa.BigInteger(), nullable=True),
        sa.Column("discount_list_id", sa.BigInteger(), nullable=True),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_accounts_code", "accounts", ["code"], unique=False)
    op.create_index("ix_accounts_email", "accounts", ["email"], unique=False)
    op.create_index("ix_accounts_tax_id", "accounts", ["tax_id"], unique=False)
    op.create_table(
        "bindings",
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("binding_id", sa.BigInteger(), nullable=False),
        sa.Column("crm_id", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("payload_page", sa.BigInteger(), nullable=True),
        sa.Column("payload_index", sa.Integer(), nullable=True),
        sa.Column("deleted_at", types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("stream_id", "external_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bindings_crm_id", "bindings", ["stream_id", "crm_id"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("watermark", sa.Text(), nullable=True, comment="highest source position safely stored"),
        sa.Column("is_reading", sa.Boolean(), nullable=False, comment="a read was begun and not ended"),
        sa.Column(
            "since", sa.Text(), nullable=True, comment="the watermark that this read began from; null = a full read"
        ),
        sa.Column("resume", sa.Text(), nullable=True, comment="where this read goes on"),
        sa.Column(
            "seen", sa.LargeBinary(), nullable=True, comment="zstd of a bitmap of binding ids seen by this full read"
        ),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id"),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("mobile", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_contacts_account_id", "contacts", ["account_id"], unique=False)
    op.create_index("ix_contacts_email", "contacts", ["email"], unique=False)
    op.create_table(
        "credits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("limit", types.ExactNumber(), nullable=True),
        sa.Column("open_receivables", types.ExactNumber(), nullable=True),
        sa.Column("open_orders", types.ExactNumber(), nullable=True),
        sa.Column("undelivered", types.ExactNumber(), nullable=True),
        sa.Column("overdue", types.ExactNumber(), nullable=True),
        sa.Column("overdue_1_30", types.ExactNumber(), nullable=True),
        sa.Column("overdue_31_60", types.ExactNumber(), nullable=True),
        sa.Column("overdue_61_90", types.ExactNumber(), nullable=True),
        sa.Column("overdue_over_90", types.ExactNumber(), nullable=True),
        sa.Column("is_on_hold", sa.Boolean(), nullable=False),
        sa.Column("as_of", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_credits_account_id", "credits", ["account_id"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column(
            "fingerprint",
            sa.LargeBinary(),
            nullable=False,
            comment="of the source's record, also when payload is edited",
        ),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column(
            "link", sa.Text(), nullable=True, comment="a person's choice for a doubtful match: a CRM id, or `new`"
        ),
        sa.Column("candidates", sa.Text(), nullable=True, comment="CRM ids of a doubtful match, comma-separated"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("first_at", types.Instant(), nullable=False),
        sa.Column("last_at", types.Instant(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'resolved', 'discarded')", name="ck_dead_letter_status"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_dead_letters_record", "dead_letters", ["stream_id", "external_id"], unique=False)
    op.create_table(
        "deferred",
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="of the source's record"),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("waits_entity", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("since", types.Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "external_id"),
    )
    op.create_index("ix_deferred_waits", "deferred", ["waits_entity", "waits_for"], unique=False)
    op.create_table(
        "discount_list_breaks",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("minimum_quantity", types.ExactNumber(), nullable=False),
        sa.Column("value", types.ExactNumber(), nullable=False),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "discount_lists",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("valid_from", types.Day(), nullable=True),
        sa.Column("valid_to", types.Day(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "id_blocks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("quantity", types.ExactNumber(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("unit_price", types.ExactNumber(), nullable=True),
        sa.Column("amount", types.ExactNumber(), nullable=True),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("invoice_date", types.Day(), nullable=True),
        sa.Column("due_date", types.Day(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("untaxed_amount", types.ExactNumber(), nullable=True),
        sa.Column("tax_amount", types.ExactNumber(), nullable=True),
        sa.Column("total_amount", types.ExactNumber(), nullable=True),
        sa.Column("open_amount", types.ExactNumber(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_invoices_account_id", "invoices", ["account_id"], unique=False)
    op.create_index("ix_invoices_number", "invoices", ["number"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "order_lines",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("quantity", types.ExactNumber(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("unit_price", types.ExactNumber(), nullable=False),
        sa.Column("discount_percent", types.ExactNumber(), nullable=True),
        sa.Column("amount", types.ExactNumber(), nullable=True),
        sa.Column("delivered_quantity", types.ExactNumber(), nullable=True),
        sa.Column("invoiced_quantity", types.ExactNumber(), nullable=True),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("order_date", types.Day(), nullable=True),
        sa.Column("requested_date", types.Day(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("warehouse_id", sa.BigInteger(), nullable=True),
        sa.Column("payment_terms", sa.Text(), nullable=True),
        sa.Column("untaxed_amount", types.ExactNumber(), nullable=True),
        sa.Column("tax_amount", types.ExactNumber(), nullable=True),
        sa.Column("total_amount", types.ExactNumber(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_orders_account_id", "orders", ["account_id"], unique=False)
    op.create_index("ix_orders_number", "orders", ["number"], unique=False)
    op.create_index("ix_orders_reference", "orders", ["reference"], unique=False)
    op.create_table(
        "payload_bodies",
        sa.Column("page_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="zstd of a JSON array of payloads"),
        sa.PrimaryKeyConstraint("page_id"),
    )
    op.create_table(
        "payload_pages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", types.Instant(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False, comment="records of it that a binding still points to"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_payload_pages_stream_id", "payload_pages", ["stream_id"], unique=False)
    op.create_table(
        "payments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("paid_on", types.Day(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", types.ExactNumber(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_payments_account_id", "payments", ["account_id"], unique=False)
    op.create_index("ix_payments_invoice_id", "payments", ["invoice_id"], unique=False)
    op.create_table(
        "price_lists",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("valid_from", types.Day(), nullable=True),
        sa.Column("valid_to", types.Day(), nullable=True),
        sa.Column("is_tax_included", sa.Boolean(), nullable=False),
        sa.Column("rounding_increment", types.ExactNumber(), nullable=True),
        sa.Column("rounding_mode", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("price_list_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("minimum_quantity", types.ExactNumber(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", types.ExactNumber(), nullable=True),
        sa.Column("percent_of_list", types.ExactNumber(), nullable=True),
        sa.Column("valid_from", types.Day(), nullable=True),
        sa.Column("valid_to", types.Day(), nullable=True),
        sa.Column("discount_list_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_prices_product_id_price_list_id", "prices", ["product_id", "price_list_id"], unique=False)
    op.create_table(
        "product_conversions",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("numerator", sa.Integer(), nullable=False),
        sa.Column("denominator", sa.Integer(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "products",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("names", types.Document(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit_group_id", sa.BigInteger(), nullable=True),
        sa.Column("base_unit", sa.Text(), nullable=True),
        sa.Column("sales_unit", sa.Text(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("list_price", types.ExactNumber(), nullable=True),
        sa.Column("cost_price", types.ExactNumber(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("tax_code", sa.Text(), nullable=True),
        sa.Column("weight", types.ExactNumber(), nullable=True),
        sa.Column("minimum_quantity", types.ExactNumber(), nullable=True),
        sa.Column("lead_time_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_products_code", "products", ["code"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", types.Instant(), nullable=False),
        sa.Column("finished_at", types.Instant(), nullable=True),
        sa.Column("report", types.Document(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("approved_at", types.Instant(), nullable=True, comment="a person let a held run go on"),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'partial', 'held', 'failed', 'interrupted')", name="ck_status"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_job", "runs", ["job", "started_at"], unique=False)
    op.create_table(
        "stock_levels",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("warehouse_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("on_hand", types.ExactNumber(), nullable=False),
        sa.Column("reserved", types.ExactNumber(), nullable=True),
        sa.Column("available", types.ExactNumber(), nullable=True),
        sa.Column("on_order", types.ExactNumber(), nullable=True),
        sa.Column("as_of", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_stock_levels_product_id", "stock_levels", ["product_id"], unique=False)
    op.create_table(
        "streams",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("connection", "entity", name="uq_streams"),
    )
    op.create_table(
        "unit_group_units",
        sa.Column("parent_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("numerator", sa.Integer(), nullable=False),
        sa.Column("denominator", sa.Integer(), nullable=False),
        sa.Column("offset", types.ExactNumber(), nullable=True),
        sa.Column("decimals", sa.Integer(), nullable=True),
        sa.Column("is_base", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("parent_id", "position"),
    )
    op.create_table(
        "unit_groups",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "warehouses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("custom", types.Document(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """An empty database."""
    connection = op.get_bind()
    existing = sa.MetaData()
    existing.reflect(connection)
    existing.drop_all(connection, tables=[table for table in existing.sorted_tables if table.name != "alembic_version"])
