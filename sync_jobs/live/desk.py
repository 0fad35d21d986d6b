"""The desk of sales: asks back offices live, answers from the store, checks orders and places them.

One desk for a process, open as long as it runs. Every verb gives a Future, so that nobody holds a thread while a back
office thinks; an answer that needs no call is there when the verb returns. docs/live.md says what the answers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from types import TracebackType
from typing import Self, TypeVar

from connectors.abilities import OrderAnswer, SimulatedLine, SimulatedOrder
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
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
    OrderCheck,
    OrderDraft,
    OrderView,
    PlacedOrder,
    PriceLine,
    PriceLineAnswer,
    Provenance,
    Source,
    StockAnswer,
)
from sync_jobs.live.asking import Asker, done, failed
from sync_jobs.live.flights import within
from sync_jobs.live.intake import Intake
from sync_jobs.live.lookups import LookUps, Outcome
from sync_jobs.live.orders import Orders
from sync_jobs.live.prices import PriceBook, our_price, price_book, with_theirs
from sync_jobs.live.reading import Asked, credit_at_hand, records_to_ask
from sync_jobs.live.sessions import Sessions
from sync_jobs.live.stock_reading import known_levels, products_to_ask, stock_at_hand
from sync_jobs.live.timer import Timer
from sync_jobs.process import tuned_for_throughput

T = TypeVar("T")

_WORKERS = 16
"""Threads that decide on orders. With SQLite it is one: it has one writer at a time, and threads that wait for each
other's locks there do so by looking again and again."""


class LiveDesk:
    """Thread-safe; a context manager. Closing waits for the calls that are under way.

    Who asks on the thread of a loop must not hold it to wait for the answer: it may come about there (`errands.py`).
    """

    def __init__(self, hub: Hub) -> None:
        self.hub, self.sales = hub, hub.settings.sales
        self.sessions = Sessions(hub.database, patience_seconds=self.sales.deadline_seconds)
        self.writers = Sessions(hub.database, is_durable=True, patience_seconds=self.sales.deadline_seconds)
        self.timer = Timer()
        self.workers = ThreadPoolExecutor(
            1 if hub.database.is_sqlite else _WORKERS, thread_name_prefix="counterfoil-live-orders"
        )
        self._intake = Intake(hub, patience_seconds=self.sales.deadline_seconds)
        self.look_ups = LookUps(hub, self.timer, self._intake)
        self._asker = Asker(self.sessions, self.timer, hub.clock)
        self._orders = Orders(self)
        self._tuning: AbstractContextManager[None] | None = None
        self.pushing = tuple(name for name, one in hub.settings.connections.items() if EntityType.ORDER in one.push)

    def __enter__(self) -> Self:
        self._tuning = tuned_for_throughput()
        self._tuning.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()
        if self._tuning is not None:
            self._tuning.__exit__(None, None, None)

    def close(self) -> None:
        """Ends the threads and closes connectors and sessions."""
        self.look_ups.close()
        self.timer.close()
        self.workers.shutdown(wait=True)
        self._intake.close()
        self.sessions.close()
        self.writers.close()

    # -- questions ----------------------------------------------------------------------------------------------------

    def credit(
        self, account_id: CrmId, freshness: Freshness = LIVE, *, deadline_seconds: float | None = None
    ) -> Future[tuple[CreditAnswer, ...]]:
        """What an account may still order for: one answer for each currency, the one of its limit first.

        The future raises EntityAbsent or StoreFault; a back office that does not answer makes parts unknown instead.
        """
        seconds = self.seconds(deadline_seconds)

        def answer(session: Session, asked: Asked) -> tuple[CreditAnswer, ...]:
            now, looks = self.hub.clock(), self.look_ups
            at_hand = credit_at_hand(
                session, account_id, self.sales, self.pushing, looks, freshness=freshness, asked=asked, now=now
            )
            return tuple(one.answer for one in at_hand.joined(account_id, self.sales))

        def to_ask(session: Session) -> list[store.Key]:
            return records_to_ask(session, account_id, self.look_ups, freshness, self.hub.clock())

        def ask(key: store.Key) -> Future[Outcome]:
            return self.look_ups.record(key[0], EntityType.CREDIT, key[1], seconds=seconds)

        question = ("credit", account_id, freshness)
        is_live = freshness.fresh_seconds == 0  # else it depends on the store whether anybody is asked
        return self._asker.answered(question, to_ask, ask, answer, seconds, goes_ahead=is_live)

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

        def answer(session: Session, asked: Asked) -> StockAnswer:
            now, looks = self.hub.clock(), self.look_ups
            return stock_at_hand(
                session, product_id, self.sales, looks, freshness=freshness, asked=asked, unit=unit, now=now
            )

        def to_ask(session: Session) -> list[store.Key]:
            return products_to_ask(session, product_id, self.sales, self.look_ups, freshness, self.hub.clock())

        def ask(key: store.Key) -> Future[Outcome]:
            with self.sessions.one() as session:
                known = known_levels(session, product_id, key[0])
            return self.look_ups.stock_levels(key[0], key[1], known, seconds=seconds)

        return self._asker.answered(("stock", product_id, freshness, unit), to_ask, ask, answer, seconds)

    def prices(
        self,
        account_id: CrmId,
        lines: Sequence[PriceLine],
        *,
        on: date | None = None,
        currency: str | None = None,
        deadline_seconds: float | None = None,
    ) -> Future[tuple[PriceLineAnswer, ...]]:
        """The price of each line on a day (None = today), and the back office's own where it computes one.

        The future raises EntityAbsent for the account, and StoreFault; what is wrong with a line is the line's error.
        """
        try:
            today = self.hub.clock().date()
            with self.sessions.one() as session:
                book = price_book(session, account_id, [line.product_id for line in lines])
            ours = tuple(our_price(book, line, on or today, currency) for line in lines)
            seconds = self.seconds(deadline_seconds)
            # What they compute is of today.
            theirs = self.simulation(book, ours, currency, None, seconds) if on in (None, today) else None
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            return failed(error)
        if theirs is None:
            return done(ours)
        made: Future[tuple[PriceLineAnswer, ...]] = Future()
        theirs.add_done_callback(lambda told: made.set_result(with_theirs(book, ours, *told.result())))
        return made

    def simulation(
        self,
        book: PriceBook,
        lines: Sequence[PriceLineAnswer],
        currency: str | None,
        requested_date: date | None,
        seconds: float,
    ) -> Future[tuple[OrderAnswer | None, Source]] | None:
        """What the back office computes for these lines; None when none that knows the account can. Never raises."""
        if not lines or book.account.id is None:
            return None
        with self.sessions.one() as session:
            accounts = dict(store.records_of(session, EntityType.ACCOUNT, book.account.id))
            name = next((one for one in accounts if self.look_ups.simulates(one)), None)
            if name is None:
                return None
            products = {
                line.product_id: dict(store.records_of(session, EntityType.PRODUCT, line.product_id)).get(name)
                for line in lines
            }
        silent = Source(name, Provenance.UNKNOWN, None, None)
        wanted = [
            SimulatedLine(external_id, line.quantity, line.unit)
            for line in lines
            if (external_id := products[line.product_id]) is not None
        ]
        if len(wanted) < len(lines):
            return done((None, replace(silent, reason=f"not all of the products are known in {name}")))
        order = SimulatedOrder(accounts[name], wanted, requested_date, currency)
        return within(
            self.look_ups.simulated(name, order, seconds=seconds),
            seconds,
            lambda: (None, replace(silent, reason=f"no answer within {seconds:g} s")),
            self.timer,
        )

    # -- orders -------------------------------------------------------------------------------------------------------

    def check_order(
        self,
        draft: OrderDraft,
        *,
        reserves: bool = True,
        reservation_id: int | None = None,
        deadline_seconds: float | None = None,
    ) -> Future[OrderCheck]:
        """Price, availability and credit of an order, and whether it may be placed.

        reserves: hold the credit for `reservation_minutes` unless it is blocked. reservation_id: what an earlier check
        of the same order holds; it is replaced. The future raises EntityAbsent for the account, RuleFault for a draft
        without lines, and StoreFault.
        """
        try:
            seconds = self.seconds(deadline_seconds)
            return self._orders.check(draft, reserves=reserves, reservation_id=reservation_id, seconds=seconds)
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            return failed(error)

    def place_order(
        self,
        draft: OrderDraft,
        idempotency_key: str,
        *,
        reservation_id: int | None = None,
        deadline_seconds: float | None = None,
    ) -> Future[PlacedOrder]:
        """Check an order once more and, unless that blocks it, store it with what goes out, in one transaction.

        idempotency_key: the same key with the same draft gives the first answer again. reservation_id: what a check
        holds for it; it becomes the order. The future raises EntityRefused and IdempotencyKeyReused with nothing
        written, and what `check_order` raises.
        """
        try:
            seconds = self.seconds(deadline_seconds)
            return self._orders.place(draft, idempotency_key, reservation_id=reservation_id, seconds=seconds)
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            return failed(error)

    def release(self, reservation_id: int) -> bool:
        """Give back what a check holds; False when it holds nothing (any more). Raises StoreFault."""
        return self._orders.release(reservation_id)

    def order(self, order_id: CrmId) -> OrderView:
        """An order and how far it has come on its way to the back offices. Raises EntityAbsent and StoreFault."""
        return self._orders.view(order_id)

    # -- any record ---------------------------------------------------------------------------------------------------

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

        def answer(session: Session, asked: Asked) -> LookUp:
            outcome = asked.get((connection, external_id))
            crm_id = crm_ids_of(session, connection, entity, [external_id]).get(external_id)
            reason = "no answer in time" if outcome is None else outcome.reason
            if reason:
                return LookUp(connection, entity, external_id, crm_id, Provenance.UNKNOWN, None, reason)
            as_of = outcome.asked_at if outcome is not None else None
            return LookUp(connection, entity, external_id, crm_id, Provenance.LIVE, as_of)

        def ask(key: store.Key) -> Future[Outcome]:
            return self.look_ups.record(key[0], entity, key[1], seconds=seconds)

        return self._asker.answered(
            ("record", connection, entity, external_id), lambda _: [(connection, external_id)], ask, answer, seconds
        )

    def breakers(self) -> tuple[BreakerReport, ...]:
        """Whether each connection is asked live at present, and why not."""
        return self.look_ups.reports()

    def seconds(self, deadline_seconds: float | None) -> float:
        """How long an asker waits: what was asked for, else the setting."""
        return self.sales.deadline_seconds if deadline_seconds is None else max(deadline_seconds, 0.0)
