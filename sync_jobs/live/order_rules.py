"""What speaks against an order that is not placed yet. Pure functions; `orders.py` fetches and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from crm_core.credit import Outcome, Policy
from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.catalogue import Product
from crm_core.model.sales import Order, OrderLine
from crm_core.money import Rounding, exact, find_decimal, minor_units, round_to_places
from crm_core.orders import faults_of_order, line_amount
from crm_core.units import convert
from sync_jobs.live.answers import CheckReason, DraftLine, OrderDraft, PriceLine, PriceLineAnswer, StockAnswer
from sync_jobs.live.prices import PriceBook, our_price
from sync_jobs.live.stock import available_of
from sync_jobs.sales_settings import SalesSettings

OUTCOMES = {Policy.ALLOW: Outcome.OK, Policy.WARN: Outcome.WARN, Policy.BLOCK: Outcome.BLOCK}
_GRAVITY = {Outcome.OK: 0, Outcome.WARN: 1, Outcome.BLOCK: 2}


def gravest(reasons: Sequence[CheckReason]) -> Outcome:
    """The verdict that these reasons come to."""
    return max((reason.outcome for reason in reasons), key=_GRAVITY.__getitem__, default=Outcome.OK)


def milder(one: Outcome, other: Outcome) -> Outcome:
    """The less grave of two."""
    return min(one, other, key=_GRAVITY.__getitem__)


def currency_of(draft: OrderDraft, book: PriceBook) -> str | None:
    """What the order is in: as asked for, else as the price list, the account or its products say."""
    if draft.currency is not None:
        return draft.currency
    if book.price_list is not None:
        return book.price_list.currency
    told = {product.currency for product in book.products.values() if product.currency is not None}
    return book.account.currency or (next(iter(told)) if len(told) == 1 else None)


def priced(draft: OrderDraft, book: PriceBook, on: date, currency: str | None) -> tuple[PriceLineAnswer, ...]:
    """Each line's price: the given one, else ours."""
    return tuple(_priced(line, book, on, currency) for line in draft.lines)


def _priced(line: DraftLine, book: PriceBook, on: date, currency: str | None) -> PriceLineAnswer:
    ours = our_price(book, PriceLine(line.product_id, line.quantity, line.unit), on, currency)
    product = book.products.get(line.product_id)
    if line.unit_price is None or product is None or currency is None:
        return ours
    value = exact(line.quantity) * exact(line.unit_price)
    told = f"; by the lists it is {ours.unit_price:f}" if ours.unit_price is not None else ""
    return replace(
        ours,
        unit=line.unit or book.base_unit(product),
        currency=currency,
        unit_price=line.unit_price,
        amount=round_to_places(value, minor_units(currency), Rounding.HALF_UP),
        discounts=(),
        list_used=None,
        steps=(f"the price is given with the order{told}",),
        error=None,
    )


def order_of(draft: OrderDraft, prices: Sequence[PriceLineAnswer], currency: str, on: date) -> Order:
    """The order as it would be stored; a line without a price has none that counts (its reason blocks the order)."""
    lines = [
        OrderLine(
            code=str(place),
            product_id=line.product_id,
            quantity=line.quantity,
            unit=price.unit,
            unit_price=price.unit_price if price.unit_price is not None else Decimal(0),
        )
        for place, (line, price) in enumerate(zip(draft.lines, prices, strict=True), start=1)
    ]
    amounts = [line_amount(line, currency) for line in lines]
    houses = {line.warehouse_id for line in draft.lines}
    return Order(
        account_id=draft.account_id,
        status="confirmed",
        order_date=on,
        requested_date=draft.requested_date,
        reference=draft.reference,
        currency=currency,
        warehouse_id=next(iter(houses)) if len(houses) == 1 else None,
        untaxed_amount=sum(amounts, Decimal(0)),
        lines=tuple(line.model_copy(update={"amount": a}) for line, a in zip(lines, amounts, strict=True)),
    )


def rule_reasons(draft: OrderDraft, book: PriceBook, order: Order | None) -> list[CheckReason]:
    """What no order may be like, whatever the policies."""
    if order is None:
        text = "the order has no currency: neither it nor a price list, the account or its products name one"
        return [CheckReason("rule", Outcome.BLOCK, text)]
    faults = faults_of_order(
        order,
        account=book.account,
        products=book.products,
        unit_groups=book.groups,
        price_list=book.price_list,
        checks_amounts=False,
    )
    reasons = [CheckReason("rule", Outcome.BLOCK, f"{field}: {text}", _line_of(field)) for field, text in faults]
    if len({line.warehouse_id for line in draft.lines}) > 1:
        text = "its lines come from several warehouses, and an order has one: make an order for each"
        reasons.append(CheckReason("rule", Outcome.BLOCK, f"lines: {text}"))
    return reasons


def _line_of(field: str) -> int | None:
    head, _, rest = field.partition("[")
    place = rest.partition("]")[0]
    return int(place) if head == "lines" and place.isdecimal() else None


def price_reasons(prices: Sequence[PriceLineAnswer]) -> list[CheckReason]:
    """A line without a price cannot be ordered: nobody may guess what it costs."""
    return [
        CheckReason("price", Outcome.BLOCK, price.error, place)
        for place, price in enumerate(prices)
        if price.error is not None
    ]


def is_stocked(product: Product | None) -> bool:
    """Whether there is stock of such a product at all."""
    return product is not None and product.kind != "service"


def stock_reasons(
    draft: OrderDraft, book: PriceBook, stock: Mapping[CrmId, StockAnswer], settings: SalesSettings
) -> list[CheckReason]:
    """What cannot be had now; lines for the same goods add up."""
    short, doubt = OUTCOMES[settings.stock], OUTCOMES[settings.unknown]
    reasons = []
    wanted: dict[tuple[CrmId, CrmId | None], Fraction] = {}
    for place, line in enumerate(draft.lines):
        product, answer = book.products.get(line.product_id), stock.get(line.product_id)
        if product is None or answer is None or line.quantity <= 0:
            continue
        available, is_certain = available_of(answer, line.warehouse_id)
        if available is None:
            why = next((source.reason for source in answer.sources if source.reason), "no back office tells")
            text = f"how much of {product.code!r} there is, is not known: {why}"
            reasons.append(CheckReason("stock_unknown", milder(short, doubt), text, place))
            continue
        key = (line.product_id, line.warehouse_id)
        try:
            wanted[key] = wanted.get(key, Fraction(0)) + _in_unit(line, answer.unit, product, book)
        except RuleFault as fault:
            reasons.append(CheckReason("stock_unknown", milder(short, doubt), str(fault), place))
            continue
        if wanted[key] > exact(available):
            told = find_decimal(wanted[key])
            most = "" if is_certain else "at most "
            text = (
                f"{told if told is None else format(told, 'f')} {answer.unit or ''} of {product.code!r} wanted,"
                f" {most}{available:f} to be had"
            )
            reasons.append(CheckReason("stock", short, text, place))
        elif not is_certain:
            text = f"{available:f} of {product.code!r} on hand; what of it is promised to others is not told"
            reasons.append(CheckReason("stock_unknown", milder(Outcome.WARN, milder(short, doubt)), text, place))
    return reasons


def _in_unit(line: DraftLine, unit: str | None, product: Product, book: PriceBook) -> Fraction:
    base = book.base_unit(product)
    source = line.unit or base
    if source == unit or unit is None or source is None:
        return exact(line.quantity)
    return convert(
        line.quantity, source, unit, book.group_of(product), product.conversions, base_unit=product.base_unit
    )
