"""Products, prices and stock of the company to begin with, and new ones for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from simulators.sap_s4hana.books import Row
from simulators.sap_s4hana.office import Office
from simulators.sap_s4hana.values import Value

FIRST_MOMENT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
FOREVER = date(9999, 12, 31)
_PER_MOMENT = 7  # so many records share one stamp: a reader must not lose any at the tie
_NOUNS = ("Table", "Chair", "Lamp", "Shelf", "Desk", "Cabinet", "Frame", "Bracket", "Hinge")
_GERMAN = ("Tisch", "Stuhl", "Lampe", "Regal", "Pult", "Schrank", "Rahmen", "Winkel", "Scharnier")


def moment(number: int) -> datetime:
    """When the nth record of a kind was changed last: seven share each moment, which has microseconds."""
    return FIRST_MOMENT + timedelta(seconds=number // _PER_MOMENT * 61, microseconds=number // _PER_MOMENT * 37_013)


def customer_number(number: int) -> str:
    """Of the nth customer, which is its business partner's as well."""
    return str(10_000_001 + number)


# -- products ---------------------------------------------------------------------------------------------------------


def product_number(number: int) -> str:
    """Every third one is a number, which SAP stores with leading zeros and tells without."""
    return f"{1_000_000 + number}" if number % 3 == 2 else f"TG{number:04d}"


def add_product(office: Office, number: int) -> Row:
    """The nth product with descriptions, units and sales data."""
    books, (organization, channel, _) = office.books, office.company.area
    code, unit = product_number(number), "KG" if number % 4 == 3 else "PC"
    plants = list(office.company.plants)
    row = books.insert(
        "A_Product",
        {
            "Product": code,
            "ProductType": "HAWA" if number % 2 else "FERT",
            "BaseUnit": unit,
            "GrossWeight": Decimal(number % 90 + 10) / 8,
            "NetWeight": Decimal(number % 90 + 10) / 10,
            "WeightUnit": "KG",
            "ProductGroup": f"L00{number % 5}",
            "CountryOfOrigin": "DE",
            "ItemCategoryGroup": "NORM",
            "Division": "00",
            "ProductOldID": f"OLD-{number}",
            "ProductStandardID": gtin(number) if number % 4 else "",
            "IsMarkedForDeletion": number % 10 == 7,
            "LastChangeDateTime": moment(number),
        },
    )
    texts = {"EN": f"{_NOUNS[number % 9]} {number + 1}", "DE": f"{_GERMAN[number % 9]} {number + 1}"}
    if number % 5 == 0:
        texts["TH"] = f"สินค้า {number + 1}"
    for language, text in texts.items():
        books.insert("A_ProductDescription", {"Product": code, "Language": language, "ProductDescription": text})
    units = {unit: (1, 1), "BOX": (12, 1), "LBR": (3, 7)} if number % 2 == 0 else {unit: (1, 1)}
    for name, (numerator, denominator) in units.items():
        books.insert(
            "A_ProductUnitsOfMeasure",
            {
                "Product": code,
                "AlternativeUnit": name,
                "QuantityNumerator": Decimal(numerator),
                "QuantityDenominator": Decimal(denominator),
                "GlobalTradeItemNumber": gtin(10_000 + number) if name == "BOX" else "",
            },
        )
    books.insert("A_ProductSales", {"Product": code, "TaxClassification": "1"})
    if number % 10 != 6:
        books.insert(
            "A_ProductSalesDelivery",
            {
                "Product": code,
                "ProductSalesOrg": organization,
                "ProductDistributionChnl": channel,
                "SupplyingPlant": plants[0],
                "ItemCategoryGroup": "NORM",
                "MinimumOrderQuantity": Decimal(1),
                "ProductSalesStatus": "01" if number % 10 == 8 else "",
                "ProductSalesStatusValidityDate": date(2026, 1, 1) if number % 10 == 8 else None,
            },
        )
    return row


def stamp_product(office: Office, row: Row, changes: Mapping[str, Value]) -> Row:
    """A change of a product, with its stamp."""
    stamp = office.stamp_after(row["LastChangeDateTime"])
    return office.books.change("A_Product", row, {**changes, "LastChangeDateTime": stamp})


def gtin(number: int) -> str:
    """A GTIN-13 with a right check digit, of the range for use inside a company (prefix 20)."""
    digits = f"20{number:010d}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


# -- prices and stock -------------------------------------------------------------------------------------------------


def price_of(number: int) -> Decimal:
    """The nth product's price for everybody, in EUR."""
    return Decimal(1_000 + number * 37 % 9_000) / 100


def add_prices(office: Office, number: int) -> None:
    """The nth product's prices: for everybody, of a price list with a scale, of a customer, in dollars."""
    product = product_number(number)
    unit = office.books.get("A_Product", product)["BaseUnit"]
    price = price_of(number)
    add_condition(office, product, price, unit=unit)
    if number % 2 == 0:
        scale = ((1, price - 1), (10, price - 2), (100, price - 3))
        add_condition(office, product, price - 1, unit=unit, table="305", scale=scale, PriceListType="01")
    if number % 3 == 0:
        add_condition(office, product, price - 2, unit=unit, table="304", Customer=customer_number(4))
    if number % 4 == 0:
        add_condition(office, product, price * 2, unit=unit, per=4, currency="USD")


def add_condition(
    office: Office,
    product: str,
    rate: Decimal,
    *,
    unit: Value = "PC",
    per: int = 1,
    currency: str = "EUR",
    table: str = "306",
    condition_type: str = "PPR0",
    calculation: str = "C",
    days: tuple[date, date] = (date(2026, 1, 1), FOREVER),
    scale: tuple[tuple[int, Decimal], ...] = (),
    **key: Value,
) -> Row:
    """A condition record for a product; `key` says for whom else than everybody (or where) it holds."""
    books, (organization, channel, _) = office.books, office.company.area
    record = books.next_number("ConditionRecord", 10_000).zfill(10)
    stamp = moment(int(record))
    etag = f"{stamp:%Y%m%d%H%M%S%f}"
    head: dict[str, Value] = {"ConditionApplication": "V", "ConditionType": condition_type}
    row = books.insert(
        "A_SlsPrcgConditionRecord",
        {
            **head,
            "ConditionRecord": record,
            "ConditionTable": table,
            "ConditionCalculationType": calculation,
            "PricingScaleType": "A" if scale else "",
            "PricingScaleBasis": "C" if scale else "",
            "ConditionRateValue": rate,
            "ConditionRateValueUnit": currency,
            "ConditionCurrency": "" if calculation == "A" else currency,
            "ConditionQuantity": Decimal(per),
            "ConditionQuantityUnit": unit,
            "LastChangeDateTime": stamp,
            "ETag": etag,
        },
    )
    books.insert(
        "A_SlsPrcgCndnRecdValidity",
        {
            **head,
            "ConditionRecord": record,
            "ConditionValidityStartDate": days[0],
            "ConditionValidityEndDate": days[1],
            "SalesOrganization": organization,
            "DistributionChannel": channel,
            "Material": product,
            "ETag": etag,
            **key,
        },
    )
    for line, (quantity, amount) in enumerate(scale, start=1):
        books.insert(
            "A_SlsPrcgCndnRecordScale",
            {
                "ConditionRecord": record,
                "ConditionSequentialNumber": "1",
                "ConditionScaleLine": str(line),
                "ConditionScaleQuantity": Decimal(quantity),
                "ConditionScaleQuantityUnit": unit,
                "ConditionRateValue": amount,
                "ConditionRateValueUnit": currency,
                "ConditionCurrency": currency,
                "ETag": etag,
            },
        )
    return row


def add_stocks(office: Office, number: int) -> None:
    """Unrestricted stock in two storage locations and a batch; beside it what must not be counted."""
    product, plants = product_number(number), list(office.company.plants)
    add_stock(office, product, plants[0], Decimal(number % 50 * 3), StorageLocation="101A")
    add_stock(office, product, plants[0], Decimal("2.5"), StorageLocation="101B", Batch="B1")
    add_stock(office, product, plants[0], Decimal(7), StorageLocation="101A", InventoryStockType="02")
    if number % 2 == 0:
        special: dict[str, Value] = {"InventorySpecialStockType": "K", "Supplier": "SUP1"}
        add_stock(office, product, plants[0], Decimal(1_000), StorageLocation="101A", **special)
    if number % 3 != 1:
        add_stock(office, product, plants[-1], Decimal(number % 20), StorageLocation="102A")


def add_stock(office: Office, product: str, plant: str, quantity: Decimal, **key: Value) -> Row:
    """A row of stock, unrestricted unless `key` says otherwise."""
    values: dict[str, Value] = {
        "Material": product,
        "Plant": plant,
        "InventoryStockType": "01",
        "MaterialBaseUnit": office.books.get("A_Product", product)["BaseUnit"],
        "MatlWrhsStkQtyInMatlBaseUnit": quantity,
    }
    return office.books.insert("A_MatlStkInAcctMod", {**values, **key})
