"""The demo's order: it goes out over a wire that is cut right after Tryton has booked it, and is there once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console

from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.model.catalogue import Product
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox, repository
from simulators.faults import Fault, FaultKind, Rule
from simulators.proxy import LoopbackProxy
from simulators.rehearsal import WRITE
from simulators.tryton_server.rehearsal import kind_of
from simulators.tryton_server.server import TrytonServer
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import save
from sync_jobs.push_report import PushReport, SilentPushListener

_CONNECTION = ConnectionName("erp")
_CUSTOMER, _ARTICLE, _QUANTITY = "CUST-005", "TOO-003", 2
_PUSHES = 'push = ["account", "order"]\n'


class PushFailed(Exception):
    """The order is not there once, or not as it was entered."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of the order: its intent's events beside the usual way; the sale as Tryton tells it, and how many."""

    state: str
    told: tuple[str, ...]
    sale: Mapping[str, Any]
    count: int


def push_over_a_cut_wire(console: Console, hub: Hub, server: TrytonServer) -> Pushed:
    """Enter an order, push it through a proxy that drops the answer to its creation. Raises PushFailed."""
    with LoopbackProxy(server.url, kind_of=kind_of) as proxy:
        through = _through(hub, server.url, proxy.url)
        order_id = _enter(through)
        console.print(f"  {_QUANTITY} {_ARTICLE} for {_CUSTOMER}: the order and its intent, in one transaction")
        proxy.http.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE, nth=1)])
        push_operations.push(through, _CONNECTION, listener=_Teller(console))
        if proxy.http.disturbed != 1:
            raise PushFailed(f"{proxy.http.disturbed} answers were lost, not one")
    pushed = _looked_at(through, order_id, server)
    if pushed.state != IntentState.CONFIRMED or pushed.count != 1:
        raise PushFailed(
            f"the order is {pushed.state}, and Tryton has {pushed.count} sales with its reference: {pushed.told}"
        )
    return pushed


def _through(hub: Hub, direct: str, proxied: str) -> Hub:
    """The same CRM and the same connection, over the proxy."""
    text = hub.settings.file.read_text(encoding="utf-8").replace(direct, proxied) + _PUSHES
    file = Path(hub.settings.file).with_name("over-a-cut-wire.toml")
    file.write_text(text, encoding="utf-8")
    return open_hub(file)


def _enter(hub: Hub) -> CrmId:
    engine = hub.database.engine
    (account,) = (
        one
        for one in repository.list_entities(engine, EntityType.ACCOUNT, query=_CUSTOMER, limit=2)
        if isinstance(one, Account) and one.code == _CUSTOMER
    )
    (product,) = (
        one
        for one in repository.list_entities(engine, EntityType.PRODUCT, query=_ARTICLE, limit=2)
        if isinstance(one, Product) and one.code == _ARTICLE
    )
    warehouse = repository.list_entities(engine, EntityType.WAREHOUSE, query=None, limit=1)[0]
    assert account.id is not None
    assert product.list_price is not None
    line = OrderLine(code="1", product_id=product.id, quantity=Decimal(_QUANTITY), unit_price=product.list_price)
    order = Order(
        account_id=account.id, status="confirmed", currency="EUR", warehouse_id=warehouse.id, reference="PO-DEMO",
        lines=(line,),
    )  # fmt: skip
    return save(hub, order).crm_id


class _Teller(SilentPushListener):
    """Says once that a push is under way."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def started(self, report: PushReport, waiting: int) -> None:
        self._console.print("  counterfoil push; the wire is cut before the answer to the creation comes ...")


def _looked_at(hub: Hub, order_id: CrmId, server: TrytonServer) -> Pushed:
    with operations.opened(hub) as session:
        (intent,) = outbox.list_intents(session, entity=EntityType.ORDER, crm_id=order_id)
        told = tuple(f"{event.event}: {event.message}" for event in outbox.events_of(session, intent.id))
    truth = server.truth()
    carrying = [text for text in truth["sale_counts"] if intent.reference in text]
    count = sum(truth["sale_counts"][text] for text in carrying)
    return Pushed(intent.state.value, told, truth["sales"][carrying[0]] if carrying else {}, count)
