"""What an item costs: a manual price, else the condition record that the access sequence finds; discount and tax."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from simulators.sap_s4hana.books import ENTITY_SETS, Row
from simulators.sap_s4hana.office import Office, refused
from simulators.sap_s4hana.values import Value, Values

STEPS = {"PPR0": "10", "DRN1": "200", "TTX1": "910"}
"""Where a condition type stands in the pricing procedure."""

_CONDITION = ENTITY_SETS["A_SlsPrcgConditionRecord"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose price of what is asked for."""

    customer: str
    area: Row
    material: str
    quantity: Decimal
    unit: str
    currency: str
    day: date


@dataclass(frozen=True, slots=True)
class Price:
    """rate: per `per` of `unit`. record: of the condition; empty for a manual one."""

    rate: Decimal
    per: Decimal
    unit: str
    currency: str
    record: str = ""


def in_unit(office: Office, material: str, quantity: Decimal, unit: str, wanted: str, target: str) -> Fraction:
    """A quantity in another unit of the product, exact. Raises Fault for a unit that it has not got."""
    if unit == wanted:
        return Fraction(quantity)
    return Fraction(quantity) * _factor(office, material, unit, target) / _factor(office, material, wanted, target)


def _factor(office: Office, material: str, unit: str, target: str) -> Fraction:
    row = office.books.find("A_ProductUnitsOfMeasure", material, unit)
    if row is None:
        raise refused("V1/384", f"Unit {unit} is not defined for material {material}", target)
    numerator, denominator = row["QuantityNumerator"], row["QuantityDenominator"]
    assert isinstance(numerator, Decimal)
    assert isinstance(denominator, Decimal)
    return Fraction(numerator) / Fraction(denominator)


def money(amount: Fraction) -> Decimal:
    """Rounded to cents, half up."""
    return Decimal(_rounded(amount * 100)) / 100


def _rounded(number: Fraction) -> int:
    sign = -1 if number < 0 else 1
    return sign * int(abs(number) + Fraction(1, 2))


def find_price(office: Office, asked: Asked) -> Price | None:
    """By customer, then price list type, then price group, then for everybody; None when there is none."""
    accesses: tuple[dict[str, str], ...] = (
        {"Customer": asked.customer},
        {"PriceListType": asked.area.text("PriceListType")},
        {"CustomerPriceGroup": asked.area.text("CustomerPriceGroup")},
        {},
    )
    found = list(_in_force(office, asked))
    for access in accesses:
        if not all(access.values()):
            continue
        for condition, validity in found:
            if all(
                validity[name] == access.get(name, "") for name in ("Customer", "PriceListType", "CustomerPriceGroup")
            ):
                return _price(office, condition, asked)
    return None


def _in_force(office: Office, asked: Asked) -> Iterator[tuple[Row, Row]]:
    books, (organization, channel, _) = office.books, office.company.area
    table = books.tables["A_SlsPrcgCndnRecdValidity"]
    number = table.schema.properties["Material"].sort_value(asked.material)
    for key in table.having(("Material",), (number,)):
        validity = table.rows[key]
        begins, ends = validity["ConditionValidityStartDate"], validity["ConditionValidityEndDate"]
        condition = books.find("A_SlsPrcgConditionRecord", validity["ConditionRecord"])
        is_ours = (validity["SalesOrganization"], validity["DistributionChannel"]) == (organization, channel)
        if (
            condition is not None
            and is_ours
            and condition["ConditionType"] in office.company.price_conditions
            and not condition["ConditionIsDeleted"]
            and not condition["ConditionReleaseStatus"]
            and condition["ConditionCurrency"] == asked.currency
            and not (validity["Plant"] or validity["Batch"])
            and begins <= asked.day <= ends  # type: ignore[operator]
        ):
            yield condition, validity


def _price(office: Office, condition: Row, asked: Asked) -> Price:
    rate, per = condition["ConditionRateValue"], condition["ConditionQuantity"]
    unit = condition.text("ConditionQuantityUnit")
    quantity = in_unit(office, asked.material, asked.quantity, asked.unit, unit, "RequestedQuantityUnit")
    for line in office.books.below(condition, _CONDITION, "to_SlsPrcgCndnRecordScale"):
        if Fraction(line["ConditionScaleQuantity"]) <= quantity:  # type: ignore[arg-type]
            rate = line["ConditionRateValue"]
    assert isinstance(rate, Decimal)
    assert isinstance(per, Decimal)
    return Price(rate, per, unit, condition.text("ConditionCurrency"), condition.text("ConditionRecord"))


@dataclass(frozen=True, slots=True)
class Priced:
    """What an item comes to, and the lines of its pricing."""

    net: Decimal
    tax: Decimal
    elements: tuple[dict[str, Value], ...]


def price_item(office: Office, asked: Asked, price: Price | None, discounts: list[Values], *, is_taxed: bool) -> Priced:
    """price: a manual one; None = to be found. discounts: the manual discounts' elements, rates below zero."""
    is_manual = price is not None
    price = price or find_price(office, asked)
    net, elements = Decimal(0), list[dict[str, Value]]()
    if price is not None:
        quantity = in_unit(office, asked.material, asked.quantity, asked.unit, price.unit, "ConditionQuantityUnit")
        net = money(quantity * Fraction(price.rate) / Fraction(price.per))
        elements.append(
            _element(
                "PPR0",
                price.rate,
                net,
                asked.currency,
                "C",
                price.record,
                is_manual=is_manual,
                ConditionCurrency=price.currency,
                ConditionQuantity=price.per,
                ConditionQuantityUnit=price.unit,
            )
        )
    gross = net
    for discount in discounts:
        rate = discount["ConditionRateValue"]
        assert isinstance(rate, Decimal)
        off = money(Fraction(gross) * Fraction(rate) / 100)
        net += off
        kind = str(discount["ConditionType"])
        elements.append(_element(kind, rate, off, asked.currency, "A", "", is_manual=True))
    percent = Decimal(office.company.tax_percent if is_taxed else 0)
    tax = (net * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
    elements.append(_element("TTX1", percent, tax, asked.currency, "A", "", is_manual=False))
    return Priced(net, tax, tuple(elements))


def _element(
    kind: str,
    rate: Decimal,
    amount: Decimal,
    currency: str,
    calculation: str,
    record: str,
    *,
    is_manual: bool,
    **more: Value,
) -> dict[str, Value]:
    return {
        "PricingProcedureStep": STEPS.get(kind, "100"),
        "PricingProcedureCounter": "1",
        "ConditionType": kind,
        "ConditionRateValue": rate,
        "ConditionAmount": amount,
        "ConditionCalculationType": calculation,
        "ConditionIsManuallyChanged": is_manual,
        "ConditionRecord": record,
        "TransactionCurrency": currency,
        **more,
    }


def is_taxed(office: Office, asked: Asked) -> bool:
    """Whether the customer is in the plants' own country."""
    partners = office.books.tables["A_BusinessPartner"]
    number = partners.schema.properties["Customer"].sort_value(asked.customer)
    for key in partners.having(("Customer",), (number,)):
        addresses = office.books.below(partners.rows[key], partners.schema, "to_BusinessPartnerAddress")
        return any(address["Country"] == "DE" for address in addresses[:1])
    return False


def number_of(value: Value) -> Decimal:
    """A number property's value."""
    assert isinstance(value, Decimal)
    return value
