"""The price of a line, from a list, a quantity, a unit, a date and discounts; every step can be told.

The rules, in this order:

1.  A list counts when it is active and the date lies in its validity; so does each of its prices. Both ends are
    inclusive.
2.  Prices per the line's own unit win over prices per another unit. Among them wins the highest `minimum_quantity`
    that the quantity reaches, converted exactly; a return (negative quantity) is priced like the sale.
3.  Two prices at the same break: the later `valid_from`, then the earlier `valid_to` (a promotion inside a season).
    If they still differ, there is no answer: RuleFault.
4.  The price is its amount, or its percentage of the product's list price per the same unit; then the list's
    rounding rule.
5.  No price: the product's list price when it is in the same currency; else RuleFault.
6.  The discount list of the price, or else the account's: never both. Its breaks and amounts count in the unit of the
    price.
7.  Never below zero. The result is then converted exactly to the line's unit. Only the line's amount is rounded to the
    minor unit of its currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.catalogue import DiscountList, Price, PriceList, Product, Status, UnitGroup
from crm_core.money import Money, Rounding, exact, find_decimal, minor_units, round_to_multiple, round_to_places
from crm_core.units import base_unit_of, ratio

ENDLESS_PRICE_DECIMALS = 12
"""Decimals of a unit price that has no end (10.00 a dozen, per piece); the line's amount is not affected."""


@dataclass(frozen=True, slots=True)
class AppliedDiscount:
    """What was taken off one unit of the line, and why. `amount` is as exact as the unit price."""

    code: str
    amount: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePrice:
    """The price of a line.

    unit_price, list_price: per `unit` (None = the product's base unit), in `currency`, possibly finer than its minor
    unit; list_price is None when the product has none in this currency. is_exact: unit_price has an end and was not
    cut. amount: quantity times the exact unit price, rounded once. price: None when it is the product's list price.
    """

    quantity: Decimal
    unit: str | None
    currency: str
    unit_price: Decimal
    is_exact: bool
    amount: Money
    list_price: Decimal | None
    price_list: PriceList | None
    price: Price | None
    discounts: tuple[AppliedDiscount, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Units:
    """The units of one product."""

    product: Product
    group: UnitGroup | None
    base: str | None

    def ratio(self, from_unit: str | None, to_unit: str | None) -> Fraction:
        """How many `to_unit` one `from_unit` is; None = the base unit."""
        source, target = from_unit or self.base, to_unit or self.base
        if source == target:
            return Fraction(1)
        if source is None or target is None:
            raise RuleFault(f"product {self.product.code!r} has no base unit that {source or target!r} could count in")
        return ratio(source, target, self.group, self.product.conversions, base_unit=self.base)


def resolve_price(
    product: Product,
    *,
    quantity: Decimal,
    unit: str | None,
    on: date,
    price_list: PriceList | None = None,
    prices: Iterable[Price] = (),
    group: UnitGroup | None = None,
    discount_list: DiscountList | None = None,
    discount_lists: Mapping[CrmId, DiscountList] | None = None,
    currency: str | None = None,
    amount_rounding: Rounding = Rounding.HALF_UP,
) -> LinePrice:
    """The price of `quantity` `unit` of a product on a day, by the rules at the top of this module.

    unit: None = the product's base unit. price_list and discount_list: the account's. prices: candidates; those of
    another list or product are passed over. discount_lists: by id, those that the prices name. currency: what the
    order is in; None = the list's, else the product's.
    Raises RuleFault where there is no answer: no price, another currency, an unknown unit, two prices that differ and
    are equally good.
    """
    currency = _currency(product, price_list, currency)
    units = _Units(product, group, product.base_unit or (base_unit_of(group) if group else None))
    line_unit = unit or units.base
    steps: list[str] = []
    chosen = None
    if price_list is None:
        steps.append("no price list")
    elif reason := _reason_not_to_use(price_list.status, price_list.valid_from, price_list.valid_to, on):
        steps.append(f"price list {price_list.code!r} is {reason}")
    else:
        chosen = _choose(product, price_list, prices, units, quantity, line_unit, on)
        if chosen is None:
            steps.append(f"price list {price_list.code!r} has no price for {product.code!r} on {on} at this quantity")
    if chosen is not None and price_list is not None:
        price_unit = chosen.unit or units.base
        value = _list_value(product, price_list, chosen, units, steps)
    else:
        price_unit = units.base
        value = exact(_get_list_price(product, currency))
        steps.append(f"the product's own list price: {_text(value)} {currency}{_per(price_unit)}")
    if value < 0:
        raise RuleFault(f"the price of {product.code!r} is below zero: {_text(value)} {currency}")

    per_line_unit = units.ratio(line_unit, price_unit)
    discounts: tuple[AppliedDiscount, ...] = ()
    if (used_list := _discount_list_for(chosen, discount_list, discount_lists or {})) is not None:
        reached = abs(exact(quantity)) * per_line_unit
        taken_off, reason = _discount(used_list, value, reached, price_unit, currency, on)
        steps.append(f"discount list {used_list.code!r}: {reason}")
        if taken_off:
            value -= taken_off
            applied = _price_decimal(taken_off * per_line_unit, currency)
            discounts = (AppliedDiscount(used_list.code, applied, reason),)
    unit_value = value * per_line_unit
    if per_line_unit != 1:
        steps.append(
            f"1 {line_unit} = {_text(per_line_unit)} {price_unit}: {_text(unit_value)} {currency}{_per(line_unit)}"
        )
    amount = round_to_places(unit_value * exact(quantity), minor_units(currency), amount_rounding)
    steps.append(f"{quantity:f} x {_text(unit_value)} = {amount:f} {currency}")
    return LinePrice(
        quantity=quantity,
        unit=line_unit,
        currency=currency,
        unit_price=_price_decimal(unit_value, currency),
        is_exact=find_decimal(unit_value) is not None,
        amount=Money(amount, currency),
        list_price=_find_list_price(product, currency, units, line_unit),
        price_list=price_list if chosen is not None else None,
        price=chosen,
        discounts=discounts,
        steps=tuple(steps),
    )


def _currency(product: Product, price_list: PriceList | None, asked: str | None) -> str:
    if price_list is not None and asked is not None and price_list.currency != asked:
        raise RuleFault(f"price list {price_list.code!r} is in {price_list.currency}, the order in {asked}")
    currency = asked or (price_list.currency if price_list else product.currency)
    if currency is None:
        raise RuleFault(f"product {product.code!r} has no currency, and there is no price list")
    return currency


def _reason_not_to_use(status: Status, valid_from: date | None, valid_to: date | None, on: date) -> str | None:
    if status != "active":
        return status
    if valid_from is not None and on < valid_from:
        return f"valid from {valid_from} only"
    if valid_to is not None and on > valid_to:
        return f"valid until {valid_to} only"
    return None


def _choose(
    product: Product,
    price_list: PriceList,
    prices: Iterable[Price],
    units: _Units,
    quantity: Decimal,
    line_unit: str | None,
    on: date,
) -> Price | None:
    valid = [
        price
        for price in prices
        if price.price_list_id == price_list.id
        and price.product_id == product.id
        and _reason_not_to_use("active", price.valid_from, price.valid_to, on) is None
    ]
    own = [price for price in valid if (price.unit or units.base) == line_unit]
    other = [price for price in valid if (price.unit or units.base) != line_unit]
    wanted = abs(exact(quantity))
    for candidates in (own, other):
        breaks = [(exact(price.minimum_quantity) * units.ratio(price.unit, line_unit), price) for price in candidates]
        reached = [(minimum, price) for minimum, price in breaks if minimum <= wanted]
        if reached:
            highest = max(minimum for minimum, _ in reached)
            chosen = _most_recent([price for minimum, price in reached if minimum == highest])
            if chosen.currency != price_list.currency:
                raise RuleFault(
                    f"price list {price_list.code!r} is in {price_list.currency}, "
                    f"its price for {product.code!r} in {chosen.currency}"
                )
            return chosen
    return None


def _most_recent(equals: list[Price]) -> Price:
    """Rule 3: the later start, then the earlier end; RuleFault when prices that differ are left."""
    latest = max(price.valid_from or date.min for price in equals)
    equals = [price for price in equals if (price.valid_from or date.min) == latest]
    soonest = min(price.valid_to or date.max for price in equals)
    equals = [price for price in equals if (price.valid_to or date.max) == soonest]
    if len({(p.amount, p.percent_of_list, p.currency, p.unit, p.discount_list_id) for p in equals}) > 1:
        names = ", ".join(sorted(str(price.id) for price in equals))
        raise RuleFault(f"prices {names} differ and have the same break and the same validity")
    return min(equals, key=lambda price: price.id or 0)


def _list_value(product: Product, price_list: PriceList, price: Price, units: _Units, steps: list[str]) -> Fraction:
    """Rule 4: per the price's own unit, rounded as the list says."""
    unit, currency = price.unit or units.base, price_list.currency
    source = f"price list {price_list.code!r}, from {price.minimum_quantity:f}{' ' + unit if unit else ''}"
    if price.percent_of_list is not None:
        whole = exact(_get_list_price(product, currency)) * units.ratio(unit, units.base)
        value = whole * exact(price.percent_of_list) / 100
        steps.append(f"{source}: {price.percent_of_list:f} % of {_text(whole)} = {_text(value)} {currency}{_per(unit)}")
    else:
        value = exact(price.amount if price.amount is not None else Decimal(0))
        steps.append(f"{source}: {_text(value)} {currency}{_per(unit)}")
    if price_list.rounding_increment is not None:
        rounding = Rounding(price_list.rounding_mode)
        rounded = round_to_multiple(value, exact(price_list.rounding_increment), rounding)
        if rounded != value:
            steps.append(f"rounded {rounding} to a multiple of {price_list.rounding_increment:f}: {_text(rounded)}")
        value = rounded
    return value


def _get_list_price(product: Product, currency: str) -> Decimal:
    if product.list_price is None:
        raise RuleFault(f"no price for {product.code!r}: it has no list price either")
    if product.currency != currency:
        told = f"in {product.currency}" if product.currency else "without a currency"
        raise RuleFault(f"no price for {product.code!r} in {currency}: its list price is {told}")
    return product.list_price


def _find_list_price(product: Product, currency: str, units: _Units, unit: str | None) -> Decimal | None:
    if product.list_price is None or product.currency != currency:
        return None
    try:
        per_unit = units.ratio(unit, units.base)
    except RuleFault:
        # It is shown beside the price; a price per a unit without a conversion is a price all the same.
        return None
    return _price_decimal(exact(product.list_price) * per_unit, currency)


def _discount_list_for(
    price: Price | None, of_account: DiscountList | None, by_id: Mapping[CrmId, DiscountList]
) -> DiscountList | None:
    if price is None or price.discount_list_id is None:
        return of_account
    if price.discount_list_id not in by_id:
        raise RuleFault(f"discount list {price.discount_list_id} of the price is not at hand")
    return by_id[price.discount_list_id]


def _discount(
    discounts: DiscountList, value: Fraction, reached: Fraction, unit: str | None, currency: str, on: date
) -> tuple[Fraction, str]:
    """What comes off one `unit` (never more than its price), and why; 0 when no break is reached."""
    if reason := _reason_not_to_use(discounts.status, discounts.valid_from, discounts.valid_to, on):
        return Fraction(0), reason
    below = [item for item in discounts.breaks if exact(item.minimum_quantity) <= reached]
    if not below:
        return Fraction(0), f"no break at {_text(reached)}{' ' + unit if unit else ''}"
    start = max(item.minimum_quantity for item in below)
    values = {item.value for item in below if item.minimum_quantity == start}
    if len(values) > 1:
        raise RuleFault(f"discount list {discounts.code!r} has two discounts from {start:f}")
    rate = values.pop()
    told = f"from {start:f}{' ' + unit if unit else ''}: "
    if discounts.kind == "percentage":
        taken_off, told = value * exact(rate) / 100, f"{told}{rate:f} %"
    elif discounts.currency != currency:
        raise RuleFault(f"discount list {discounts.code!r} is in {discounts.currency or 'no currency'}, not {currency}")
    else:
        taken_off, told = exact(rate), f"{told}{rate:f} {currency}{_per(unit)}"
    if taken_off > value:
        return value, f"{told}, cut at the price: never below zero"
    return taken_off, told


def _price_decimal(value: Fraction, currency: str) -> Decimal:
    """Exact with at least the minor unit's decimals; cut only when the number has no end."""
    result = find_decimal(value)
    if result is None:
        return round_to_places(value, ENDLESS_PRICE_DECIMALS, Rounding.HALF_EVEN)
    places = minor_units(currency)
    return result if -int(result.as_tuple().exponent) >= places else round_to_places(value, places, Rounding.DOWN)


def _per(unit: str | None) -> str:
    return f" per {unit}" if unit else ""


def _text(value: Fraction) -> str:
    result = find_decimal(value)
    return f"{result:f}" if result is not None else str(value)
