"""Sales documents: their customer, lines with prices, discounts and tax, and totals.

Texts of errors: the AL pages of APIV2 and the tables of the base application, in English.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from simulators.business_central.data import Company, Row
from simulators.business_central.entity_set import NO_DATE, NO_ID
from simulators.business_central.odata import ODataError, Value

TAX_PERCENT = Decimal(20)
_FINEST = Decimal("0.00001")  # of a quantity, a unit price, a percentage


def money(company: Company, amount: Decimal, currency: str) -> Decimal:
    """Rounded half up to the currency's precision (0.01 when the currency is not in the company's list)."""
    row = company.tables["currencies"].find_by_natural_key(currency)
    precision = Decimal("0.01") if row is None else _decimal(row.values["amountRoundingPrecision"])
    return (amount / precision).quantize(Decimal(1), ROUND_HALF_UP) * precision


def customer_of(company: Company, values: Mapping[str, Value]) -> Row:
    """The customer that a document names by id or number. Raises ODataError (400) for none, or one that is blocked."""
    number, row_id = values.get("customerNumber"), values.get("customerId")
    table = company.tables["customers"]
    if number:
        row = table.find_by_natural_key(str(number))
    elif row_id and row_id != NO_ID:
        row = table.find(str(row_id))
    else:
        raise refused('A "customerNumber" or a "customerId" must be provided.')
    if row is None:
        raise refused("The sell-to customer cannot be found.")
    if number and row_id and row.values["id"] != row_id:
        raise refused("The sell-to customer values do not match to a specific Customer.")
    blocked = row.values["blocked"]
    if blocked != "_x0020_":  # Ship and Invoice too: an order would be shipped and invoiced
        raise refused(
            "You cannot create this type of document when Customer"
            f" {row.values['number']} is blocked with type {blocked}"
        )
    return row


def header_of(company: Company, customer: Row) -> dict[str, Value]:
    """The fields of a document that come from its customer."""
    source = customer.values
    header: dict[str, Value] = {
        "customerId": source["id"],
        "customerNumber": source["number"],
        "customerName": source["displayName"],
        "billToName": source["displayName"],
        "billToCustomerId": source["id"],
        "billToCustomerNumber": source["number"],
        "shipToName": source["displayName"],
        "currencyId": source["currencyId"],
        "currencyCode": source["currencyCode"],
        "paymentTermsId": source["paymentTermsId"],
        "shipmentMethodId": source["shipmentMethodId"],
        "phoneNumber": source["phoneNumber"],
        "email": source["email"],
    }
    for side in ("sellTo", "billTo", "shipTo"):
        header |= {
            f"{side}AddressLine1": source["addressLine1"],
            f"{side}AddressLine2": source["addressLine2"],
            f"{side}City": source["city"],
            f"{side}Country": source["country"],
            f"{side}State": source["state"],
            f"{side}PostCode": source["postalCode"],
        }
    return header


def line_values(company: Company, document: Mapping[str, Value], given: Mapping[str, Value]) -> dict[str, Value]:
    """A line as it is stored: what the client gave, completed from the item and calculated.

    Raises ODataError (400) for an unknown or blocked item, an unknown unit, a negative quantity.
    """
    values = dict(given)
    if values.setdefault("lineType", "Comment") == "Item":
        values |= _item_fields(company, given, str(document["currencyCode"]))
    for name in ("quantity", "unitPrice", "discountPercent"):
        if name in values:
            values[name] = _decimal(values[name]).quantize(_FINEST, ROUND_HALF_UP).normalize()
    quantity, price = _decimal(values.get("quantity")), _decimal(values.get("unitPrice"))
    if quantity < 0:
        raise refused("The quantity of a sales line must not be negative.")
    location = str(given.get("locationId", NO_ID))
    if location != NO_ID and company.tables["locations"].find(location) is None:
        raise refused('The "locationId" does not match to a Location.')
    currency = str(document["currencyCode"])
    gross = money(company, quantity * price, currency)
    if "discountAmount" in given:
        discount = _decimal(given["discountAmount"])
        values["discountPercent"] = (discount / gross * 100).quantize(Decimal("0.00001")) if gross else Decimal(0)
    else:
        discount = money(company, gross * _decimal(values.get("discountPercent")) / 100, currency)
    customer = company.tables["customers"].find(str(document["customerId"]))
    tax_percent = TAX_PERCENT if customer is not None and customer.values["taxLiable"] else Decimal(0)
    net = gross - discount
    if document.get("pricesIncludeTax"):
        net = money(company, net * 100 / (100 + tax_percent), currency)
    tax = money(company, net * tax_percent / 100, currency)
    return values | {
        "discountAmount": discount,
        "discountAppliedBeforeTax": True,
        "amountExcludingTax": net,
        "taxPercent": tax_percent,
        "totalTaxAmount": tax,
        "amountIncludingTax": net + tax,
        "netAmount": net,
        "netTaxAmount": tax,
        "netAmountIncludingTax": net + tax,
    }


def lines_of(company: Company, document: Row) -> list[Row]:
    """A document's lines in their order."""
    table = company.tables["salesOrderLines" if "orderDate" in document.values else "salesInvoiceLines"]
    return sorted(table.children(str(document.values["id"])), key=lambda line: int(str(line.values["sequence"])))


def totals(lines: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    """The amounts of a document from its lines."""
    kept = list(lines)
    net = sum((_decimal(line["netAmount"]) for line in kept), Decimal(0))
    tax = sum((_decimal(line["netTaxAmount"]) for line in kept), Decimal(0))
    return {
        "totalAmountExcludingTax": net,
        "totalTaxAmount": tax,
        "totalAmountIncludingTax": net + tax,
        "discountAppliedBeforeTax": True,
    }


def _item_fields(company: Company, given: Mapping[str, Value], currency: str) -> dict[str, Value]:
    number, item_id = given.get("lineObjectNumber"), given.get("itemId")
    items = company.tables["items"]
    item = items.find_by_natural_key(str(number)) if number else items.find(str(item_id))
    if item is None:
        raise refused("Item does not exist.")
    if item.values["blocked"]:
        raise wrong_field(
            f"Blocked must be equal to 'No' in Item: No.={item.values['number']}. Current value is 'Yes'."
        )
    code = str(given.get("unitOfMeasureCode") or item.values["baseUnitOfMeasureCode"])
    unit = company.tables["unitsOfMeasure"].find_by_natural_key(code)
    if unit is None:
        raise ODataError(
            400,
            "Internal_InvalidTableRelation",
            "The field Unit of Measure Code of table Sales Line contains a value"
            f" ({code}) that cannot be found in the related table (Item Unit of Measure).",
        )
    rate = company.exchange_rates.get(currency, Decimal(1))
    return {
        "itemId": item.values["id"],
        "lineObjectNumber": item.values["number"],
        "description": given.get("description") or item.values["displayName"],
        "unitOfMeasureId": unit.values["id"],
        "unitOfMeasureCode": code,
        "unitPrice": given.get("unitPrice", money(company, _decimal(item.values["unitPrice"]) * rate, currency)),
        "shipmentDate": given.get("shipmentDate", NO_DATE),
    }


def _decimal(value: Value) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value or 0))


def refused(message: str) -> ODataError:
    """What AL's Error() becomes."""
    return ODataError(400, "Application_DialogException", message)


def wrong_field(message: str) -> ODataError:
    """What AL's TestField() becomes."""
    return ODataError(400, "Application_FieldValidationException", message)
