"""The demo's trade: customers and a supplier, invoices of all ages, payments, sales in every state, goods on order."""

import datetime
from decimal import Decimal

from erp_session import accept_warning, call, create, first, one, read
from proteus import Model

CUSTOMERS = 15
LISTS = ("Retail", "Wholesale", "Cost plus", "Whole boxes", "Tools only")
TERMS = ("30 days net", "60 days net", "Due at once", "Half at once, rest in 30 days")
LIMITS = (None, "0", "500", "2500", "10000", "75000.50")
"""By turns: no limit, no credit at all, and four amounts."""


def code_of(number):
    return f"CUST-{number:03}"


def seed_parties(config):
    """Fifteen customers (one of them inactive), contact persons' desks for five of them, one supplier."""
    belgium = one("country.country", ("code", "=", "BE")).id
    rows = [_customer(config, number, belgium) for number in range(1, CUSTOMERS + 1)]
    desks = [
        {
            "name": f"Purchasing Desk, Customer {number:02}",
            "code": f"DESK-{number:03}",
            "contact_mechanisms": [("create", [{"type": "email", "value": f"desk@customer-{number:02}.example"}])],
        }
        for number in range(1, 6)
    ]
    parts = {"name": "Supplier 01", "code": "SUPP-001", "addresses": [("create", [_site("Main", belgium, "9000")])]}
    ids = create(config, "party.party", [*rows, *desks, parts])
    kinds = create(config, "party.relation.type", [{"name": "is contact of"}, {"name": "has contact"}])
    call(config, "party.relation.type", "write", [kinds[0]], {"reverse": kinds[1]})
    call(config, "party.relation.type", "write", [kinds[1]], {"reverse": kinds[0]})
    links = [{"from_": ids[CUSTOMERS + n], "to": ids[n], "type": kinds[0]} for n in range(5)]
    create(config, "party.relation.all", links)
    call(config, "party.party", "write", [ids[CUSTOMERS - 1]], {"active": False})


def _customer(config, number, country):
    name, domain = f"Customer {number:02}", f"customer-{number:02}.example"
    sites = [{**_site(f"{name}, head office", country, f"{1000 + number}"), "invoice": True, "delivery": number % 3 != 0}]
    if number % 3 == 0:
        sites.append({**_site(f"{name}, warehouse gate 2", country, f"{2000 + number}"), "delivery": True})
    if number % 5 == 0:
        sites.append({**_site(f"{name}, shop", country, f"{3000 + number}"), "delivery": True, "invoice": False})
    contacts = [
        {"type": "email", "value": f"purchasing@{domain}", "name": "Purchasing Desk"},
        {"type": "phone", "value": f"+32 2 555 01 {number:02}", "name": "Front Desk"},
    ]
    if number % 2:
        contacts.append({"type": "email", "value": f"accounts@{domain}", "name": "Accounts Payable Desk"})
        contacts.append({"type": "website", "value": f"https://{domain}/"})
    row = {
        "name": f"{name} & Söhne" if number == 7 else name,
        "code": code_of(number),
        "addresses": [("create", sites)],
        "contact_mechanisms": [("create", contacts)],
        "customer_payment_term": one("account.invoice.payment_term", ("name", "=", TERMS[number % len(TERMS)])).id,
    }
    if number % 4:
        # not the type "eu_vat": for that one Tryton asks the European Commission's service over the internet
        row["identifiers"] = [("create", [{"type": "be_vat", "code": _vat(number)}])]
    if number % 6:
        row["sale_price_list"] = one("product.price_list", ("name", "=", LISTS[number % len(LISTS)])).id
    limit = LIMITS[number % len(LIMITS)]
    if limit is not None:
        row["credit_limit_amount"] = Decimal(limit)
    return row


def _site(name, country, postal_code):
    street = {"street_unstructured": "Example Street 1", "city": "Example City"}
    return {"party_name": name, "postal_code": postal_code, "country": country, **street}


def _vat(number):
    """A Belgian VAT number with a right check digit, from the start of the range, which no company was given."""
    return f"BE{number:08}{97 - number % 97:02}"


def seed_invoices(config, today):
    """Posted invoices from 120 days back to today, in date order; some are paid, one in part; two stay drafts.

    Each is (customer, days back, product, quantity, unit price, share that is paid).
    """
    wanted = [
        (1, 120, "TOO-001", 2, "149.00", "1"),
        (4, 110, "FAS-001", 1000, "0.11", "0"),
        (2, 95, "TOO-003", 1, "89.00", "0"),
        (5, 80, "BLK-002", 25.5, "11.40", "0"),
        (8, 64, "PAC-001", 240, "1.05", "0.4"),
        (9, 47, "TOO-002", 3, "169.90", "0"),
        (4, 33, "SRV-001", 6.5, "62.00", "1"),
        (10, 20, "TOO-006", 4, "55.10", "0"),
        (3, 14, "PAC-003", 10, "18.00", "0"),
        (11, 9, "TOO-005", 5, "28.00", "0"),
        (7, 6, "FAS-004", 60, "0.95", "0.5"),
        (13, 3, "BLK-004", 120.25, "7.1234", "0"),
        (5, 0, "TOO-004", 3, "24.50", "0"),
    ]
    drafts = [(code_of(number), product, quantity, price, days) for number, days, product, quantity, price, _ in wanted]
    ids = draft_invoices(config, [(*draft, today - datetime.timedelta(days=days)) for *draft, days in drafts])
    for invoice in ids:
        accept_warning(config, "invoice_payment_term", "account.invoice", invoice)
    call(config, "account.invoice", "post", ids)
    for invoice, (*_, paid) in zip(ids, wanted, strict=True):
        if paid != "0":
            pay(Model.get("account.invoice")(invoice), share=Decimal(paid), on=today)
    draft_invoices(
        config, [(code_of(6), "TOO-007", 2, "9.90", None), (code_of(12), "SRV-002", 1, "45.00", None)]
    )


def draft_invoices(config, wanted):
    """Make customer invoices of one line each from (customer, product, quantity, unit price, date); return their ids.

    The server fills in no account and no tax when a record comes over the network, so they are sent.
    """
    receivable = first("account.account", ("type.receivable", "=", True), ("closed", "!=", True)).id
    revenue = first("account.account", ("type.revenue", "=", True), ("closed", "!=", True)).id
    journal = one("account.journal", ("type", "=", "revenue")).id
    fields = ["customer_payment_term", "addresses"]
    parties = {row["code"]: row for row in read(config, "party.party", [], ["code", *fields])}
    fields = ["default_uom", "account_category.customer_taxes"]
    products = {row["code"]: row for row in read(config, "product.product", [], ["code", *fields])}
    rows = []
    for party_code, product_code, quantity, price, on in wanted:
        party, product = parties[party_code], products[product_code]
        line = {
            "type": "line",
            "product": product["id"],
            "quantity": float(quantity),
            "unit": product["default_uom"],
            "unit_price": Decimal(price),
            "account": revenue,
            "taxes": [("add", product["account_category."]["customer_taxes"])],
        }
        rows.append(
            {
                "type": "out",
                "party": party["id"],
                "invoice_address": party["addresses"][0],
                "payment_term": party["customer_payment_term"],
                "account": receivable,
                "journal": journal,
                "invoice_date": on,
                "lines": [("create", [line])],
            }
        )
    return create(config, "account.invoice", rows)


def pay(invoice, *, share, on):
    """Pay all of a posted invoice or a share of it by bank transfer."""
    wizard = invoice.click("pay")
    amount = (invoice.total_amount * share).quantize(Decimal("0.01"))
    wizard.form.amount = amount
    wizard.form.date = on
    wizard.form.payment_method = one("account.invoice.payment.method", ("name", "=", "Bank transfer"))
    wizard.execute("choice")
    if wizard.state != "end":  # the rest stays open: say what shall become of it
        wizard.form.type = "partial"
        wizard.execute("pay")


def seed_sales(config, today):
    """Sales as draft, quotation, processing and cancelled; those in process leave shipments to be made.

    None stays "confirmed": without a separate worker Tryton processes a sale in the call that confirms it.
    """
    wanted = [
        ("draft", 4, [("TOO-001", 1), ("TOO-007", 12)]),
        ("quotation", 10, [("FAS-001", 10), ("FAS-003", 150)]),
        ("quotation", 3, [("PAC-001", 3)]),
        ("processing", 5, [("TOO-001", 12), ("GLV-L", 4)]),
        ("processing", 11, [("BLK-001", 40.5), ("BLK-002", 2500)]),
        ("processing", 14, [("TOO-005", 2), ("TOO-003", 1)]),
        ("processing", 9, [("TOO-002", 1)]),
        ("cancelled", 3, [("PAC-005", 4)]),
    ]
    buttons = {
        "draft": [],
        "quotation": ["quote"],
        "processing": ["quote", "confirm"],
        "cancelled": ["cancel"],
    }
    for position, (state, number, lines) in enumerate(wanted, start=1):
        sale = Model.get("sale.sale")(party=one("party.party", ("code", "=", code_of(number))))
        sale.reference = f"PO-{position:04}"
        sale.sale_date = today
        sale.warehouse = one("stock.location", ("code", "=", "NORTH" if state == "quotation" else "MAIN"))
        for product, quantity in lines:
            line = sale.lines.new()
            line.product = one("product.product", ("code", "=", product))
            line.quantity = float(quantity)
        sale.save()
        for button in buttons[state]:
            sale.click(button)


def seed_purchases(config, today):
    """Two orders to the supplier: goods on order, which forecasts count and stock does not."""
    for warehouse, lines in (("MAIN", [("TOO-001", 30), ("TOO-009", 25)]), ("NORTH", [("BLK-003", 100.5)])):
        purchase = Model.get("purchase.purchase")(party=one("party.party", ("code", "=", "SUPP-001")))
        purchase.purchase_date = today
        purchase.delivery_date = today + datetime.timedelta(days=7)
        purchase.warehouse = one("stock.location", ("code", "=", warehouse))
        purchase.payment_term = one("account.invoice.payment_term", ("name", "=", "30 days net"))
        for product, quantity in lines:
            line = purchase.lines.new()
            line.product = one("product.product", ("code", "=", product))
            line.quantity = float(quantity)
            (cost,) = read(config, "product.product", [["code", "=", product]], ["cost_price"])
            line.unit_price = cost["cost_price"]
        purchase.save()
        for button in ("quote", "confirm", "process"):
            purchase.click(button)
