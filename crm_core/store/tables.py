"""The tables as SQLAlchemy sees them: for migrations and for queries. Statements of the pull's hot path stand in
`page.py`, `letters.py` and `state.py` as text; tests run all of them on both databases.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.model.schema import Kind
from crm_core.store import job_tables, layout
from crm_core.store.metadata import metadata
from crm_core.store.types import Day, Document, ExactNumber, Instant

__all__ = ["job_tables", "metadata"]  # whoever asks for the metadata has all tables

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: Text(),
    Kind.INTEGER: Integer(),
    Kind.NUMBER: ExactNumber(),
    Kind.BOOLEAN: Boolean(),
    Kind.INSTANT: Instant(),
    Kind.DATE: Day(),
    Kind.DOCUMENT: Document(),
    Kind.REFERENCE: BigInteger(),
}

_INDEXED: dict[EntityType, tuple[tuple[str, ...], ...]] = {
    EntityType.PRODUCT: (("code",),),
    EntityType.PRICE: (("product_id", "price_list_id"),),
    EntityType.STOCK_LEVEL: (("product_id",),),
    EntityType.ACCOUNT: (("code",), ("tax_id",), ("email",)),
    EntityType.CONTACT: (("account_id",), ("email",)),
    EntityType.CREDIT: (("account_id",),),
    EntityType.ORDER: (("account_id",), ("number",), ("reference",)),
    EntityType.INVOICE: (("account_id",), ("number",), ("order_id",)),
    EntityType.PAYMENT: (("account_id",), ("invoice_id",)),
}


def _column(column: layout.Column) -> Column[Any]:
    return Column(column.name, _TYPES[column.kind], nullable=column.is_nullable)


def _entity_table(shape: layout.EntityTable) -> Table:
    """Ids come from `id_blocks`; references carry no database constraint: records arrive in any order."""
    return Table(
        shape.name,
        metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
        *(_column(column) for column in shape.columns),
        *(Index(f"ix_{shape.name}_{'_'.join(names)}", *names) for names in _INDEXED.get(shape.entity, ())),
    )


def _part_table(shape: layout.PartTable) -> Table:
    return Table(
        shape.name,
        metadata,
        Column("parent_id", BigInteger(), primary_key=True, autoincrement=False),
        Column("position", Integer(), primary_key=True, autoincrement=False),
        *(_column(column) for column in shape.columns),
    )


ENTITIES: dict[EntityType, Table] = {entity: _entity_table(layout.table_of(entity)) for entity in EntityType}
PARTS: dict[EntityType, dict[str, Table]] = {
    entity: {part.field: _part_table(part) for part in layout.table_of(entity).parts} for entity in EntityType
}

id_blocks = Table(
    "id_blocks", metadata, Column("name", Text, primary_key=True), Column("next_id", BigInteger, nullable=False)
)

streams = Table(
    "streams",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("connection", Text, nullable=False),
    Column("entity", Text, nullable=False),
    UniqueConstraint("connection", "entity", name="uq_streams"),
)

bindings = Table(
    "bindings",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("external_id", Text, primary_key=True),
    Column("binding_id", BigInteger, nullable=False),
    Column("crm_id", BigInteger, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("version", Text),
    Column("payload_page", BigInteger),
    Column("payload_index", Integer),
    Column("deleted_at", Instant()),
    Column("content", BigInteger, comment="digest of the entity when it was certainly what the mapping makes of it"),
    Index("ix_bindings_crm_id", "stream_id", "crm_id"),
    sqlite_with_rowid=False,
)

payload_pages = Table(
    "payload_pages",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("stream_id", Integer, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("stored_at", Instant(), nullable=False),  # when the source was asked for it
    Column("live", Integer, nullable=False, comment="records of it that a binding still points to"),
    Index("ix_payload_pages_stream_id", "stream_id"),
)

# Apart from the page's row, which counts down often: SQLite would write the whole body again each time.
payload_bodies = Table(
    "payload_bodies",
    metadata,
    Column("page_id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False, comment="zstd of a JSON array of payloads"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("watermark", Text, comment="highest source position safely stored"),
    Column("is_reading", Boolean, nullable=False, comment="a read was begun and not ended"),
    Column("since", Text, comment="the watermark that this read began from; null = a full read"),
    Column("resume", Text, comment="where this read goes on"),
    Column("seen", LargeBinary, comment="zstd of a bitmap of binding ids seen by this full read"),
    Column("bindings_before", BigInteger, comment="only lower binding ids were there when this full read began"),
    Column("run_id", BigInteger, nullable=False),
    Column("updated_at", Instant(), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Instant(), nullable=False),
    Column("finished_at", Instant()),
    Column("report", Document(), nullable=False),
    Column("error", Text),
    Column("approved_at", Instant(), comment="a person let a held run go on"),
    Column("owner", Text, comment="the process that runs it"),
    CheckConstraint("status IN ('running', 'succeeded', 'partial', 'held', 'failed', 'interrupted')", name="ck_status"),
    Index("ix_runs_job", "job", "started_at"),
    Index("ix_runs_newest", "job", "kind", "id"),
    # every run that begins looks for those of its connection that never ended: few of very many
    Index(
        "ix_runs_running",
        "connection",
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
)

drifts = Table(
    "drifts",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("stream_id", Integer, nullable=False),
    Column("record", Text, nullable=False, comment="external id; `#` and our id of what is not bound"),
    Column("crm_id", BigInteger),
    Column("kind", Text, nullable=False),
    Column("field", Text, nullable=False, comment="empty: the whole record"),
    Column("here", Text, comment="JSON"),
    Column("there", Text, comment="JSON"),
    Column("state", Text, nullable=False),
    Column("first_seen_at", Instant(), nullable=False),
    Column("last_seen_at", Instant(), nullable=False),
    Column("closed_at", Instant()),
    Column("run_id", BigInteger, nullable=False, comment="that saw it last"),
    CheckConstraint("state IN ('open', 'repaired', 'gone')", name="ck_drift_state"),
    Index("ix_drifts_record", "stream_id", "state", "record"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("stream_id", Integer, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("field", Text),
    Column("message", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="of the source's record, also when payload is edited"),
    Column("version", Text),
    Column("link", Text, comment="a person's choice for a doubtful match: a CRM id, or `new`"),
    Column("candidates", Text, comment="CRM ids of a doubtful match, comma-separated"),
    Column("attempts", Integer, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("first_at", Instant(), nullable=False),
    Column("last_at", Instant(), nullable=False),
    CheckConstraint("status IN ('open', 'resolved', 'discarded')", name="ck_dead_letter_status"),
    Index("ix_dead_letters_record", "stream_id", "external_id"),
)

deferred = Table(
    "deferred",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("external_id", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="of the source's record"),
    Column("version", Text),
    Column("waits_entity", Text, nullable=False),
    Column("waits_for", Text, nullable=False),
    Column("field", Text),
    Column("run_id", BigInteger, nullable=False),
    Column("since", Instant(), nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("ix_deferred_waits", "waits_entity", "waits_for"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", Instant(), nullable=False),
)

client_references = Table(
    "client_references",
    metadata,
    Column("entity", Text, primary_key=True),
    Column("crm_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reference", Text, nullable=False, comment="by which this record is known in every back office"),
    UniqueConstraint("reference", name="uq_client_references"),
)

_STATES = ", ".join(f"'{state}'" for state in IntentState)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("connection", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("crm_id", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("revision", Integer, nullable=False, comment="of the content; with the reference it is the idempotency key"),
    Column("content", LargeBinary, nullable=False, comment="JSON: what the CRM wants to be there"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, comment="JSON in their words, as last sent or as a person made it"),
    Column("is_edited", Boolean, nullable=False, comment="a person made the payload"),
    Column("mapping", Text),
    Column("external_id", Text),
    Column("version", Text),
    Column("parent_entity", Text, comment="goes out after the open intents of this record"),
    Column("parent_id", BigInteger),
    Column("waits_entity", Text, comment="cannot be mapped before this record is known over there"),
    Column("waits_id", BigInteger),
    Column("not_before", Instant()),
    Column("attempts", Integer, nullable=False, comment="how often it may have been sent"),
    Column("looks", Integer, nullable=False, comment="how often it was looked up since it was lost"),
    Column("first_sent_at", Instant(), comment="when this content may have been sent for the first time"),
    Column("lost_at", Instant()),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("leased_until", Instant()),
    Column("cause", Text),
    Column("field", Text),
    Column("message", Text),
    Column("origin", Text, nullable=False, comment="`crm`, or the connection whose pull brought the change"),
    Column("created_at", Instant(), nullable=False),
    Column("changed_at", Instant(), nullable=False),
    CheckConstraint(f"state IN ({_STATES})", name="ck_outbox_state"),
    Index("ix_outbox_record", "connection", "entity", "crm_id", "id"),
    Index("ix_outbox_state", "connection", "state", "id"),
)

outbox_events = Table(
    "outbox_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("intent_id", BigInteger, nullable=False),
    Column("at", Instant(), nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text),
    Index("ix_outbox_events_intent", "intent_id"),
)

credit_reservations = Table(
    "credit_reservations",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", ExactNumber(), nullable=False),
    Column("reference", Text, comment="whatever the asker knows it by"),
    Column("created_at", Instant(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Index("ix_credit_reservations_account_id", "account_id"),
)

credit_turns = Table(
    "credit_turns",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("turn", BigInteger, nullable=False, comment="who promises credit of an account holds this row meanwhile"),
)

entered_orders = Table(
    "entered_orders",
    metadata,
    Column("idempotency_key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False, comment="JSON: what the first caller was told"),
    Column("entered_at", Instant(), nullable=False),
)

# -- the HTTP face ----------------------------------------------------------------------------------------------------

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="the part of the key that may be shown"),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False, comment="space-separated"),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("revoked_at", Instant()),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="of the cookie's token"),
    Column("key_id", Text, nullable=False),
    Column("created_at", Instant(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Text, primary_key=True, comment="the request's id"),
    Column("at", Instant(), nullable=False),
    Column("who", Text, nullable=False, comment="key:ID, oidc:SUBJECT, webhook:CONNECTION or local"),
    Column("action", Text, nullable=False, comment="method and route: POST /orders"),
    Column("subject", Text, comment="the path that was asked for"),
    Column("status", Integer, comment="as answered; null: it was begun, and its answer was not recorded"),
    Index("ix_audit_log_at", "at"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True, comment="connection and digest of what was told"),
    Column("connection", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text),
    Column("received_at", Instant(), nullable=False),
    Column("done_at", Instant()),
    CheckConstraint("state IN ('waiting', 'done', 'failed')", name="ck_notice_state"),
    Index("ix_notices_state", "state", "received_at"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("key", Text, primary_key=True, comment="of the matter"),
    Column("channel", Text, primary_key=True, comment="webhook:NAME or mail"),
    Column("kind", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("since", Instant(), nullable=False),
    Column("text", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("opened_at", Instant(), nullable=False),
    Column("told_at", Instant()),
    Column("resolved_at", Instant()),
    Column("attempts", Integer, nullable=False, comment="in vain, of the message that is due"),
    Column("next_try_at", Instant(), nullable=False),
    Column("message", Text, comment="why the last attempt failed"),
)
