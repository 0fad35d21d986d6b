"""Sales documents: lines with prices, discounts and tax, orders from what a client posts, and their totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from simulators.business_central.data import Company, Row
from simulators.business_central.odata import ODataError, Value
from simulators.business_central.schema import NO_DATE, NO_ID

TAX_PERCENT = Decimal(20)
_LINE_STEP = 10000  # Business Central numbers lines in such steps


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
        raise _refused("A customerNumber or a customerID must be provided.")
    if row is None:
        raise _refused(f'The "{"customerNumber" if number else "customerId"}" does not match to a Customer.')
    if row.values["blocked"] == "All":
        raise _refused(
            f"You cannot create this type of document when Customer {row.values['number']} is blocked with type All"
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
    quantity, price = _decimal(values.get("quantity")), _decimal(values.get("unitPrice"))
    if quantity < 0:
        raise _refused("The quantity of a sales line must not be negative.")
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


def create_order(
    company: Company, given: Mapping[str, Value], lines: Iterable[Mapping[str, Value]], now: datetime
) -> Row:
    """Insert a sales order with its lines (a deep insert) and give it the next number.

    Two orders with the same externalDocumentNumber are two orders: Business Central does not compare them.
    Raises ODataError (400) before anything is stored.
    """
    customer = customer_of(company, given)
    header = header_of(company, customer) | dict(given)
    header.setdefault("orderDate", now.date())
    header.setdefault("postingDate", header["orderDate"])
    completed = [line_values(company, header, line) for line in lines]
    header["number"] = company.next_number("salesOrders", "S-ORD")
    header["status"] = "Draft"
    order = company.insert("salesOrders", header, now)
    for line in completed:
        add_line(company, order, line, now)
    return with_totals(company, order, now)


def add_line(company: Company, order: Row, completed: Mapping[str, Value], now: datetime) -> Row:
    """Store a completed line under its order, numbered after the last one unless it brings a sequence."""
    last = max((int(str(line.values["sequence"])) for line in lines_of(company, order)), default=0)
    ship = completed.get("quantity", Decimal(0))
    return company.insert(
        "salesOrderLines",
        {
            "sequence": last + _LINE_STEP,
            "shipQuantity": ship,
            "invoiceQuantity": ship,
            **completed,
            "documentId": order.values["id"],
        },
        now,
    )


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


def with_totals(company: Company, order: Row, now: datetime) -> Row:
    """The order with its totals brought up to date (a new version)."""
    return company.change("salesOrders", order, totals(line.values for line in lines_of(company, order)), now)


def _item_fields(company: Company, given: Mapping[str, Value], currency: str) -> dict[str, Value]:
    number, item_id = given.get("lineObjectNumber"), given.get("itemId")
    items = company.tables["items"]
    item = items.find_by_natural_key(str(number)) if number else items.find(str(item_id))
    if item is None:
        raise _refused(f'The "{"lineObjectNumber" if number else "itemId"}" does not match to an Item.')
    if item.values["blocked"]:
        raise ODataError(
            400,
            "Application_FieldValidationException",
            f"Blocked must be equal to 'No' in Item: No.={item.values['number']}. Current value is 'Yes'.",
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


def _refused(message: str) -> ODataError:
    return ODataError(400, "Application_DialogException", message)
