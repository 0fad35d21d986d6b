"""Sales orders: what is checked, priced and confirmed when one is made or changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from simulators.sap_s4hana.books import ENTITY_SETS, Row
from simulators.sap_s4hana.office import Office, Parts, area_of, check_known, product_of, read_body, refused
from simulators.sap_s4hana.pricing import STEPS, Asked, Price, in_unit, is_taxed, number_of, price_item
from simulators.sap_s4hana.schedules import delivered_of, schedule
from simulators.sap_s4hana.values import Value, Values

ORDER = ENTITY_SETS["A_SalesOrder"]
ITEM = ENTITY_SETS["A_SalesOrderItem"]
PARTNER = ENTITY_SETS["A_SalesOrderHeaderPartner"]
ELEMENT = ENTITY_SETS["A_SalesOrderItemPrElement"]

FIRST_NUMBER = 1
_FUNCTIONS = ("SP", "SH", "BP", "PY")  # sold-to, ship-to, bill-to, payer, by their names in English
_PRICE_TYPE = "PPR0"


# -- create -----------------------------------------------------------------------------------------------------------


def create_order(office: Office, body: object) -> Row:
    """A deep insert of A_SalesOrder. Raises Fault."""
    values, parts = read_body(ORDER, body, is_create=True)
    area = check_header(office, values)
    number = office.books.next_number("A_SalesOrder", FIRST_NUMBER)
    day = values.get("SalesOrderDate") or office.today
    order = office.books.insert(
        "A_SalesOrder",
        {
            **values,
            "SalesOrder": number,
            "SalesOrderDate": day,
            "PricingDate": values.get("PricingDate") or day,
            "RequestedDeliveryDate": values.get("RequestedDeliveryDate") or day,
            "TransactionCurrency": values.get("TransactionCurrency") or area["Currency"],
            "CustomerPaymentTerms": values.get("CustomerPaymentTerms") or area["CustomerPaymentTerms"],
            "CreationDate": office.today,
            "LastChangeDateTime": office.now,
        },
    )
    for function, customer in partners_of(office, order.text("SoldToParty"), parts).items():
        office.books.insert(
            "A_SalesOrderHeaderPartner", {"SalesOrder": number, "PartnerFunction": function, "Customer": customer}
        )
    highest = 0
    for part in parts.get("to_Item", ()):
        item = _insert_item(office, order, area, part, highest)
        highest = max(highest, int(item.text("SalesOrderItem")))
    return _refresh(office, order)


def check_header(office: Office, values: Values) -> Row:
    """The sales area of the customer that may order. Raises Fault."""
    company = office.company
    check_known(values.get("SalesOrderType", ""), company.order_types, "Order type", "SalesOrderType", "V1/045")
    area = tuple(values.get(name) for name in ("SalesOrganization", "DistributionChannel", "OrganizationDivision"))
    if area != company.area:
        raise refused("V1/331", f"Sales area {area} is not defined", "SalesOrganization")
    if not values.get("SoldToParty"):
        raise refused("VP/204", "Enter a sold-to party", "SoldToParty")
    found = area_of(office, str(values["SoldToParty"]))
    if values.get("TransactionCurrency"):
        currency = values["TransactionCurrency"]
        check_known(currency, company.currencies, "Currency", "TransactionCurrency", "V1/147")
    _check_open(office, values.get("SalesOrderDate"))
    _check_terms(office, values)
    return found


def _check_open(office: Office, day: Value) -> None:
    closed = office.company.closed_until
    if closed is not None and isinstance(day, date) and day <= closed:
        raise refused("F5/201", f"Posting period {day:%m %Y} is not open", "SalesOrderDate")


def _check_terms(office: Office, values: Values) -> None:
    terms = values.get("CustomerPaymentTerms", "")
    check_known(terms, office.company.payment_terms, "Terms of payment", "CustomerPaymentTerms", "F5/808")


def partners_of(office: Office, customer: str, parts: Parts) -> dict[str, str]:
    """Function -> customer: those of the sales area, and what the order says of its own. Raises Fault."""
    found = dict.fromkeys(_FUNCTIONS, customer)
    area = office.books.get("A_CustomerSalesArea", customer, *office.company.area)
    for function in office.books.below(area, ENTITY_SETS["A_CustomerSalesArea"], "to_PartnerFunction"):
        if function["PartnerFunction"] in _FUNCTIONS and function["BPCustomerNumber"]:
            found[function.text("PartnerFunction")] = function.text("BPCustomerNumber")
    for part in parts.get("to_Partner", ()):
        values, _ = read_body(PARTNER, part, is_create=True)
        _check_partner(office, values)
        found[str(values.get("PartnerFunction"))] = str(values.get("Customer"))
    return found


def _check_partner(office: Office, values: Values) -> None:
    if values.get("PartnerFunction") not in _FUNCTIONS:
        raise refused("VP/208", f"Partner function {values.get('PartnerFunction')} is not allowed", "PartnerFunction")
    if office.books.find("A_Customer", values.get("Customer") or "") is None:
        raise refused("VP/201", f"Customer {values.get('Customer')} does not exist", "Customer")


def _insert_item(office: Office, order: Row, area: Row, body: object, highest: int) -> Row:
    """highest: number of an item of the order; an item without a number of its own gets the next ten."""
    values, parts = read_body(ITEM, body, is_create=True)
    number = str(values.get("SalesOrderItem") or "").lstrip("0") or str(highest // 10 * 10 + 10)
    if not number.isdecimal():
        raise refused("V1/361", f"Item number {number} is not numeric", "SalesOrderItem")
    if office.books.find("A_SalesOrderItem", order["SalesOrder"], number) is not None:
        raise refused("V1/362", f"Item {number} exists already", "SalesOrderItem")
    material = str(values.get("Material") or "")
    product = product_of(office, material)
    sales = office.books.get("A_ProductSalesDelivery", material, *office.company.area[:2])
    if not values.get("SalesOrderItemText"):
        values["SalesOrderItemText"] = description_of(office, product)
    item = office.books.insert(
        "A_SalesOrderItem",
        {
            **values,
            "SalesOrder": order["SalesOrder"],
            "SalesOrderItem": number,
            "SalesOrderItemCategory": "TAN",
            "RequestedQuantityUnit": values.get("RequestedQuantityUnit")
            or sales["SalesMeasureUnit"]
            or product["BaseUnit"],
            "ProductionPlant": values.get("ProductionPlant") or sales["SupplyingPlant"],
        },
    )
    check_item(office, item.values)
    for part in parts.get("to_PricingElement", ()):
        _insert_element(office, order, item, part)
    _price_item(office, order, area, item)
    schedule(office, order, item)
    return item


def check_item(office: Office, values: Values) -> None:
    """Raises Fault for a quantity, unit or plant that cannot be."""
    quantity = values["RequestedQuantity"]
    if not isinstance(quantity, Decimal) or quantity <= 0:
        raise refused("V1/555", "Enter a quantity greater than zero", "RequestedQuantity")
    unit = str(values["RequestedQuantityUnit"])
    base = office.books.get("A_Product", values["Material"]).text("BaseUnit")
    in_unit(office, str(values["Material"]), quantity, unit, base, "RequestedQuantityUnit")
    plants = frozenset(office.company.plants)
    check_known(values["ProductionPlant"], plants, "Plant", "ProductionPlant", "M3/305")
    reason = values["SalesDocumentRjcnReason"]
    if reason:
        reasons = office.company.rejection_reasons
        check_known(reason, reasons, "Reason for rejection", "SalesDocumentRjcnReason", "V1/120")


def description_of(office: Office, product: Row) -> str:
    """In English, else empty."""
    row = office.books.find("A_ProductDescription", product["Product"], "EN")
    return row.text("ProductDescription") if row is not None else ""


def _insert_element(office: Office, order: Row, item: Row, body: object) -> None:
    values, _ = read_body(ELEMENT, body, is_create=True)
    kind = str(values.get("ConditionType") or "")
    known = office.company.price_conditions | office.company.discount_conditions
    check_known(kind, known, "Condition type", "ConditionType", "V1/801")
    _check_element(office, order, values)
    office.books.insert(
        "A_SalesOrderItemPrElement",
        {
            **values,
            "SalesOrder": order["SalesOrder"],
            "SalesOrderItem": item["SalesOrderItem"],
            "PricingProcedureStep": STEPS[kind],
            "PricingProcedureCounter": "1",
            "ConditionIsManuallyChanged": True,
        },
    )


def _check_element(office: Office, order: Row, values: Values) -> None:
    currency = values.get("ConditionCurrency")
    if currency and currency != order["TransactionCurrency"]:
        raise refused("V1/147", f"No rate from {currency} to {order['TransactionCurrency']}", "ConditionCurrency")


# -- change -----------------------------------------------------------------------------------------------------------


def change_order(office: Office, order: Row, body: object) -> Row:
    """PATCH of the header. Raises Fault."""
    values, _ = read_body(ORDER, body, is_create=False)
    office.check_not_locked("A_SalesOrder", order.text("SalesOrder"))
    if "SalesOrderDate" in values:
        _check_open(office, values["SalesOrderDate"])
    _check_terms(office, values)
    if values.get("SoldToParty", order["SoldToParty"]) != order["SoldToParty"]:
        area_of(office, str(values["SoldToParty"]))
    if "TransactionCurrency" in values:
        currencies = office.company.currencies
        check_known(values["TransactionCurrency"], currencies, "Currency", "TransactionCurrency", "V1/147")
    order = office.books.change("A_SalesOrder", order, values)
    if values.keys() & {"SoldToParty", "TransactionCurrency", "PricingDate"}:
        area = office.books.get("A_CustomerSalesArea", order["SoldToParty"], *office.company.area)
        for item in items_of(office, order):
            _price_item(office, order, area, item)
    return _refresh(office, order)


def delete_order(office: Office, order: Row) -> None:
    """Raises Fault once something was delivered."""
    office.check_not_locked("A_SalesOrder", order.text("SalesOrder"))
    if any(delivered_of(office, item) for item in items_of(office, order)):
        raise refused("V1/350", "The document has subsequent documents and cannot be deleted")
    office.books.remove("A_SalesOrder", order)


def add_item(office: Office, order: Row, body: object) -> Row:
    """POST of an item. Raises Fault."""
    office.check_not_locked("A_SalesOrder", order.text("SalesOrder"))
    area = office.books.get("A_CustomerSalesArea", order["SoldToParty"], *office.company.area)
    highest = max((int(item.text("SalesOrderItem")) for item in items_of(office, order)), default=0)
    item = _insert_item(office, order, area, body, highest)
    _refresh(office, order)
    return office.books.get("A_SalesOrderItem", order["SalesOrder"], item["SalesOrderItem"])


def change_item(office: Office, item: Row, body: object) -> None:
    """PATCH of an item. Raises Fault."""
    values, _ = read_body(ITEM, body, is_create=False)
    order = _order_of(office, item)
    if values.get("SalesDocumentRjcnReason") and delivered_of(office, item):
        raise refused("V1/486", f"Item {item['SalesOrderItem']} is delivered already", "SalesDocumentRjcnReason")
    if values.get("Material", item["Material"]) != item["Material"]:
        product_of(office, str(values["Material"]))
    quantity = values.get("RequestedQuantity")
    if isinstance(quantity, Decimal) and quantity < delivered_of(office, item):
        raise refused("V1/083", "The quantity is less than what is delivered already", "RequestedQuantity")
    check_item(office, {**item.values, **values})
    changed = office.books.change("A_SalesOrderItem", item, values)
    _again(office, order, changed)


def delete_item(office: Office, item: Row) -> None:
    """Raises Fault once something of it was delivered."""
    order = _order_of(office, item)
    if delivered_of(office, item):
        raise refused("V1/487", f"Item {item['SalesOrderItem']} has subsequent documents")
    office.books.remove("A_SalesOrderItem", item)
    _refresh(office, order)


def add_element(office: Office, item: Row, body: object) -> None:
    """POST of a price element. Raises Fault."""
    order = _order_of(office, item)
    _insert_element(office, order, item, body)
    _again(office, order, item)


def change_element(office: Office, element: Row, body: object) -> None:
    """PATCH of a price element: it is a manual one from then on. Raises Fault."""
    values, _ = read_body(ELEMENT, body, is_create=False)
    item = office.books.get("A_SalesOrderItem", element["SalesOrder"], element["SalesOrderItem"])
    order = _order_of(office, item)
    _check_element(office, order, values)
    office.books.change("A_SalesOrderItemPrElement", element, {**values, "ConditionIsManuallyChanged": True})
    _again(office, order, item)


def delete_element(office: Office, element: Row) -> None:
    """DELETE of a price element: what is left is priced anew. Raises Fault."""
    item = office.books.get("A_SalesOrderItem", element["SalesOrder"], element["SalesOrderItem"])
    order = _order_of(office, item)
    office.books.remove("A_SalesOrderItemPrElement", element)
    _again(office, order, item)


def add_partner(office: Office, order: Row, body: object) -> Row:
    """POST of a partner. Raises Fault."""
    office.check_not_locked("A_SalesOrder", order.text("SalesOrder"))
    values, _ = read_body(PARTNER, body, is_create=True)
    _check_partner(office, values)
    row = office.books.insert("A_SalesOrderHeaderPartner", {**values, "SalesOrder": order["SalesOrder"]})
    _refresh(office, order)
    return row


def change_partner(office: Office, partner: Row, body: object) -> None:
    """PATCH of a partner. Raises Fault."""
    values, _ = read_body(PARTNER, body, is_create=False)
    order = _order_of(office, partner)
    _check_partner(office, {**partner.values, **values})
    office.books.change("A_SalesOrderHeaderPartner", partner, values)
    _refresh(office, order)


def _order_of(office: Office, part: Row) -> Row:
    office.check_not_locked("A_SalesOrder", part.text("SalesOrder"))
    return office.books.get("A_SalesOrder", part["SalesOrder"])


def _again(office: Office, order: Row, item: Row) -> None:
    area = office.books.get("A_CustomerSalesArea", order["SoldToParty"], *office.company.area)
    _price_item(office, order, area, item)
    schedule(office, order, item)
    _refresh(office, order)


# -- what follows from it ---------------------------------------------------------------------------------------------


def items_of(office: Office, order: Row) -> list[Row]:
    """In their order."""
    return list(office.books.below(order, ORDER, "to_Item"))


def _price_item(office: Office, order: Row, area: Row, item: Row) -> None:
    """Anew: manual elements hold, the others are found again."""
    books = office.books
    manual: dict[str, Row] = {}
    for element in books.below(item, ITEM, "to_PricingElement"):
        if element["ConditionIsManuallyChanged"]:
            manual[element.text("ConditionType")] = element
        books.remove("A_SalesOrderItemPrElement", element)
    asked = Asked(
        order.text("SoldToParty"),
        area,
        item.text("Material"),
        number_of(item["RequestedQuantity"]),
        item.text("RequestedQuantityUnit"),
        order.text("TransactionCurrency"),
        order["PricingDate"],  # type: ignore[arg-type]
    )
    given = manual.pop(_PRICE_TYPE, None)
    price = None if given is None else _manual_price(given, asked)
    priced = price_item(office, asked, price, [one.values for one in manual.values()], is_taxed=is_taxed(office, asked))
    for made in priced.elements:
        place = {"SalesOrder": item["SalesOrder"], "SalesOrderItem": item["SalesOrderItem"]}
        books.insert("A_SalesOrderItemPrElement", {**place, **made})
    current = books.get("A_SalesOrderItem", item["SalesOrder"], item["SalesOrderItem"])
    books.change("A_SalesOrderItem", current, {"NetAmount": priced.net, "TaxAmount": priced.tax})


def _manual_price(element: Row, asked: Asked) -> Price:
    return Price(
        number_of(element["ConditionRateValue"]),
        number_of(element["ConditionQuantity"]) or Decimal(1),
        element.text("ConditionQuantityUnit") or asked.unit,
        element.text("ConditionCurrency") or asked.currency,
    )


def _refresh(office: Office, order: Row) -> Row:
    """Statuses and totals of an order, and the stamp of its change."""
    books = office.books
    order = books.get("A_SalesOrder", order["SalesOrder"])
    total, rejected, statuses = Decimal(0), list[bool](), list[str]()
    for item in items_of(office, order):
        is_rejected, delivered = bool(item["SalesDocumentRjcnReason"]), delivered_of(office, item)
        status = "C" if is_rejected or delivered >= number_of(item["RequestedQuantity"]) else "B" if delivered else "A"
        if (item["SDProcessStatus"], item["DeliveryStatus"]) != (status, status):
            books.change("A_SalesOrderItem", item, {"SDProcessStatus": status, "DeliveryStatus": status})
        rejected.append(is_rejected)
        if not is_rejected:
            total += number_of(item["NetAmount"])
            statuses.append(status)
    overall = "A" if set(statuses) <= {"A"} else "C" if set(statuses) == {"C"} else "B"
    is_all_rejected = bool(rejected) and all(rejected)
    return books.change(
        "A_SalesOrder",
        order,
        {
            "TotalNetAmount": total,
            "OverallSDProcessStatus": "C" if is_all_rejected else overall,
            "OverallTotalDeliveryStatus": "" if is_all_rejected else overall,
            "OverallSDDocumentRejectionSts": "C" if is_all_rejected else "B" if any(rejected) else "A",
            "LastChangeDate": office.today,
            "LastChangeDateTime": office.stamp_after(order["LastChangeDateTime"]),
        },
    )


def deliver(office: Office, order: Row, quantities: Mapping[str, Decimal]) -> Row:
    """Goods issue of so much of each item (in its unit)."""
    for number, quantity in quantities.items():
        item = office.books.get("A_SalesOrderItem", order["SalesOrder"], number)
        line = office.books.below(item, ITEM, "to_ScheduleLine")[0]
        so_far = number_of(line["DeliveredQtyInOrderQtyUnit"])
        office.books.change("A_SalesOrderScheduleLine", line, {"DeliveredQtyInOrderQtyUnit": so_far + quantity})
    return _refresh(office, order)
