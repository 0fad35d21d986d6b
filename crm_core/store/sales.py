"""What the questions of sales read and write: credit, stock and prices of one account or product, our own orders that a
back office does not count yet, credit that is promised for a while.

Plain queries on a session, one account or product each; what has to be decided from it is decided elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from crm_core.errors import EntityAbsent
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.intents import IntentState
from crm_core.model.base import Entity
from crm_core.model.data import entity_of
from crm_core.model.schema import Kind
from crm_core.store.layout import table_of
from crm_core.store.page import entity_values, get_moment, stamp, unstamp
from crm_core.store.session import Row, Session, row_decoder

_RESERVATIONS = 2**53
"""As many as a number of a browser's script can tell apart."""
_readings: dict[tuple[type[Session], EntityType, EntityType], tuple[str, Callable[[Row], Row]]] = {}
"""Made once for each kind of database: making one takes longer than an answer's queries."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An entity with the record that it comes from; both None where no back office is known to have it."""

    entity: Entity
    connection: ConnectionName | None
    external_id: ExternalId | None


Key = tuple[ConnectionName, ExternalId]
"""A record of a back office."""


@dataclass(frozen=True, slots=True)
class Known:
    """bound: the entities of an account or product, once for each binding. records: of the account or product itself,
    of all connections."""

    bound: list[Bound]
    records: list[Key]


def check_exists(session: Session, entity: EntityType, crm_id: int) -> None:
    """Raises EntityAbsent."""
    if not session.all(f"SELECT 1 FROM {table_of(entity).name} WHERE id = ?", (crm_id,)):
        raise EntityAbsent(f"the CRM has no {entity.value} {crm_id}")


def entities_by_id(session: Session, entity: EntityType, crm_ids: Sequence[int]) -> dict[CrmId, Entity]:
    """These entities; those that do not exist are left out."""
    if not crm_ids:
        return {}
    found = entity_values(session, table_of(entity), sorted(set(crm_ids)))
    return {crm_id: entity_of(entity, values, crm_id) for crm_id, values in found.items()}


def known_of(session: Session, entity: EntityType, owner: EntityType, crm_id: int) -> Known:
    """What is kept of an account's credit, or of a product's stock levels: entities without parts, and both ends.

    An entity that is bound to nothing is there once; one whose records are all gone is left out.
    """
    key = type(session), entity, owner
    if key not in _readings:
        _readings[key] = _reading(session, entity, owner)
    sql, decode = _readings[key]
    bound: list[Bound] = []
    records: list[Key] = []
    for found_id, group in groupby(session.all(sql, (entity.value, crm_id, owner.value, crm_id)), itemgetter(0)):
        rows = list(group)
        if found_id is None:
            records = [(row[-4], row[-3]) for row in rows]
            continue
        made = entity_of(entity, decode(rows[0])[1:], CrmId(found_id))
        bindings = [row for row in rows if row[-3] is not None]
        bound += [Bound(made, row[-4], row[-3]) for row in bindings if row[-2] is None]
        if not bindings:
            bound.append(Bound(made, None, None))
    return Known(bound, records)


def _reading(session: Session, entity: EntityType, owner: EntityType) -> tuple[str, Callable[[Row], Row]]:
    """The statement that reads it all at once, values in the order of their schema, and what decodes an entity's part.

    One statement and not three: each costs a network's round trip, or with SQLite several turns of the threads.
    """
    table = table_of(entity)
    columns = sorted(table.columns, key=lambda column: column.position)
    names = ", ".join(f'e."{column.name}"' for column in columns)
    last = len(columns) + 5
    sql = (
        f"SELECT e.id, {names}, s.connection, b.external_id, b.deleted_at, s.id FROM {table.name} e"
        " LEFT JOIN streams s ON s.entity = ? LEFT JOIN bindings b ON b.stream_id = s.id AND b.crm_id = e.id"
        f' WHERE e."{owner.value}_id" = ?'
        f" UNION ALL SELECT NULL{', NULL' * len(columns)}, s.connection, b.external_id, NULL, s.id FROM streams s"
        " JOIN bindings b ON b.stream_id = s.id WHERE s.entity = ? AND b.crm_id = ? AND b.deleted_at IS NULL"
        f" ORDER BY 1, {last}, {last - 2}"
    )
    return sql, row_decoder(session, columns)


def keys_known_of(session: Session, entity: EntityType, owner: EntityType, crm_id: int) -> tuple[list[Key], list[Key]]:
    """The records behind the entities of an account or product, and its own; those that are gone are left out."""
    rows = session.all(
        f"SELECT 0, s.id, s.connection, b.external_id FROM {table_of(entity).name} e JOIN streams s ON s.entity = ?"
        f' JOIN bindings b ON b.stream_id = s.id AND b.crm_id = e.id WHERE e."{owner.value}_id" = ?'
        " AND b.deleted_at IS NULL"
        " UNION ALL SELECT 1, s.id, s.connection, b.external_id FROM streams s JOIN bindings b ON b.stream_id = s.id"
        " WHERE s.entity = ? AND b.crm_id = ? AND b.deleted_at IS NULL ORDER BY 1, 2, 4",
        (entity.value, crm_id, owner.value, crm_id),
    )
    behind: tuple[list[Key], list[Key]] = [], []
    for end, _, connection, external_id in rows:
        behind[end].append((connection, external_id))
    return behind


def records_of(session: Session, entity: EntityType, crm_id: int) -> list[tuple[ConnectionName, ExternalId]]:
    """The records of all connections that an entity is bound to."""
    return [
        (ConnectionName(connection), ExternalId(external_id))
        for connection, external_id in session.all(
            "SELECT s.connection, b.external_id FROM streams s JOIN bindings b ON b.stream_id = s.id AND b.crm_id = ?"
            " WHERE s.entity = ? AND b.deleted_at IS NULL ORDER BY s.id, b.external_id",
            (crm_id, entity.value),
        )
    ]


def prices_for(session: Session, price_list_id: int, product_ids: Sequence[int]) -> list[Entity]:
    """The prices of a list for these products."""
    condition, keys = session.where_in("product_id", sorted(set(product_ids)))
    ids = [
        row[0]
        for row in session.all(f"SELECT id FROM prices WHERE {condition} AND price_list_id = ?", (keys, price_list_id))
    ]
    return list(entities_by_id(session, EntityType.PRICE, ids).values())


# -- our own orders ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order of an account that goes out, or went out, over a connection. amount: None = its lines must be summed.

    is_taxed: the amount is one with tax. changed_at: of the newest intent. An order that stands in the CRM alone
    (nothing is pushed) has neither connection nor moment, and counts as queued.
    """

    order_id: CrmId
    connection: ConnectionName | None
    state: IntentState
    changed_at: datetime | None
    currency: str
    amount: Decimal | None
    is_taxed: bool = False


_DONE = ("done", "cancelled", "draft", "quotation")


def open_order_ids(session: Session, account_id: int, connection: str) -> list[CrmId]:
    """Orders of an account that a connection has and that are neither done nor cancelled nor drafts."""
    rows = session.all(
        "SELECT DISTINCT r.id FROM orders r JOIN bindings b ON b.crm_id = r.id JOIN streams s ON s.id = b.stream_id"
        " WHERE r.account_id = ? AND r.status NOT IN (?, ?, ?, ?) AND s.entity = 'order' AND s.connection = ?"
        " AND b.deleted_at IS NULL ORDER BY r.id",
        (account_id, *_DONE, connection),
    )
    return [CrmId(row[0]) for row in rows]


def credits_of_open_orders(session: Session, connection: str) -> list[ExternalId]:
    """Their ids of the credits that a connection tells of accounts with an open order, whoever has the order."""
    rows = session.all(
        "SELECT b.external_id FROM bindings b JOIN streams s ON s.id = b.stream_id JOIN credits c ON c.id = b.crm_id"
        " WHERE s.entity = 'credit' AND s.connection = ? AND b.deleted_at IS NULL AND EXISTS (SELECT 1 FROM orders r"
        " WHERE r.account_id = c.account_id AND r.status NOT IN (?, ?, ?, ?)) ORDER BY b.external_id",
        (connection, *_DONE),
    )
    return [ExternalId(row[0]) for row in rows]


def read_to_its_end_at(session: Session, connection: str, entity: EntityType) -> datetime | None:
    """When the last read of a stream came to its end; None when it never did, or one is under way."""
    rows = session.all(
        "SELECT c.updated_at, c.is_reading FROM checkpoints c JOIN streams s ON s.id = c.stream_id"
        " WHERE s.connection = ? AND s.entity = ?",
        (connection, entity.value),
    )
    return get_moment(session, rows[0][0]) if rows and not rows[0][1] else None


# -- promised credit --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credit that is promised to somebody for a while. amount: in `currency`, above 0."""

    id: int
    account_id: CrmId
    currency: str
    amount: Decimal
    expires_at: datetime


def take_turn(session: Session, account_id: int) -> None:
    """Within a transaction: be the only one who promises credit of this account until it ends.

    SQLite's transaction has the whole file already; PostgreSQL takes the row's lock here.
    """
    if not session.for_update:
        return
    session.run(
        "INSERT INTO credit_turns (account_id, turn) VALUES (?, 0) ON CONFLICT (account_id) DO NOTHING", (account_id,)
    )
    session.run("UPDATE credit_turns SET turn = turn + 1 WHERE account_id = ?", (account_id,))


def claims_on(
    session: Session, account_id: int, connections: Sequence[str], moment: datetime
) -> tuple[list[OwnOrder], list[Reservation]]:
    """The open orders of an account that came about here, with their newest intent on each of these connections, and
    what is promised of its credit at this moment.

    An order whose intents were all given up is none of them. One statement: a promise that becomes an order between two
    of them would be in neither, and be promised twice.
    """
    condition, keys = session.where_in("o.connection", list(connections))
    rows = session.all(
        "SELECT 0, r.id, o.id, o.connection, o.state, o.changed_at, r.currency, r.total_amount, r.untaxed_amount"
        f" FROM orders r LEFT JOIN outbox o ON {condition} AND o.entity = 'order' AND o.crm_id = r.id"
        " WHERE r.account_id = ? AND r.status NOT IN (?, ?, ?, ?) AND (o.state <> 'cancelled' OR (o.id IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM streams s JOIN bindings b ON b.stream_id = s.id AND b.crm_id = r.id"
        " WHERE s.entity = 'order')))"
        " UNION ALL SELECT 1, id, NULL, NULL, NULL, expires_at, currency, amount, NULL FROM credit_reservations"
        " WHERE account_id = ? AND expires_at > ? ORDER BY 1, 2, 3",
        (keys, account_id, *_DONE, account_id, stamp(session, moment)),
    )
    decode = session.decode(Kind.NUMBER)
    newest: dict[tuple[int, str | None], OwnOrder] = {}
    promised = []
    for is_promise, row_id, _, connection, state, at, currency, total, untaxed in rows:
        told = total if total is not None else untaxed
        amount = told if told is None or decode is None else decode(told)
        if is_promise:
            promised.append(Reservation(row_id, CrmId(account_id), currency, amount, get_moment(session, at)))
            continue
        newest[row_id, connection] = OwnOrder(
            CrmId(row_id),
            None if connection is None else ConnectionName(connection),
            IntentState.QUEUED if state is None else IntentState(state),
            unstamp(session, at),
            currency,
            amount,
            is_taxed=total is not None,
        )
    return list(newest.values()), promised


def add_reservation(
    session: Session,
    account_id: int,
    currency: str,
    amount: Decimal,
    *,
    moment: datetime,
    expires_at: datetime,
    reference: str | None,
) -> int:
    """Within a transaction that has the account's turn: promise so much; what has expired goes.

    Returns its id, which nobody can guess: who knows it may take it back.
    """
    session.run(
        "DELETE FROM credit_reservations WHERE account_id = ? AND expires_at <= ?", (account_id, stamp(session, moment))
    )
    reservation_id = secrets.randbelow(_RESERVATIONS)
    encode = session.encode(Kind.NUMBER)
    session.run(
        "INSERT INTO credit_reservations (id, account_id, currency, amount, reference, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(reservation_id, account_id, currency, amount if encode is None else encode(amount), reference),
            *(stamp(session, moment), stamp(session, expires_at)),
        ),
    )
    return reservation_id


def release_reservation(session: Session, reservation_id: int, account_id: int | None = None) -> bool:
    """Within a transaction: it holds nothing any more. False when there was none, or none of that account's."""
    of_account, account = ("", ()) if account_id is None else (" AND account_id = ?", (account_id,))
    return session.run(f"DELETE FROM credit_reservations WHERE id = ?{of_account}", (reservation_id, *account)) == 1


# -- entered orders ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnteredOrder:
    """An order that was placed with a key. answer: JSON, what the caller was told."""

    body_hash: bytes
    order_id: CrmId
    answer: bytes


def find_entered(session: Session, idempotency_key: str) -> EnteredOrder | None:
    """The order that was placed with this key."""
    rows = session.all(
        "SELECT body_hash, order_id, answer FROM entered_orders WHERE idempotency_key = ?", (idempotency_key,)
    )
    return EnteredOrder(bytes(rows[0][0]), CrmId(rows[0][1]), bytes(rows[0][2])) if rows else None


def add_entered(session: Session, idempotency_key: str, entered: EnteredOrder, moment: datetime) -> None:
    """Within the transaction of the order. Raises RowTaken when another call has just used the key."""
    session.insert(
        "entered_orders",
        ("idempotency_key", "body_hash", "order_id", "answer", "entered_at"),
        [(idempotency_key, entered.body_hash, entered.order_id, entered.answer, stamp(session, moment))],
    )
