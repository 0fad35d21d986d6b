"""What a client may do to a sales order and its lines, and in which state of the order.

The API's status `Draft` is an order that is not released, `In Review` one that waits for approval, `Open` a released
one. A released order's lines cannot be changed (`TestStatusOpen` of the sales line), nor can what was shipped and not
invoiced be deleted. A wholly invoiced order is no longer there (see `ledger.ship_and_invoice`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from simulators.business_central.data import Company, Row
from simulators.business_central.documents import (
    customer_of,
    header_of,
    line_values,
    lines_of,
    refused,
    totals,
    wrong_field,
)
from simulators.business_central.odata import Value

Values = Mapping[str, Value]
_LINE_STEP = 10000  # Business Central numbers lines in such steps
_HEADER_NEEDS_DRAFT = frozenset({"customerId", "customerNumber", "currencyId", "currencyCode", "requestedDeliveryDate"})
_LINE_MAY_ALWAYS_CHANGE = frozenset({"description"})
_SIDES = ("AddressLine1", "AddressLine2", "City", "Country", "State", "PostCode")


def create_order(company: Company, given: Values, lines: Sequence[Values], now: datetime) -> Row:
    """Insert a sales order with its lines (a deep insert) and give it the next number.

    Two orders with the same externalDocumentNumber are two orders: Business Central does not compare them.
    Raises ODataError (400) before anything is stored.
    """
    customer = customer_of(company, given)
    header = header_of(company, customer) | dict(given)
    header.setdefault("orderDate", now.date())
    header.setdefault("postingDate", header["orderDate"])
    header |= {"customerId": customer.values["id"], "customerNumber": customer.values["number"]}
    _copy_sell_to_to_bill_to(header)
    _check_period(company, header["postingDate"])
    completed = [line_values(company, header, line) for line in lines]
    header |= totals(completed)
    header["number"] = company.next_number("salesOrders", "S-ORD")
    header["status"] = "Draft"
    order = company.insert("salesOrders", header, now)
    last = 0
    for line in completed:
        last = _add(company, order, line, now, after=last)
    return order


def change_order(company: Company, order: Row, given: Values, now: datetime) -> Row:
    """Write fields of an order. Raises ODataError (400)."""
    changes = {name: value for name, value in given.items() if value != order.values[name]}
    if changes.keys() & _HEADER_NEEDS_DRAFT:
        _check_is_draft(order)
    if "customerId" in changes or "customerNumber" in changes:
        customer = customer_of(company, given)
        changes = header_of(company, customer) | changes
    if "postingDate" in changes:
        _check_period(company, changes["postingDate"])
    header = {**order.values, **changes}
    _copy_sell_to_to_bill_to(header)
    return company.change("salesOrders", order, header, now)


def delete_order(company: Company, order: Row) -> None:
    """Take an order away, released or not. Raises ODataError (400) where something was shipped and not invoiced."""
    for line in lines_of(company, order):
        _check_is_not_in_delivery(order, line)
    company.take_off(order, was_invoiced=False)


def add_line(company: Company, order: Row, given: Values, now: datetime) -> Row:
    """A further line, behind the last one unless it brings a sequence. Raises ODataError (400)."""
    _check_is_draft(order)
    there = {int(str(line.values["sequence"])) for line in lines_of(company, order)}
    if given.get("sequence") in there:
        raise refused("You cannot insert a line because a line already exists.")
    sequence = _add(company, order, line_values(company, order.values, given), now, after=max(there, default=0))
    _with_totals(company, order, now)
    return next(line for line in lines_of(company, order) if line.values["sequence"] == sequence)


def change_line(company: Company, line: Row, given: Values, now: datetime) -> Row:
    """Write fields of a line. Raises ODataError (400).

    Another item takes its own price and text, another quantity or unit the item's price (there are no price lists
    here), unless they are given with it.
    """
    order = _order_of(company, line)
    changed = {name for name, value in given.items() if value != line.values[name]}
    for name, text in (
        ("documentId", 'The value for "documentId" cannot be modified.'),
        ("sequence", "The value for sequence cannot be modified. Delete and insert the line again."),
        ("lineObjectNumber", 'The value for "lineObjectNumber" cannot be modified.'),
    ):
        if name in changed:
            raise refused(text)
    if changed - _LINE_MAY_ALWAYS_CHANGE:
        _check_is_draft(order)
    shipped = _number(line, "shippedQuantity")
    if "quantity" in changed and Decimal(str(given["quantity"])) < shipped:
        raise wrong_field(f"Quantity must not be less than Quantity Shipped in Sales Line: {_place_of(order, line)}.")
    kept = ["quantity", "lineType", "unitOfMeasureCode", "locationId"]
    if "itemId" not in changed:
        kept += ["lineObjectNumber", "description"]
        kept += [] if changed & {"quantity", "unitOfMeasureCode"} else ["unitPrice", "discountPercent"]
    elif shipped:
        raise wrong_field(f"Quantity Shipped must be equal to '0' in Sales Line: {_place_of(order, line)}.")
    merged = {name: line.values[name] for name in kept} | dict(given)
    made = company.change("salesOrderLines", line, line_values(company, order.values, merged), now)
    _with_totals(company, order, now)
    return made


def delete_line(company: Company, line: Row, now: datetime) -> None:
    """Take a line away. Raises ODataError (400)."""
    order = _order_of(company, line)
    _check_is_draft(order)
    _check_is_not_in_delivery(order, line)
    company.tables["salesOrderLines"].remove(str(line.values["id"]))
    _with_totals(company, order, now)


def _add(company: Company, order: Row, completed: Values, now: datetime, *, after: int) -> int:
    ship = completed.get("quantity", Decimal(0))
    line = {"shipQuantity": ship, "invoiceQuantity": ship, **completed, "documentId": order.values["id"]}
    if not line.get("sequence"):
        line["sequence"] = after + _LINE_STEP
    company.insert("salesOrderLines", line, now)
    return int(str(line["sequence"]))


def _with_totals(company: Company, order: Row, now: datetime) -> None:
    """The order with its totals brought up to date: a new version."""
    company.change("salesOrders", order, totals(line.values for line in lines_of(company, order)), now)


def _order_of(company: Company, line: Row) -> Row:
    order = company.tables["salesOrders"].find(str(line.values["documentId"]))
    if order is None:
        raise KeyError(f"line {line.values['id']} has lost its order")
    return order


def _copy_sell_to_to_bill_to(header: dict[str, Value]) -> None:
    """`CopySellToAddressToBillToAddress`: who is sold to and billed alike has one address for both."""
    if header["billToCustomerId"] == header["customerId"]:
        header |= {f"billTo{part}": header[f"sellTo{part}"] for part in _SIDES}


def _check_period(company: Company, day: Value) -> None:
    """In the service this is checked when the order is posted, and by some set-ups when its date is entered."""
    if company.closed_until is not None and isinstance(day, date) and day <= company.closed_until:
        raise refused("Posting Date is not within your range of allowed posting dates.")


def _check_is_draft(order: Row) -> None:
    if order.values["status"] != "Draft":
        current = "Released" if order.values["status"] == "Open" else "Pending Approval"
        raise wrong_field(
            "Status must be equal to 'Open' in Sales Header: Document Type=Order,"
            f" No.={order.values['number']}. Current value is '{current}'."
        )


def _check_is_not_in_delivery(order: Row, line: Row) -> None:
    open_quantity = _number(line, "shippedQuantity") - _number(line, "invoicedQuantity")
    if open_quantity:
        raise wrong_field(
            f"Qty. Shipped Not Invoiced must be equal to '0' in Sales Line: {_place_of(order, line)}."
            f" Current value is '{open_quantity:f}'."
        )


def _place_of(order: Row, line: Row) -> str:
    return f"Document Type=Order, Document No.={order.values['number']}, Line No.={line.values['sequence']}"


def _number(row: Row, name: str) -> Decimal:
    return Decimal(str(row.values[name]))


def parent_of(company: Company, given: Values) -> Row:
    """The order of a line that is posted outside of one. Raises ODataError (400)."""
    row_id = given.get("documentId")
    if not row_id:
        raise refused("You must specify a document id to get the lines.")
    order = company.tables["salesOrders"].find(str(row_id))
    if order is None:
        raise refused("No document with the specified ID exists.")
    return order
