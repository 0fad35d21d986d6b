"""What NetSuite works out by itself: amounts and states of orders, stock, invoices, payments, what a customer owes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from simulators.netsuite.books import STOCKED, Books, Record, Values

ZERO = Decimal(0)
_CENT = Decimal("0.01")

_HEAD = ("entity", "currency", "currencyName", "exchangeRate", "terms", "location", "otherRefNum")
_BILLED = ("item", "description", "units", "price", "rate", "location")

ORDER_STATUSES: Mapping[str, str] = {
    "_pendingApproval": "Pending Approval",
    "_pendingFulfillment": "Pending Fulfillment",
    "_partiallyFulfilled": "Partially Fulfilled",
    "_pendingBillingPartFulfilled": "Pending Billing/Partially Fulfilled",
    "_pendingBilling": "Pending Billing",
    "_fullyBilled": "Billed",
    "_closed": "Closed",
    "_cancelled": "Cancelled",
}


def money(value: Decimal) -> Decimal:
    return value.quantize(_CENT, ROUND_HALF_UP)


def lines_of(record: Record) -> list[Values]:
    """The lines of a document."""
    found: list[Values] = (record.values.get("itemList") or {}).get("item") or []
    return found


# -- orders -----------------------------------------------------------------------------------------------------------


def settle_order(books: Books, order: Record, before: Mapping[tuple[int, int], Decimal]) -> None:
    """Amounts, state and committed stock of an order after its lines changed. before: what it had `committed`."""
    for line in lines_of(order):
        for name in ("quantityFulfilled", "quantityBilled", "quantityBackOrdered"):
            line.setdefault(name, ZERO)
        rate = line.get("rate")
        line["amount"] = money(Decimal(rate) * line["quantity"]) if rate is not None else ZERO
        line.setdefault("isClosed", False)
        open_quantity = ZERO if line["isClosed"] else max(ZERO, line["quantity"] - line["quantityFulfilled"])
        line["quantityCommitted"] = open_quantity
    order.values |= totals(books, order)
    status = order_status(order)
    order.values |= {"orderStatus": status, "status": ORDER_STATUSES[status]}
    _commit(books, before, committed(books, order))
    books.touch(order)


def totals(books: Books, document: Record) -> Values:
    """The amounts of a document, from its lines."""
    subtotal = sum((line["amount"] for line in lines_of(document)), ZERO)
    tax = money(subtotal * books.rules.tax_percent / 100)
    return {"subTotal": subtotal, "discountTotal": ZERO, "taxTotal": tax, "total": subtotal + tax}


def order_status(order: Record) -> str:
    """The state that follows from the lines; approval and cancelling are people's."""
    known = order.values.get("orderStatus")
    if known == "_cancelled":
        return "_cancelled"
    lines = [line for line in lines_of(order) if not line["isClosed"]]
    if not lines:
        return "_closed"
    if known == "_pendingApproval":
        return "_pendingApproval"
    if all(line["quantityBilled"] >= line["quantity"] for line in lines):
        return "_fullyBilled"
    if all(line["quantityFulfilled"] >= line["quantity"] for line in lines):
        return "_pendingBilling"
    if any(line["quantityFulfilled"] for line in lines):
        is_all_billed = all(line["quantityBilled"] >= line["quantityFulfilled"] for line in lines)
        return "_partiallyFulfilled" if is_all_billed else "_pendingBillingPartFulfilled"
    return "_pendingFulfillment"


def committed(books: Books, order: Record) -> dict[tuple[int, int], Decimal]:
    """What an order holds of the stock: (item, location) -> quantity in base units."""
    held: dict[tuple[int, int], Decimal] = {}
    if order.values.get("orderStatus") in ("_pendingApproval", "_cancelled"):
        return held
    for line in lines_of(order):
        item = books.find_in_family("item", line["item"]["internalId"])
        if item is None or item.kind not in STOCKED or not line.get("quantityCommitted"):
            continue
        key = (item.id, _location(books, order, line))
        held[key] = held.get(key, ZERO) + line["quantityCommitted"] * _rate_of_unit(books, line)
    return held


def fulfil(books: Books, order: Record, quantities: Mapping[int, Decimal], now: datetime) -> Record:
    """Ship quantities of an order's lines. The order's own stamp does not move."""
    before = committed(books, order)
    for line in lines_of(order):
        quantity = quantities.get(line["line"], ZERO)
        line["quantityFulfilled"] += quantity
        item = books.get_item(line["item"]["internalId"])
        if quantity and item.kind in STOCKED:
            place = _location(books, order, line)
            move_stock(books, item, place, -quantity * _rate_of_unit(books, line), now=None)
    settle_order(books, order, before)
    values: Values = {"entity": order.values["entity"], "createdFrom": order.ref(), "tranDate": now}
    return books.insert("itemFulfillment", values, now)


def bill(books: Books, order: Record, now: datetime) -> Record:
    """Invoice what is ordered and not yet billed. The order's own stamp does not move."""
    before = committed(books, order)
    billed: list[Values] = []
    for line in lines_of(order):
        quantity = line["quantity"] - line["quantityBilled"]
        if line["isClosed"] or not quantity:
            continue
        line["quantityBilled"] += quantity
        copied: Values = {name: line[name] for name in _BILLED if name in line}
        amount = money(Decimal(line.get("rate") or 0) * quantity)
        billed.append(
            {**copied, "line": len(billed) + 1, "orderLine": line["line"], "quantity": quantity, "amount": amount}
        )
    settle_order(books, order, before)
    head: Values = {name: order.values[name] for name in _HEAD if name in order.values}
    return post_invoice(books, {**head, "createdFrom": order.ref()}, billed, now)


def post_invoice(
    books: Books, values: Values, lines: list[Values], now: datetime, *, day: date | None = None
) -> Record:
    """A posted invoice, open in full."""
    day = day or books.rules.day_of(now)
    terms = books.find("term", (values.get("terms") or {}).get("internalId"))
    days = int(terms.values["daysUntilNetDue"]) if terms else 0
    invoice = books.insert(
        "invoice",
        {
            **values,
            "tranId": f"INV{books.number('invoice no.', first=1001)}",
            "createdDate": now.replace(microsecond=0),
            "tranDate": books.rules.midnight(day),
            "dueDate": books.rules.midnight(day + timedelta(days=days)),
            "itemList": {"item": lines},
        },
        now,
    )
    invoice.values |= totals(books, invoice)
    _settle_invoice(books, invoice, ZERO)
    return invoice


def pay(books: Books, invoice: Record, amount: Decimal, now: datetime) -> Record:
    """A payment of an invoice. The invoice's own stamp does not move."""
    values: Values = {
        "customer": invoice.values["entity"],
        "currency": invoice.values["currency"],
        "currencyName": invoice.values["currencyName"],
        "exchangeRate": Decimal(1),
        "tranId": f"PYMT{books.number('payment no.', first=1)}",
        "tranDate": books.rules.midnight(books.rules.day_of(now)),
        "createdDate": now.replace(microsecond=0),
        "payment": amount,
        "applied": amount,
        "unapplied": ZERO,
        "status": "Deposited",
        "applyList": {"apply": [_applied(invoice, amount)]},
    }
    payment = books.insert("customerPayment", values, now)
    _settle_invoice(books, invoice, invoice.values["amountPaid"] + amount)
    return payment


def credit(books: Books, invoice: Record, now: datetime) -> Record:
    """A credit memo over a whole invoice, not applied to anything."""
    copied = (
        "entity",
        "currency",
        "currencyName",
        "exchangeRate",
        "location",
        "itemList",
        "subTotal",
        "taxTotal",
        "total",
    )
    values: Values = {name: invoice.values[name] for name in copied if name in invoice.values}
    values |= {
        "createdFrom": invoice.ref(),
        "tranId": f"CM{books.number('credit no.', first=1)}",
        "tranDate": books.rules.midnight(books.rules.day_of(now)),
        "createdDate": now.replace(microsecond=0),
        "discountTotal": ZERO,
        "applied": ZERO,
        "unapplied": values["total"],
        "amountPaid": ZERO,
        "amountRemaining": values["total"],
        "status": "Open",
    }
    return books.insert("creditMemo", values, now)


def _applied(invoice: Record, amount: Decimal) -> Values:
    return {
        "apply": True,
        "doc": invoice.id,
        "line": 0,
        "type": "Invoice",
        "refNum": invoice.name,
        "total": invoice.values["total"],
        "due": invoice.values["amountRemaining"],
        "amount": amount,
    }


def _settle_invoice(books: Books, invoice: Record, paid: Decimal) -> None:
    remaining = invoice.values["total"] - paid
    status = "Paid In Full" if remaining <= 0 else "Open"
    books.change(invoice, {"amountPaid": paid, "amountRemaining": remaining, "status": status}, None)


# -- stock ------------------------------------------------------------------------------------------------------------


def move_stock(books: Books, item: Record, location_id: int, quantity: Decimal, *, now: datetime | None) -> None:
    """Stock on hand goes up or down; without `now` the item's stamp stays, as after a posting."""
    place = _place(item, location_id)
    place["quantityOnHand"] = place.get("quantityOnHand", ZERO) + quantity
    _even_out(place)
    books.change(item, {}, now)


def _commit(books: Books, before: Mapping[tuple[int, int], Decimal], after: Mapping[tuple[int, int], Decimal]) -> None:
    for item_id, location_id in {*before, *after}:
        key = (item_id, location_id)
        change = after.get(key, ZERO) - before.get(key, ZERO)
        item = books.find_in_family("item", item_id)
        if change and item is not None:
            place = _place(item, location_id)
            place["quantityCommitted"] = place.get("quantityCommitted", ZERO) + change
            _even_out(place)
            books.touch(item)


def _even_out(place: Values) -> None:
    place["quantityAvailable"] = place.get("quantityOnHand", ZERO) - place.get("quantityCommitted", ZERO)


def _place(item: Record, location_id: int) -> Values:
    places: list[Values] = item.values.setdefault("locationsList", {}).setdefault("locations", [])
    for place in places:
        if place["locationId"]["internalId"] == str(location_id):
            return place
    places.append({"locationId": {"internalId": str(location_id)}, "location": str(location_id)})
    return places[-1]


def _location(books: Books, order: Record, line: Values) -> int:
    given = line.get("location") or order.values.get("location")
    return int(given["internalId"]) if given else min(books.tables["location"], default=0)


def _rate_of_unit(books: Books, line: Values) -> Decimal:
    unit = books.unit(line["units"]["internalId"]) if line.get("units") else None
    return Decimal(unit[1]["conversionRate"]) if unit else Decimal(1)


# -- customers --------------------------------------------------------------------------------------------------------


def credit_of(books: Books, customer: Record, today: date) -> Values:
    """Balance, ageing by days overdue and unbilled orders; `consol...` with all customers below it."""
    own = _owed(books, customer.id, today)
    family = dict(own)
    waiting = [customer.id]
    while waiting:
        for child in books.children_of(waiting.pop()):
            waiting.append(child)
            for name, amount in _owed(books, child, today).items():
                family[name] += amount
    found: Values = {"depositBalance": ZERO, "consolDepositBalance": ZERO, "daysOverdue": int(own["days"])}
    for name in own:
        if name != "days":
            found[name] = own[name]
            found[f"consol{name[0].upper()}{name[1:]}"] = family[name]
    return found


def _owed(books: Books, customer_id: int, today: date) -> dict[str, Decimal]:
    sums = dict.fromkeys(
        ("balance", "overdueBalance", "unbilledOrders", "aging", "aging1", "aging2", "aging3", "aging4", "days"), ZERO
    )
    for record in books.transactions(customer_id):
        if record.kind == "invoice" and record.values["amountRemaining"] > 0:
            amount = record.values["amountRemaining"]
            days = (today - books.rules.day_of(record.values["dueDate"])).days
            sums["balance"] += amount
            if days > 0:
                sums["overdueBalance"] += amount
                sums["days"] = max(sums["days"], Decimal(days))
            sums["aging" if days <= 0 else f"aging{min(4, (days + 29) // 30)}"] += amount
        elif record.kind == "creditMemo":
            sums["balance"] -= record.values["unapplied"]
            sums["aging"] -= record.values["unapplied"]
        elif record.kind == "salesOrder" and record.values["orderStatus"] not in ("_cancelled", "_closed"):
            sums["unbilledOrders"] += unbilled(books, record)
    return sums


def unbilled(books: Books, order: Record) -> Decimal:
    """What is ordered and not yet billed, with tax."""
    net = sum(
        (
            Decimal(line.get("rate") or 0) * (line["quantity"] - line["quantityBilled"])
            for line in lines_of(order)
            if not line["isClosed"]
        ),
        ZERO,
    )
    return money(net * (1 + books.rules.tax_percent / 100))
