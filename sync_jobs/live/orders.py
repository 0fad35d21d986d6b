"""Checking an order and placing it: asked live first, then decided and written in one short transaction.

Whoever promises credit of an account holds the account's turn meanwhile, in whatever process: two who check the last
1,000 at the same moment come one after the other, and the second one sees what the first one holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import xxhash

from connectors.abilities import OrderAnswer
from crm_core.credit import Outcome
from crm_core.errors import EntityAbsent, IdempotencyKeyReused, RowTaken, RuleFault
from crm_core.ids import CrmId, EntityType
from crm_core.model.sales import Order
from crm_core.money import Money
from crm_core.store import sales as store
from crm_core.store.outbox import list_intents
from crm_core.store.session import Session
from crm_core.typed_json import decode_as
from sync_jobs.changes import save_within
from sync_jobs.live.answers import (
    CheckedLine,
    CheckReason,
    Freshness,
    OrderCheck,
    OrderDraft,
    OrderView,
    PlacedOrder,
    PriceLineAnswer,
    PushState,
    Source,
    StockAnswer,
)
from sync_jobs.live.credit import JoinedCredit, after_order, judge
from sync_jobs.live.lookups import Outcome as LookUpOutcome
from sync_jobs.live.order_rules import (
    OUTCOMES,
    currency_of,
    gravest,
    is_stocked,
    order_of,
    price_reasons,
    priced,
    rule_reasons,
    stock_reasons,
)
from sync_jobs.live.prices import PriceBook, price_book, with_theirs
from sync_jobs.live.reading import Asked, credit_at_hand, records_to_ask
from sync_jobs.outgoing import OutgoingEntity, all_outgoing

if TYPE_CHECKING:
    from sync_jobs.live.desk import LiveDesk

T = TypeVar("T")

_LONGEST_KEY = 200
_TRIES = 3
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Asking:
    """What is being asked for an order, and what of it has come in. Calls go on after the deadline, unheeded."""

    book: PriceBook
    prices: tuple[PriceLineAnswer, ...]
    currency: str | None
    on: date
    credit: Mapping[store.Key, Future[LookUpOutcome]]
    stock: Mapping[CrmId, Future[StockAnswer]]
    theirs: Future[tuple[OrderAnswer | None, Source]] | None
    seconds: float

    def futures(self) -> list[Future[Any]]:
        """Everything that is waited for."""
        found: list[Future[Any]] = [*self.credit.values(), *self.stock.values()]
        return found if self.theirs is None else [*found, self.theirs]

    def asked(self, late: LookUpOutcome) -> Asked:
        """The look-ups of credit; those that have not come in are `late`."""
        return {key: future.result() if future.done() else late for key, future in self.credit.items()}

    def lines(self) -> tuple[PriceLineAnswer, ...]:
        """The lines with the back office's price, as far as it has come in."""
        if self.theirs is None or not self.theirs.done():
            return self.prices
        answer, source = self.theirs.result()
        return with_theirs(self.book, self.prices, answer, source)


class _Blocked(Exception):
    """Rolls a placement back; the check says why."""

    def __init__(self, check: OrderCheck) -> None:
        self.check = check


class Orders:
    """The verbs on orders of a desk. Thread-safe."""

    def __init__(self, desk: LiveDesk) -> None:
        self._desk = desk
        self._outgoing: list[OutgoingEntity] | None = None

    def check(
        self, draft: OrderDraft, *, reserves: bool, reservation_id: int | None, seconds: float
    ) -> Future[OrderCheck]:
        """See `LiveDesk.check_order`."""

        def decide(asking: Asking) -> OrderCheck:
            with self._desk.sessions.one() as session:
                if not reserves:
                    return self._decide(session, draft, asking, reservation_id)
                with session.transaction():
                    store.take_turn(session, draft.account_id)
                    check = self._decide(session, draft, asking, reservation_id)
                    if reservation_id is not None:
                        store.release_reservation(session, reservation_id, draft.account_id)
                    return self._reserved(session, draft, check)

        return self._after_asking(draft, decide, seconds)

    def place(
        self, draft: OrderDraft, idempotency_key: str, *, reservation_id: int | None, seconds: float
    ) -> Future[PlacedOrder]:
        """See `LiveDesk.place_order`."""
        if not (0 < len(idempotency_key) <= _LONGEST_KEY and idempotency_key.isprintable()):
            raise RuleFault(f"an idempotency key has 1 to {_LONGEST_KEY} printable characters")
        body_hash = xxhash.xxh3_128_digest(_encode(draft))
        with self._desk.sessions.one() as session:
            known = store.find_entered(session, idempotency_key)
        if known is not None:
            done: Future[PlacedOrder] = Future()
            done.set_result(_as_before(known, body_hash, idempotency_key))
            return done

        def decide(asking: Asking) -> PlacedOrder:
            for tries_left in range(_TRIES - 1, -1, -1):
                try:
                    return self._place(draft, asking, idempotency_key, body_hash, reservation_id)
                except RowTaken:
                    # the same key was used by another call, or the record was bound, in this moment: look again
                    if tries_left == 0:
                        raise
            raise AssertionError("unreachable")

        return self._after_asking(draft, decide, seconds)

    def release(self, reservation_id: int) -> bool:
        """See `LiveDesk.release`."""
        with self._desk.sessions.one() as session, session.transaction():
            return store.release_reservation(session, reservation_id)

    def view(self, order_id: CrmId) -> OrderView:
        """See `LiveDesk.order`."""
        with self._desk.sessions.one() as session:
            order = store.entities_by_id(session, EntityType.ORDER, [order_id]).get(order_id)
            if not isinstance(order, Order):
                raise EntityAbsent(f"the CRM has no order {order_id}")
            intents = list_intents(session, entity=EntityType.ORDER, crm_id=order_id)
            bound = dict(store.records_of(session, EntityType.ORDER, order_id))
        newest = {intent.connection: intent for intent in intents}
        pushes = [
            PushState(
                intent.connection,
                intent.state.value,
                intent.action,
                intent.external_id or bound.get(intent.connection),
                intent.message,
                intent.changed_at,
            )
            for intent in newest.values()
        ]
        return OrderView(order, tuple(pushes))

    # -- asking -------------------------------------------------------------------------------------------------------

    def _after_asking(self, draft: OrderDraft, decide: Callable[[Asking], T], seconds: float) -> Future[T]:
        """Ask everything at once, wait for it without a thread, then decide on a thread that may write."""
        asking = self._ask(draft, seconds)
        made: Future[T] = Future()
        is_begun = threading.Lock()

        def work() -> None:
            try:
                made.set_result(decide(asking))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                made.set_exception(error)

        def begin() -> None:
            if is_begun.acquire(blocking=False):  # once: when all is in, or when the time is up
                self._desk.workers.submit(work)

        waiting = [future for future in asking.futures() if not future.done()]
        if not waiting:
            begin()
            return made
        left, lock = len(waiting), threading.Lock()

        def arrived(_: Future[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                is_last = left == 0
            if is_last:
                begin()

        for future in waiting:
            future.add_done_callback(arrived)
        self._desk.timer.after(seconds, begin)
        return made

    def _ask(self, draft: OrderDraft, seconds: float) -> Asking:
        if not draft.lines:
            raise RuleFault("lines: an order has at least one line")
        desk = self._desk
        now = desk.hub.clock()
        freshness = self._freshness
        with desk.sessions.one() as session:
            book = price_book(session, draft.account_id, [line.product_id for line in draft.lines])
            wanted = records_to_ask(session, draft.account_id, desk.look_ups, freshness, now)
        currency = currency_of(draft, book)
        prices = priced(draft, book, now.date(), currency)
        credit = {key: desk.look_ups.record(key[0], EntityType.CREDIT, key[1], seconds=seconds) for key in wanted}
        stock = {
            product_id: desk.stock(product_id, freshness, deadline_seconds=seconds)
            for product_id, product in book.products.items()
            if is_stocked(product)
        }
        theirs = desk.simulation(book, prices, currency, draft.requested_date, seconds)
        return Asking(book, prices, currency, now.date(), credit, stock, theirs, seconds)

    @property
    def _freshness(self) -> Freshness:
        """Asked live; when that fails, a kept reading is good enough as long as the settings say."""
        return Freshness(0, self._desk.sales.max_age_seconds)

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _decide(
        self, session: Session, draft: OrderDraft, asking: Asking, without_reservation: int | None
    ) -> OrderCheck:
        """The check by what has come in; whoever is about to promise credit holds the account's turn."""
        desk, book = self._desk, asking.book
        now = desk.hub.clock()
        late = LookUpOutcome(now, f"no answer within {asking.seconds:g} s")
        at_hand = credit_at_hand(
            session,
            draft.account_id,
            desk.sales,
            desk.pushing,
            desk.look_ups,
            freshness=self._freshness,
            asked=asking.asked(late),
            now=now,
            without_reservation=without_reservation,
        )
        joined = at_hand.joined(draft.account_id, desk.sales)
        prices, stock, stock_faults = asking.lines(), _arrived(asking.stock), _stock_faults(asking.stock)
        order = order_of(draft, prices, asking.currency, asking.on) if asking.currency is not None else None
        reasons = [*rule_reasons(draft, book, order), *price_reasons(prices)]
        total = order.untaxed_amount if order is not None and all(price.error is None for price in prices) else None
        after = tuple(one.answer for one in joined)
        if order is not None and total is not None:
            money = Money(desk.sales.with_tax(total, order.currency), order.currency)
            credit_reasons, chosen = self._credit_reasons(joined, money)
            reasons += credit_reasons
            after = after_order(joined, chosen, money, desk.sales)
        reasons += stock_reasons(draft, book, stock, desk.sales)
        reasons += [
            CheckReason("stock_unknown", OUTCOMES[desk.sales.stock], text, place)
            for place, line in enumerate(draft.lines)
            if (text := stock_faults.get(line.product_id)) is not None
        ]
        reasons += _their_reasons(asking)
        lines = [CheckedLine(price, stock.get(price.product_id)) for price in prices]
        return OrderCheck(
            verdict=gravest(reasons),
            reasons=tuple(reasons),
            currency=asking.currency,
            total=total,
            lines=tuple(lines),
            credit_before=tuple(one.answer for one in joined),
            credit_after=after,
        )

    def _credit_reasons(self, joined: Sequence[JoinedCredit], total: Money) -> tuple[list[CheckReason], JoinedCredit]:
        settings = self._desk.sales
        verdict, chosen = judge(joined, total, settings, now=self._desk.hub.clock())
        reasons = [CheckReason(one.cause.value, one.outcome, one.text) for one in verdict.reasons]
        if chosen.credit is None:
            why = [source.reason for source in chosen.answer.sources if source.reason]
            reasons = [replace(one, text="; ".join([one.text, *why])) for one in reasons]
        foreign = [name for name in chosen.answer.unknown if name.startswith("orders in ")]
        if foreign and not chosen.answer.is_unlimited:
            text = f"there are {', '.join(foreign)}, and no rate is given to set them off"
            reasons.append(CheckReason("unknown", OUTCOMES[settings.unknown], text))
        return reasons, chosen

    # -- writing ------------------------------------------------------------------------------------------------------

    def _reserved(self, session: Session, draft: OrderDraft, check: OrderCheck) -> OrderCheck:
        if check.verdict is Outcome.BLOCK or check.total is None or check.total <= 0 or check.currency is None:
            return check
        now = self._desk.hub.clock()
        until = now + timedelta(minutes=self._desk.sales.reservation_minutes)
        made = store.add_reservation(
            session,
            draft.account_id,
            check.currency,
            self._desk.sales.with_tax(check.total, check.currency),
            moment=now,
            expires_at=until,
            reference=draft.reference,
        )
        return replace(check, reservation_id=made, reserved_until=until)

    def _place(
        self, draft: OrderDraft, asking: Asking, key: str, body_hash: bytes, reservation_id: int | None
    ) -> PlacedOrder:
        desk = self._desk
        if self._outgoing is None:
            self._outgoing = [one for by in all_outgoing(desk.hub.settings).values() for one in by.values()]
        try:
            with desk.writers.one() as session, session.transaction():
                store.take_turn(session, draft.account_id)
                known = store.find_entered(session, key)
                if known is not None:
                    return _as_before(known, body_hash, key)
                check = self._decide(session, draft, asking, reservation_id)
                if check.verdict is Outcome.BLOCK or check.currency is None:
                    raise _Blocked(check)
                order = order_of(draft, asking.lines(), check.currency, asking.on)
                saved = save_within(session, desk.hub, order, self._outgoing)
                if reservation_id is not None:
                    store.release_reservation(session, reservation_id, draft.account_id)
                placed = PlacedOrder(saved.crm_id, check, saved.intents)
                entered = store.EnteredOrder(body_hash, saved.crm_id, _encode(placed))
                store.add_entered(session, key, entered, desk.hub.clock())
                return placed
        except _Blocked as blocked:
            return PlacedOrder(None, blocked.check)


def _as_before(known: store.EnteredOrder, body_hash: bytes, key: str) -> PlacedOrder:
    if known.body_hash != body_hash:
        raise IdempotencyKeyReused(
            f"the idempotency key {key[:40]!r} was used for another order ({known.order_id}): a new order, a new key"
        )
    return replace(decode_as(known.answer, PlacedOrder), was_placed_before=True)


def _arrived(stock: Mapping[CrmId, Future[StockAnswer]]) -> dict[CrmId, StockAnswer]:
    return {key: one.result() for key, one in stock.items() if one.done() and one.exception() is None}


def _stock_faults(stock: Mapping[CrmId, Future[StockAnswer]]) -> dict[CrmId, str]:
    """Why there is no answer about the stock of a product at all."""
    faults = {}
    for key, one in stock.items():
        if not one.done():
            faults[key] = "its stock was not told in time"
        elif (error := one.exception()) is not None:
            faults[key] = f"its stock cannot be told: {error}"
    return faults


def _their_reasons(asking: Asking) -> list[CheckReason]:
    if asking.theirs is None or not asking.theirs.done():
        return []
    answer, source = asking.theirs.result()
    if answer is None or answer.credit != "blocked":
        return []
    text = f"{source.connection} would hold the order: its own credit check says {answer.credit_status or 'no'}"
    return [CheckReason("their_credit", Outcome.BLOCK, text)]
