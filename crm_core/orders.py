"""What must hold of an order before it leaves the CRM. Pure; tells every fault with its field, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.account import Account
from crm_core.model.catalogue import PriceList, Product, UnitGroup
from crm_core.model.sales import Order, OrderLine
from crm_core.money import Rounding, exact, minor_units, round_to_places
from crm_core.units import base_unit_of, convert

Fault = tuple[str, str]
"""(field, what is wrong with it): `lines[2].unit`."""


def line_amount(line: OrderLine, currency: str) -> Decimal:
    """Quantity x unit price less the discount, rounded half up to the currency's minor unit, without tax."""
    share = 1 - exact(line.discount_percent or Decimal(0)) / 100
    value = exact(line.quantity) * exact(line.unit_price) * share
    return round_to_places(value, minor_units(currency), Rounding.HALF_UP)


def faults_of_order(
    order: Order,
    *,
    account: Account | None,
    products: Mapping[CrmId, Product],
    unit_groups: Mapping[CrmId, UnitGroup],
    price_list: PriceList | None = None,
    checks_amounts: bool = True,
) -> list[Fault]:
    """Everything that is wrong with an order; empty when it may go out.

    account: None = there is none of that id. products, unit_groups: those that the lines refer to, as far as they
    exist. price_list: the account's. checks_amounts: False for an order whose amounts the back office computed.
    """
    faults: list[Fault] = []
    if account is None:
        faults.append(("account_id", f"there is no account {order.account_id}"))
    elif account.status == "inactive":
        faults.append(("account_id", f"account {account.code!r} is inactive"))
    if price_list is not None and price_list.currency != order.currency:
        text = (
            f"the order is in {order.currency}, the account's price list {price_list.code!r} in {price_list.currency}"
        )
        faults.append(("currency", text))
    if not order.lines:
        faults.append(("lines", "an order has at least one line"))
    codes: dict[str, int] = {}
    for place, line in enumerate(order.lines):
        first = codes.setdefault(line.code, place)
        if first != place:
            faults.append((f"lines[{place}].code", f"{line.code!r} is that of line {first} as well"))
        faults += [(f"lines[{place}].{name}", text) for name, text in _faults_of_line(line, products, unit_groups)]
    if checks_amounts and not faults:
        faults += faults_of_amounts(order)
    return faults


def _faults_of_line(
    line: OrderLine, products: Mapping[CrmId, Product], unit_groups: Mapping[CrmId, UnitGroup]
) -> list[Fault]:
    if line.quantity == 0:
        return [("quantity", "is 0")]
    if line.product_id is None:
        return []
    product = products.get(line.product_id)
    if product is None:
        return [("product_id", f"there is no product {line.product_id}")]
    if product.status == "inactive":
        return [("product_id", f"product {product.code!r} is inactive")]
    if line.unit is None:
        return []
    group = unit_groups.get(product.unit_group_id) if product.unit_group_id is not None else None
    base = product.base_unit or (base_unit_of(group) if group is not None else None)
    if base is None and not product.conversions:
        return []  # nothing is known of its units, so nothing can be said against this one
    try:
        convert(line.quantity, line.unit, base or line.unit, group, product.conversions, base_unit=product.base_unit)
    except RuleFault as fault:
        return [("unit", f"a quantity of {product.code!r} cannot be converted: {fault}")]
    return []


def faults_of_amounts(order: Order) -> list[Fault]:
    """Amounts that are given must be those of the lines, to the last rounding unit; those that are None are not."""
    try:
        computed = [line_amount(line, order.currency) for line in order.lines]
    except RuleFault as fault:
        return [("currency", str(fault))]
    faults: list[Fault] = []
    total = Fraction(0)
    for place, (line, amount) in enumerate(zip(order.lines, computed, strict=True)):
        if line.amount is not None and line.amount != amount:
            faults.append((f"lines[{place}].amount", f"is {line.amount:f}, the line comes to {amount:f}"))
        total += exact(amount)
    untaxed = round_to_places(total, minor_units(order.currency), Rounding.HALF_UP)
    if order.untaxed_amount is not None and order.untaxed_amount != untaxed:
        faults.append(("untaxed_amount", f"is {order.untaxed_amount:f}, the lines come to {untaxed:f}"))
    if order.total_amount is not None and order.tax_amount is not None:
        with_tax = exact(untaxed) + exact(order.tax_amount)
        if exact(order.total_amount) != with_tax:
            shown = round_to_places(with_tax, minor_units(order.currency), Rounding.HALF_UP)
            faults.append(("total_amount", f"is {order.total_amount:f}, lines and tax come to {shown:f}"))
    return faults
