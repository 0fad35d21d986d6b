"""The value-by-value comparison that ends the demo: what Tryton's own client says, beside what the CRM holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from crm_core.errors import RuleFault
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account, Credit
from crm_core.model.catalogue import Price, Product, UnitGroup
from crm_core.model.sales import Invoice, Order
from crm_core.model.stock import StockLevel, Warehouse
from crm_core.money import Rounding, exact, round_to_places
from crm_core.pricing import resolve_price
from crm_core.store import repository

_ALL = 1_000_000
_TRYTON_PLACES = 4
"""Tryton rounds a unit price half-even to four decimal places."""


@dataclass
class Comparison:
    """How many values of each kind were compared, and those that differ."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether values were compared and all are equal."""
        return bool(self.compared) and not self.differences

    def see(self, kind: str, key: str, theirs: Any, ours: Any) -> None:
        """One value of both sides."""
        self.compared[kind] += 1
        if theirs != ours:
            self.differences.append(f"{kind} {key}: Tryton {theirs!r}, CRM {ours!r}")

    def lines(self) -> list[str]:
        """One line a kind."""
        return [f"{count:>5} {kind}" for kind, count in self.compared.items()]


def compare(truth: dict[str, Any], engine: Engine) -> Comparison:
    """Lay the witness document of `scripts/truth.py` beside the store."""
    made = Comparison()
    products: dict[CrmId, Product] = _by_id(engine, EntityType.PRODUCT)
    accounts: dict[CrmId, Account] = _by_id(engine, EntityType.ACCOUNT)
    _products(made, truth["products"], {product.code: product for product in products.values()})
    _stock(made, truth["stock"], products, engine)
    _prices(made, truth, products, engine)
    _customers(made, truth["customers"], accounts, engine)
    _invoices(made, truth["invoices"], accounts, engine)
    _sales(made, truth["sales"], accounts, engine)
    return made


def _by_id(engine: Engine, entity: EntityType) -> dict[CrmId, Any]:
    return {row.id: row for row in repository.list_entities(engine, entity, limit=_ALL) if row.id is not None}


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _products(made: Comparison, theirs: dict[str, Any], ours: dict[str, Product]) -> None:
    made.see("product codes", "all", sorted(theirs), sorted(ours))
    for code, row in theirs.items():
        product = ours.get(code)
        if product is None:
            continue
        made.see("product statuses", code, row["active"], product.status == "active")
        made.see("list prices", code, _number(row["list_price"]), product.list_price)
        made.see("cost prices", code, _number(row["cost_price"]), product.cost_price)
        for language, name in row["names"].items():
            made.see("product names", f"{code} {language}", name, product.names.get(language, product.name))


def _stock(made: Comparison, theirs: dict[str, Any], products: dict[CrmId, Product], engine: Engine) -> None:
    warehouses: dict[CrmId, Warehouse] = _by_id(engine, EntityType.WAREHOUSE)
    levels: list[StockLevel] = list(_by_id(engine, EntityType.STOCK_LEVEL).values())
    ours = {(warehouses[level.warehouse_id].code, products[level.product_id].code): level for level in levels}
    for warehouse, rows in theirs.items():
        for code, row in rows.items():
            level = ours.get((warehouse, code))
            if level is None:  # services and inactive products have no level of their own: nothing may lie there
                made.see("stock levels", f"{warehouse} {code}", Decimal(row["quantity"]), Decimal(0))
                continue
            made.see("stock levels", f"{warehouse} {code}", Decimal(row["quantity"]), level.on_hand)
            forecast = level.on_hand - (level.reserved or 0) + (level.on_order or 0)
            made.see("stock forecasts", f"{warehouse} {code}", Decimal(row["forecast"]), forecast)


def _prices(made: Comparison, theirs: dict[str, Any], products: dict[CrmId, Product], engine: Engine) -> None:
    """Our pricing rule on what was pulled, beside what Tryton itself computes for the same list, quantity and unit."""
    lists = {price_list.name: price_list for price_list in _by_id(engine, EntityType.PRICE_LIST).values()}
    groups: dict[CrmId, UnitGroup] = _by_id(engine, EntityType.UNIT_GROUP)
    prices: dict[tuple[CrmId, CrmId], list[Price]] = {}
    for price in _by_id(engine, EntityType.PRICE).values():
        prices.setdefault((price.price_list_id, price.product_id), []).append(price)
    by_code = {product.code: product for product in products.values()}
    on = date.fromisoformat(theirs["today"])
    for row in theirs["prices"]:
        product, price_list = by_code[row["product"]], lists[row["price_list"]]
        assert product.id is not None
        assert price_list.id is not None
        candidates = prices.get((price_list.id, product.id), [])
        ours: Decimal | str | None = None
        if candidates:
            try:
                found = resolve_price(
                    product,
                    quantity=Decimal(row["quantity"]),
                    unit=theirs["units"][row["unit"]]["symbol"],
                    on=on,
                    price_list=price_list,
                    prices=candidates,
                    group=groups.get(product.unit_group_id) if product.unit_group_id is not None else None,
                )
                ours = round_to_places(exact(found.unit_price), _TRYTON_PLACES, Rounding.HALF_EVEN)
            except RuleFault as fault:
                ours = str(fault)
        key = f"{row['price_list']} {row['product']} from {row['quantity']} {row['unit']}"
        made.see("prices by list, quantity and unit", key, _number(row["unit_price"]), ours)


def _customers(made: Comparison, theirs: dict[str, Any], accounts: dict[CrmId, Account], engine: Engine) -> None:
    credits_: dict[CrmId, Credit] = {row.account_id: row for row in _by_id(engine, EntityType.CREDIT).values()}
    by_code = {account.code: account for account in accounts.values()}
    for code, row in theirs.items():
        account = by_code.get(code)
        made.see("customer names", code, row["name"], account.name if account else None)
        credit = credits_.get(account.id) if account and account.id is not None else None
        if account is None or credit is None:
            made.see("customers' credit", code, "told", "absent")
            continue
        made.see("credit limits", code, _number(row["credit_limit"]), credit.limit)
        owed = (credit.open_receivables or Decimal(0)) + (credit.open_orders or Decimal(0))
        made.see("credit exposures", code, _number(row["credit_amount"]), owed)


def _invoices(made: Comparison, theirs: dict[str, Any], accounts: dict[CrmId, Account], engine: Engine) -> None:
    invoices: dict[CrmId, Invoice] = _by_id(engine, EntityType.INVOICE)
    ours = {invoice.number: invoice for invoice in invoices.values() if invoice.number}
    made.see("invoice numbers", "all", sorted(theirs), sorted(ours))
    for number, row in theirs.items():
        invoice = ours.get(number)
        if invoice is None:
            continue
        made.see("invoice states", number, row["state"], invoice.status)
        made.see("invoice customers", number, row["customer"], accounts[invoice.account_id].code)
        made.see("invoice totals", number, _number(row["total"]), invoice.total_amount)
        made.see("open amounts", number, _number(row["amount_to_pay"]), invoice.open_amount)


def _sales(made: Comparison, theirs: dict[str, Any], accounts: dict[CrmId, Account], engine: Engine) -> None:
    orders: dict[CrmId, Order] = _by_id(engine, EntityType.ORDER)
    ours = {order.reference: order for order in orders.values() if order.reference}
    for reference, row in theirs.items():
        order = ours.get(reference)
        made.see("order numbers", reference, row["number"], order.number if order else None)
        if order is not None:
            made.see("order customers", reference, row["customer"], accounts[order.account_id].code)
            made.see("order totals", reference, _number(row["total"]), order.total_amount)
