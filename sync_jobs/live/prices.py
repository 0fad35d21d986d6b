"""The price of each line: ours by the CRM's lists, theirs where the back office computes one. Errors are per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from connectors.abilities import LineAnswer, OrderAnswer
from crm_core.errors import EntityAbsent, RuleFault
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account
from crm_core.model.catalogue import DiscountList, Price, PriceList, Product, UnitGroup
from crm_core.money import exact, find_decimal
from crm_core.pricing import resolve_price
from crm_core.store import sales as store
from crm_core.store.session import Session
from crm_core.units import base_unit_of, ratio
from sync_jobs.live.answers import Discount, PriceLine, PriceLineAnswer, Source


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Everything that prices of one account and some products are made of."""

    account: Account
    products: Mapping[CrmId, Product]
    groups: Mapping[CrmId, UnitGroup]
    price_list: PriceList | None
    prices: Sequence[Price]
    discount_list: DiscountList | None
    discount_lists: Mapping[CrmId, DiscountList]

    def group_of(self, product: Product) -> UnitGroup | None:
        """The unit group of a product."""
        return self.groups.get(product.unit_group_id) if product.unit_group_id is not None else None

    def base_unit(self, product: Product) -> str | None:
        """What its quantities count in."""
        group = self.group_of(product)
        return product.base_unit or (base_unit_of(group) if group is not None else None)


def price_book(session: Session, account_id: CrmId, product_ids: Sequence[CrmId]) -> PriceBook:
    """Raises EntityAbsent for an account that there is not; a product that there is not is an error of its line."""
    account = store.entities_by_id(session, EntityType.ACCOUNT, [account_id]).get(account_id)
    if not isinstance(account, Account):
        raise EntityAbsent(f"the CRM has no account {account_id}")
    products = {
        crm_id: product
        for crm_id, product in store.entities_by_id(session, EntityType.PRODUCT, product_ids).items()
        if isinstance(product, Product)
    }
    group_ids = [product.unit_group_id for product in products.values() if product.unit_group_id is not None]
    groups = {
        crm_id: group
        for crm_id, group in store.entities_by_id(session, EntityType.UNIT_GROUP, group_ids).items()
        if isinstance(group, UnitGroup)
    }
    price_list, prices = None, []
    if account.price_list_id is not None:
        found = store.entities_by_id(session, EntityType.PRICE_LIST, [account.price_list_id])
        price_list = next((one for one in found.values() if isinstance(one, PriceList)), None)
        rows = store.prices_for(session, account.price_list_id, list(products)) if products else []
        prices = [price for price in rows if isinstance(price, Price)]
    wanted = {price.discount_list_id for price in prices} | {account.discount_list_id}
    discounts = {
        crm_id: one
        for crm_id, one in store.entities_by_id(
            session, EntityType.DISCOUNT_LIST, [crm_id for crm_id in wanted if crm_id is not None]
        ).items()
        if isinstance(one, DiscountList)
    }
    own = discounts.get(account.discount_list_id) if account.discount_list_id is not None else None
    return PriceBook(account, products, groups, price_list, prices, own, discounts)


def our_price(book: PriceBook, line: PriceLine, on: date, currency: str | None) -> PriceLineAnswer:
    """By the rules of `crm_core.pricing`; what has no price says why."""
    unknown = PriceLineAnswer(product_id=line.product_id, quantity=line.quantity, unit=line.unit)
    product = book.products.get(line.product_id)
    if product is None:
        return replace(unknown, error=f"the CRM has no product {line.product_id}")
    if book.account.price_list_id is not None and book.price_list is None:
        # The list decides: the product's own price in its place would be a guess.
        return replace(unknown, error=f"price list {book.account.price_list_id} of the account is not in the CRM")
    if book.account.discount_list_id is not None and book.discount_list is None:
        return replace(unknown, error=f"discount list {book.account.discount_list_id} of the account is not in the CRM")
    try:
        found = resolve_price(
            product,
            quantity=line.quantity,
            unit=line.unit,
            on=on,
            price_list=book.price_list,
            prices=[price for price in book.prices if price.product_id == line.product_id],
            group=book.group_of(product),
            discount_list=book.discount_list,
            discount_lists=book.discount_lists,
            currency=currency,
        )
    except RuleFault as fault:
        return replace(unknown, error=str(fault))
    return PriceLineAnswer(
        product_id=line.product_id,
        quantity=line.quantity,
        unit=found.unit,
        currency=found.currency,
        unit_price=found.unit_price,
        amount=found.amount.amount,
        list_price=found.list_price,
        list_used=found.price_list.code if found.price_list is not None else None,
        discounts=tuple(Discount(one.code, one.amount, one.reason) for one in found.discounts),
        steps=found.steps,
    )


def with_theirs(
    book: PriceBook, ours: Sequence[PriceLineAnswer], answer: OrderAnswer | None, source: Source
) -> tuple[PriceLineAnswer, ...]:
    """The lines with the unit price that the back office computes, converted to our unit where that is exact.

    answer: of as many lines, in the same order; None when it told nothing (source says why).
    """
    if answer is None:
        return tuple(replace(line, source=source) for line in ours)
    return tuple(
        replace(line, theirs=_their_price(book, line, theirs, answer.currency), source=source)
        for line, theirs in zip(ours, answer.lines, strict=True)
    )


def _their_price(book: PriceBook, ours: PriceLineAnswer, theirs: LineAnswer, currency: str | None) -> Decimal | None:
    product = book.products.get(ours.product_id)
    if product is None or theirs.unit_price is None or (ours.currency is not None and ours.currency != currency):
        return None
    base = book.base_unit(product)
    source, target = theirs.unit or base, ours.unit or base
    if source == target:
        return theirs.unit_price
    if source is None or target is None:
        return None
    try:
        per_unit = ratio(target, source, book.group_of(product), product.conversions, base_unit=base)
    except RuleFault:
        return None  # they sell it in a unit that the CRM does not know
    return find_decimal(exact(theirs.unit_price) * per_unit)
