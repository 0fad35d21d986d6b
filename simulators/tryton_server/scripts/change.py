"""The demo's second act: a new price, goods moved, an invoice posted, a product switched off.

Prints each change with the values before and after, as Tryton itself reads them back. Running it again changes the
same records again.
"""

import datetime
from decimal import Decimal

from erp_session import accept_warning, answer, call, create, read, session, stock_of, text, today
from proteus import Model
from seed_trade import draft_invoices

PRICED, MOVED, RETIRED, INVOICED = "TOO-003", "FAS-004", "TOO-006", "CUST-004"
MOVED_QUANTITY = 25.0


def change_price(config):
    """A list price goes up by 4.50."""
    (product,) = read(config, "product.product", [["code", "=", PRICED]], ["template", "list_price_used"])
    before, after = product["list_price_used"], product["list_price_used"] + Decimal("4.50")
    call(config, "product.template", "write", [product["template"]], {"list_price": after})
    return {"product": PRICED, "before": text(before), "after": text(_price_of(config, PRICED))}


def _price_of(config, code):
    (product,) = read(config, "product.product", [["code", "=", code]], ["list_price_used"])
    return product["list_price_used"]


def move_stock(config, on):
    """Goods go from the main to the north warehouse with an internal shipment, picked and received today."""
    before = _stock_by_warehouse(config)
    (product,) = read(config, "product.product", [["code", "=", MOVED]], ["default_uom"])
    places = {row["code"]: row["id"] for row in read(config, "stock.location", [["code", "like", "%-STO"]], ["code"])}
    route = {"from_location": places["MAIN-STO"], "to_location": places["NORTH-STO"]}
    move = {"product": product["id"], "quantity": MOVED_QUANTITY, "unit": product["default_uom"], **route}
    row = {**route, "planned_start_date": on, "planned_date": on, "moves": [("create", [move])]}
    ids = create(config, "stock.shipment.internal", [row])
    for button in ("wait", "assign_force", "pack", "ship", "do"):
        call(config, "stock.shipment.internal", button, ids)
    return {"product": MOVED, "before": before, "after": _stock_by_warehouse(config)}


def _stock_by_warehouse(config):
    warehouses = read(config, "stock.location", [["type", "=", "warehouse"]], ["code"])
    return {place["code"]: stock_of(config, place["id"])[MOVED]["quantity"] for place in warehouses}


def post_invoice(config, on):
    """A customer buys; what they owe grows by the invoice's total."""
    before = _owed(config)
    ids = draft_invoices(config, [(INVOICED, "TOO-002", 2, "169.90", on)])
    accept_warning(config, "invoice_payment_term", "account.invoice", ids[0])
    call(config, "account.invoice", "post", ids)
    (row,) = call(config, "account.invoice", "read", ids, ["number", "state", "total_amount", "amount_to_pay"])
    return {
        "customer": INVOICED,
        "invoice": row["number"],
        "state": row["state"],
        "total": text(row["total_amount"]),
        "amount_to_pay": text(row["amount_to_pay"]),
        "credit_amount": {"before": before, "after": _owed(config)},
    }


def _owed(config):
    (party,) = read(config, "party.party", [["code", "=", INVOICED]], ["credit_amount"])
    return text(party["credit_amount"])


def deactivate(config):
    """A product is switched off as a person does it: on its template; the question about goods in stock is accepted."""
    any_state = ["active", "in", [True, False]]
    (product,) = read(config, "product.product", [["code", "=", RETIRED], any_state], ["template", "template.active"])
    template = product["template"]
    accept_warning(config, "deactivate_product_with_stock", "product.template", template)
    call(config, "product.template", "write", [template], {"active": False})
    found = Model.get("product.product").find([("code", "=", RETIRED)])
    return {"product": RETIRED, "before": bool(product["template."]["active"]), "after": bool(found)}


def main() -> None:
    with session() as config:
        on: datetime.date = today(config)
        answer(
            {
                "price": change_price(config),
                "stock": move_stock(config, on),
                "invoice": post_invoice(config, on),
                "deactivated": deactivate(config),
            }
        )


if __name__ == "__main__":
    main()
