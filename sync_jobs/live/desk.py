"""The desk of sales: asks back offices live, answers from the store, checks orders and places them.

One desk for a process, open as long as it runs. Every verb gives a Future, so that nobody holds a thread while a back
office thinks; an answer that needs no call is there when the verb returns. docs/live.md says what the answers mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from crm_core.errors import EntityAbsent
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.model.catalogue import Product, UnitGroup
from crm_core.model.stock import StockLevel, Warehouse
from crm_core.store import sales as store
from crm_core.store.page import crm_ids_of
from crm_core.store.session import Session
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import (
    LIVE,
    BreakerReport,
    CreditAnswer,
    Freshness,
    LookUp,
    Provenance,
    Source,
    StockAnswer,
)
from sync_jobs.live.credit import join_credit
from sync_jobs.live.flights import Flights, within
from sync_jobs.live.intake import Intake
from sync_jobs.live.lookups import LookUps, Outcome
from sync_jobs.live.reading import Asked, credit_at_hand, records_to_ask, source_of
from sync_jobs.live.sessions import Sessions
from sync_jobs.live.stock import LevelReading, stock_answer
from sync_jobs.live.timer import Timer

T = TypeVar("T")

Key = tuple[ConnectionName, ExternalId]


class LiveDesk:
    """Thread-safe; a context manager. Closing waits for the calls that are under way."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.sales = hub, hub.settings.sales
        self.sessions = Sessions(hub.database, patience_seconds=self.sales.deadline_seconds)
        self._timer = Timer()
        self._intake = Intake(hub, patience_seconds=self.sales.deadline_seconds)
        self.look_ups = LookUps(hub, self._timer, self._intake)
        self._flights: Flights[object] = Flights(self._timer)
        self.pushing = tuple(name for name, one in hub.settings.connections.items() if EntityType.ORDER in one.push)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads and closes connectors and sessions."""
        self.look_ups.close()
        self._timer.close()
        self._intake.close()
        self.sessions.close()

    # -- questions ----------------------------------------------------------------------------------------------------

    def credit(
        self, account_id: CrmId, freshness: Freshness = LIVE, *, deadline_seconds: float | None = None
    ) -> Future[tuple[CreditAnswer, ...]]:
        """What an account may still order for: one answer for each currency, the one of its limit first.

        The future raises EntityAbsent or StoreFault; a back office that does not answer makes parts unknown instead.
        """
        seconds = self.seconds(deadline_seconds)

        def answer(asked: Asked) -> tuple[CreditAnswer, ...]:
            with self.sessions.one() as session:
                return self._credit(session, account_id, freshness, asked)

        def to_ask(session: Session) -> list[Key]:
            return records_to_ask(session, account_id, self.look_ups, freshness, self.hub.clock())

        def ask(key: Key) -> Future[Outcome]:
            return self.look_ups.record(key[0], EntityType.CREDIT, key[1], seconds=seconds)

        return self.answered(("credit", account_id, freshness), to_ask, ask, answer, seconds)

    def _credit(
        self, session: Session, account_id: CrmId, freshness: Freshness, asked: Asked
    ) -> tuple[CreditAnswer, ...]:
        at_hand = credit_at_hand(
            session,
            account_id,
            self.sales,
            self.pushing,
            self.look_ups,
            freshness=freshness,
            asked=asked,
            now=self.hub.clock(),
        )
        joined = join_credit(
            account_id, at_hand.readings, at_hand.claims, self.sales, roles=at_hand.roles, counted=at_hand.counted
        )
        return tuple(one.answer for one in joined)

    def stock(
        self,
        product_id: CrmId,
        freshness: Freshness = LIVE,
        *,
        unit: str | None = None,
        deadline_seconds: float | None = None,
    ) -> Future[StockAnswer]:
        """What there is of a product, by warehouse and in all, in `unit` (None = its base unit).

        The future raises EntityAbsent, StoreFault, and RuleFault for a unit that it cannot be counted in.
        """
        seconds = self.seconds(deadline_seconds)

        def answer(asked: Asked) -> StockAnswer:
            with self.sessions.one() as session:
                return self._stock(session, product_id, freshness, asked, unit)

        def to_ask(session: Session) -> list[Key]:
            store.check_exists(session, EntityType.PRODUCT, product_id)
            if freshness.fresh_seconds is None:
                return []
            now = self.hub.clock()
            levels = store.bound_entities(session, EntityType.STOCK_LEVEL, "product_id", product_id)
            oldest: dict[ConnectionName, float] = {}
            for bound in levels:
                if bound.connection is not None and isinstance(bound.entity, StockLevel):
                    age = (now - bound.entity.as_of).total_seconds()
                    oldest[bound.connection] = max(age, oldest.get(bound.connection, age))
            return [
                key
                for key in self._stock_records(session, product_id)
                if key[0] not in oldest or not freshness.is_fresh(oldest[key[0]])
            ]

        def ask(key: Key) -> Future[Outcome]:
            with self.sessions.one() as session:
                levels = store.bound_entities(session, EntityType.STOCK_LEVEL, "product_id", product_id)
            known = [one.external_id for one in levels if one.connection == key[0] and one.external_id is not None]
            return self.look_ups.stock_levels(key[0], key[1], known, seconds=seconds)

        return self.answered(("stock", product_id, freshness, unit), to_ask, ask, answer, seconds)

    def _stock_records(self, session: Session, product_id: CrmId) -> list[Key]:
        """The product as the back offices know it, where they tell its stock."""
        return [
            (connection, external_id)
            for connection, external_id in store.records_of(session, EntityType.PRODUCT, product_id)
            if self.look_ups.offers(connection, EntityType.STOCK_LEVEL) and self._counts_stock(connection)
        ]

    def _counts_stock(self, connection: ConnectionName | None) -> bool:
        return self.sales.stock_from in (None, connection)

    def _stock(
        self, session: Session, product_id: CrmId, freshness: Freshness, asked: Asked, unit: str | None
    ) -> StockAnswer:
        product = store.entities_by_id(session, EntityType.PRODUCT, [product_id]).get(product_id)
        if not isinstance(product, Product):
            raise EntityAbsent(f"the CRM has no product {product_id}")
        groups = store.entities_by_id(session, EntityType.UNIT_GROUP, [product.unit_group_id or 0])
        group = groups.get(product.unit_group_id) if product.unit_group_id is not None else None
        now = self.hub.clock()
        outcomes = {connection: outcome for (connection, _), outcome in asked.items()}
        readings = []
        for bound in store.bound_entities(session, EntityType.STOCK_LEVEL, "product_id", product_id):
            level = bound.entity
            if bound.connection is None or bound.external_id is None or not self._counts_stock(bound.connection):
                continue
            assert isinstance(level, StockLevel)
            outcome = outcomes.get(bound.connection)
            if outcome is not None and not outcome.reason:
                problem = (outcome.problems or {}).get(bound.external_id)
                if problem is not None:
                    outcome = Outcome(outcome.asked_at, problem, may_fall_back=False)
                elif bound.external_id not in outcome.taken:
                    outcome = Outcome(
                        outcome.asked_at, "the back office tells no stock there any more", may_fall_back=False
                    )
            readings.append(LevelReading(level, source_of(bound.connection, level.as_of, outcome, freshness, now)))
        telling = {reading.source.connection for reading in readings}
        silent = [
            Source(connection, Provenance.UNKNOWN, None, None, _why_silent(outcomes.get(connection)))
            for connection, _ in self._stock_records(session, product_id)
            if connection not in telling
        ]
        houses = store.entities_by_id(session, EntityType.WAREHOUSE, [r.level.warehouse_id for r in readings])
        warehouses = {crm_id: house for crm_id, house in houses.items() if isinstance(house, Warehouse)}
        return stock_answer(
            product, group if isinstance(group, UnitGroup) else None, warehouses, readings, silent, unit
        )

    def look_up(
        self,
        connection: ConnectionName,
        entity: EntityType,
        external_id: ExternalId,
        *,
        deadline_seconds: float | None = None,
    ) -> Future[LookUp]:
        """A live pull of any record, e.g. because a webhook told that it changed.

        The future raises ConfigurationFault for a connection or a stream that there is not, and StoreFault.
        """
        self.hub.settings.get_connection(connection)
        seconds = self.seconds(deadline_seconds)

        def answer(asked: Asked) -> LookUp:
            outcome = asked.get((connection, external_id))
            with self.sessions.one() as session:
                crm_id = crm_ids_of(session, connection, entity, [external_id]).get(external_id)
            reason = "no answer in time" if outcome is None else outcome.reason
            if reason:
                return LookUp(connection, entity, external_id, crm_id, Provenance.UNKNOWN, None, reason)
            as_of = outcome.asked_at if outcome is not None else None
            return LookUp(connection, entity, external_id, crm_id, Provenance.LIVE, as_of)

        def ask(key: Key) -> Future[Outcome]:
            return self.look_ups.record(key[0], entity, key[1], seconds=seconds)

        return self.answered(
            ("record", connection, entity, external_id), lambda _: [(connection, external_id)], ask, answer, seconds
        )

    def breakers(self) -> tuple[BreakerReport, ...]:
        """Whether each connection is asked live at present, and why not."""
        return self.look_ups.reports()

    # -- how an answer comes about ------------------------------------------------------------------------------------

    def seconds(self, deadline_seconds: float | None) -> float:
        """How long an asker waits: what was asked for, else the setting."""
        return self.sales.deadline_seconds if deadline_seconds is None else max(deadline_seconds, 0.0)

    def answered(
        self,
        question: tuple[object, ...],
        to_ask: Callable[[Session], list[Key]],
        ask: Callable[[Key], Future[Outcome]],
        answer: Callable[[Asked], T],
        seconds: float,
    ) -> Future[T]:
        """The answer when everything that had to be asked has answered, or when the time is up, whichever is first.

        question: what makes two askers share an answer. to_ask: the records to be asked for, by the store; none means
        that the answer is here at once.
        """
        try:
            with self.sessions.one() as session:
                wanted = to_ask(session)
            if not wanted:
                return _done(answer({}))
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            return _failed(error)
        got: dict[Key, Outcome] = {}

        def begin() -> Future[T]:
            return gathered({key: ask(key) for key in wanted}, answer, got)

        shared: Future[T] = self._flights.share(question, begin)  # type: ignore[arg-type, assignment]

        def late() -> T:
            now = self.hub.clock()
            reason = f"no answer within {seconds:g} s"
            return answer({key: got.get(key) or Outcome(now, reason) for key in wanted})

        return within(shared, seconds, late, self._timer)


def gathered(asked: dict[Key, Future[Outcome]], answer: Callable[[Asked], T], got: dict[Key, Outcome]) -> Future[T]:
    """What `answer` makes of all outcomes, when the last one is in; made by the thread that brings it."""
    made: Future[T] = Future()
    left, lock = len(asked), threading.Lock()

    def arrived(key: Key, done: Future[Outcome]) -> None:
        nonlocal left
        with lock:
            got[key] = done.result()
            left -= 1
            is_last = left == 0
        if is_last:
            try:
                made.set_result(answer(dict(got)))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                made.set_exception(error)

    for key, future in list(asked.items()):
        future.add_done_callback(lambda done, key=key: arrived(key, done))  # type: ignore[misc]
    return made


def _why_silent(outcome: Outcome | None) -> str:
    if outcome is None:
        return "nothing has been read of its stock yet"
    return outcome.reason or "the back office tells no stock of it"


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future


def _failed(error: Exception) -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(error)
    return future
