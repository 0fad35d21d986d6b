"""What both sides must agree on, as Tryton's own client reads it: one JSON object, all numbers as strings.

The independent witness of a value-by-value comparison: it asks with another protocol (XML-RPC), another user and
another client than the connector does, and lets Tryton compute stock, prices and balances.
"""

from collections import Counter

from erp_session import answer, call, read, session, stock_of, text, today

ANY_STATE = ["active", "in", [True, False]]
SAMPLE_QUANTITIES = (1.0, 9.0, 10.0, 100.0, 1200.0)
SAMPLE_PRODUCTS = ("FAS-001", "FAS-003", "FAS-008", "TOO-001", "TOO-003", "BLK-002", "BLK-005", "GLV-L", "SRV-001")


def units(config):
    fields = ["name", "symbol", "factor", "rate", "rounding", "digits", "active", "category.name"]
    return {
        row["name"]: {
            "symbol": row["symbol"],
            "category": row["category."]["name"],
            "factor": text(row["factor"]),
            "rate": text(row["rate"]),
            "rounding": text(row["rounding"]),
            "digits": row["digits"],
        }
        for row in read(config, "product.uom", [], fields)
    }


def products(config):
    fields = ["code", "template.name", "template.type", "list_price_used", "cost_price", "description"]
    fields += ["default_uom.name", "sale_uom.name", "salable"]
    german = {
        row["id"]: row["template."]["name"]
        for row in read(config, "product.product", [ANY_STATE], ["template.name"], language="de")
    }
    active = {row["id"] for row in read(config, "product.product", [], ["code"])}
    barcodes = {}
    for row in read(config, "product.identifier", [], ["product", "type", "code"]):
        barcodes.setdefault(row["product"], []).append({"type": row["type"], "code": row["code"]})
    return {
        row["code"]: {
            "active": row["id"] in active,
            "names": {"en": row["template."]["name"], "de": german[row["id"]]},
            "type": row["template."]["type"],
            "list_price": text(row["list_price_used"]),
            "cost_price": text(row["cost_price"]),
            "unit": row["default_uom."]["name"],
            "sale_unit": row["sale_uom."]["name"],
            "salable": bool(row["salable"]),
            "description": row["description"],
            "identifiers": barcodes.get(row["id"], []),
        }
        for row in read(config, "product.product", [ANY_STATE], fields)
    }


def stock(config):
    places = read(config, "stock.location", [["type", "=", "warehouse"]], ["code"])
    return {place["code"]: stock_of(config, place["id"]) for place in places}


def prices(config):
    """Tryton's own answer for one unit, in the default and in the sale unit; null where the list has no line for it."""
    fields = ["code", "default_uom", "sale_uom", "default_uom.name", "sale_uom.name"]
    known = read(config, "product.product", [["code", "in", list(SAMPLE_PRODUCTS)]], fields)
    samples = []
    for price_list in read(config, "product.price_list", [], ["name"]):
        for quantity in SAMPLE_QUANTITIES:
            for unit in ("default_uom", "sale_uom"):
                samples += _sample(config, price_list, known, unit, quantity)
    return samples


def _sample(config, price_list, known, unit, quantity):
    """All products that share a unit are asked for in one call, since the unit comes from the context."""
    by_unit = {}
    for product in known:
        if unit == "default_uom" or product["sale_uom"] != product["default_uom"]:
            by_unit.setdefault(product[unit], []).append(product)
    for unit_id, group in by_unit.items():
        asked = {"price_list": price_list["id"], "quantity": quantity, "uom": unit_id}
        ids = [product["id"] for product in group]
        found = call(config, "product.product", "read", ids, ["sale_price_uom"], **asked)
        answers = {row["id"]: row["sale_price_uom"] for row in found}
        for product in group:
            yield {
                "price_list": price_list["name"],
                "product": product["code"],
                "quantity": text(quantity),
                "unit": product[f"{unit}."]["name"],
                "unit_price": text(answers[product["id"]]),
            }


def customers(config):
    fields = ["code", "name", "active", "credit_limit_amount", "credit_amount", "sale_price_list.name"]
    fields += ["customer_payment_term.name", "tax_identifier.code"]
    addresses = _by_party(config, "party.address", ["party_name", "street", "postal_code", "city", "invoice", "delivery"])
    mechanisms = _by_party(config, "party.contact_mechanism", ["type", "value", "name"])
    return {
        row["code"]: {
            "name": row["name"],
            "active": bool(row["active"]),  # SQLite answers 1 and 0
            "credit_limit": text(row["credit_limit_amount"]),
            "credit_amount": text(row["credit_amount"]),
            "price_list": (row["sale_price_list."] or {}).get("name"),
            "payment_term": (row["customer_payment_term."] or {}).get("name"),
            "tax_identifier": (row["tax_identifier."] or {}).get("code"),
            "addresses": addresses.get(row["id"], []),
            "contact_mechanisms": mechanisms.get(row["id"], []),
        }
        for row in read(config, "party.party", [["code", "like", "CUST-%"], ANY_STATE], fields)
    }


def _by_party(config, model, fields):
    found = {}
    for row in read(config, model, [], ["party", *fields]):
        flags = {name: bool(row[name]) for name in ("invoice", "delivery") if name in fields}
        found.setdefault(row["party"], []).append({name: row[name] for name in fields} | flags)
    return found


def invoices(config):
    fields = ["number", "state", "total_amount", "untaxed_amount", "tax_amount", "amount_to_pay", "invoice_date"]
    return {
        row["number"]: {
            "customer": row["party."]["code"],
            "state": row["state"],
            "date": row["invoice_date"].isoformat()[:10],
            "total": text(row["total_amount"]),
            "untaxed": text(row["untaxed_amount"]),
            "tax": text(row["tax_amount"]),
            "amount_to_pay": text(row["amount_to_pay"]),
            "due": _due(config, row["id"]),
        }
        for row in read(
            config, "account.invoice", [["type", "=", "out"], ["number", "!=", None]], [*fields, "party.code"]
        )
    }


def _due(config, invoice):
    """The due dates and amounts that are still open, oldest first."""
    domain = [["move.origin", "=", f"account.invoice,{invoice}"], ["account.type.receivable", "=", True]]
    domain += [["reconciliation", "=", None], ["maturity_date", "!=", None], ["debit", ">", 0]]
    rows = read(config, "account.move.line", domain, ["maturity_date", "debit"], order=(("maturity_date", "ASC"),))
    return [{"date": row["maturity_date"].isoformat()[:10], "amount": text(row["debit"])} for row in rows]


def sales(config):
    fields = ["number", "reference", "state", "total_amount", "untaxed_amount", "party.code"]
    return {
        row["reference"]: {
            "number": row["number"],
            "customer": row["party."]["code"],
            "state": row["state"],
            "total": text(row["total_amount"]),
            "untaxed": text(row["untaxed_amount"]),
        }
        for row in read(config, "sale.sale", [["reference", "!=", None]], fields)
    }


def sale_counts(config):
    """How many sales carry each reference: Tryton takes the same one twice."""
    return dict(Counter(row["reference"] for row in read(config, "sale.sale", [["reference", "!=", None]], ["reference"])))


def main() -> None:
    with session() as config:
        answer(
            {
                "today": today(config).isoformat(),
                "units": units(config),
                "products": products(config),
                "stock": stock(config),
                "prices": prices(config),
                "customers": customers(config),
                "invoices": invoices(config),
                "sales": sales(config),
                "sale_counts": sale_counts(config),
            }
        )


if __name__ == "__main__":
    main()
