"""What nobody needs any more, and how it goes: a bounded number of rows in each transaction, so that nobody waits long.

Each condition leaves out what the hub still works with; the reason stands beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_core.store import page as page_store
from crm_core.store.page import stamp
from crm_core.store.session import Session
from crm_core.store.state import document

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Leftover:
    """One kind of thing that grows old.

    name: as a person reads it. table, key: where it stands. condition: which rows may go; its one parameter is the
    moment before which they are old. go: what is done with the keys of some of them, within a transaction; returns how
    many rows it touched.
    """

    name: str
    table: str
    key: str
    condition: str
    go: Callable[[Session, Sequence[Any]], int]

    def count(self, session: Session, before: datetime) -> int:
        """How many may go."""
        rows = session.all(f"SELECT count(*) FROM {self.table} t WHERE {self.condition}", (stamp(session, before),))
        return int(rows[0][0])

    def step(self, session: Session, before: datetime) -> int:
        """One transaction: at most ROWS_AT_ONCE of them go. Returns how many; 0 when there are none left."""
        with session.transaction():
            rows = session.all(
                f"SELECT {self.key} FROM {self.table} t WHERE {self.condition} ORDER BY {self.key} LIMIT ?",
                (stamp(session, before), ROWS_AT_ONCE),
            )
            return self.go(session, [row[0] for row in rows]) if rows else 0


def _deleting(table: str, key: str = "id") -> Callable[[Session, Sequence[Any]], int]:
    def go(session: Session, keys: Sequence[Any]) -> int:
        condition, listed = session.where_in(key, keys)
        return session.run(f"DELETE FROM {table} WHERE {condition}", (listed,))

    return go


def _forget_reports(session: Session, keys: Sequence[Any]) -> int:
    condition, listed = session.where_in("id", keys)
    return session.run(f"UPDATE runs SET report = ? WHERE {condition}", (document(session, {}), listed))


def _delete_intents(session: Session, keys: Sequence[Any]) -> int:
    _deleting("outbox_events", "intent_id")(session, keys)
    return _deleting("outbox")(session, keys)


def _release_payloads(session: Session, keys: Sequence[Any]) -> int:
    condition, listed = session.where_in("binding_id", keys)
    rows = session.all(
        f"SELECT payload_page FROM bindings WHERE {condition} AND deleted_at IS NOT NULL AND payload_page IS NOT NULL",
        (listed,),
    )
    count = session.run(
        "UPDATE bindings SET payload_page = NULL, payload_index = NULL"
        f" WHERE {condition} AND deleted_at IS NOT NULL AND payload_page IS NOT NULL",
        (listed,),
    )
    if rows:
        page_store.release_payloads(session, Counter(row[0] for row in rows))
    return count


# The newest run of each job, kind and end stays: status, lateness and the approval of a held run look at it.
_OLD_RUN = (
    "t.finished_at < ? AND EXISTS (SELECT 1 FROM runs n WHERE n.job = t.job AND n.kind = t.kind"
    " AND n.status = t.status AND n.id > t.id)"
)

RUNS = Leftover("runs", "runs", "id", _OLD_RUN, _deleting("runs"))

RUN_DETAILS = Leftover(
    "details of runs", "runs", "id", f"{_OLD_RUN} AND CAST(t.report AS TEXT) <> '{{}}'", _forget_reports
)

# Only what a deleted record was made of: a record that is there may be replayed or explained from its payload. A page
# goes when nobody points to it any more.
PAYLOADS = Leftover(
    "payloads of deleted records",
    "bindings",
    "binding_id",
    "t.deleted_at < ? AND t.payload_page IS NOT NULL",
    _release_payloads,
)

# A discarded letter stays: it keeps the record from coming back as it is.
LETTERS = Leftover(
    "resolved dead letters",
    "dead_letters",
    "id",
    "t.status = 'resolved' AND t.last_at < ?",
    _deleting("dead_letters"),
)

# A later confirmed intent of the record must be there: it says what is over there, and its revision, of which the next
# idempotency key is made, is the highest. None goes while one of the record is open.
INTENTS = Leftover(
    "ended intents",
    "outbox",
    "id",
    "t.state IN ('confirmed', 'cancelled') AND t.changed_at < ?"
    " AND EXISTS (SELECT 1 FROM outbox n WHERE n.connection = t.connection AND n.entity = t.entity"
    " AND n.crm_id = t.crm_id AND n.id > t.id AND n.revision > t.revision AND n.state = 'confirmed')"
    " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.connection = t.connection AND o.entity = t.entity"
    " AND o.crm_id = t.crm_id AND o.state NOT IN ('confirmed', 'cancelled'))",
    _delete_intents,
)

AUDIT = Leftover("audit entries", "audit_log", "id", "t.at < ?", _deleting("audit_log"))

# Whoever asks for credit leaves expired ones out already.
RESERVATIONS = Leftover(
    "expired reservations", "credit_reservations", "id", "t.expires_at < ?", _deleting("credit_reservations")
)

# One that waits is still to be looked at.
NOTICES = Leftover(
    "settled notices", "notices", "id", "t.state <> 'waiting' AND t.received_at < ?", _deleting("notices")
)
