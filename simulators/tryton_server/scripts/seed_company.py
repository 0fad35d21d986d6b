"""The demo company: currency, chart of accounts, fiscal years, taxes, payment terms, warehouses, users."""

import datetime
from decimal import Decimal

from erp_session import call, create, first, one
from proteus import Model, Wizard


def seed_company(config):
    """Create the company and make it the session's; everything after this needs it in the context."""
    euro = Model.get("currency.currency")(name="Euro", symbol="€", code="EUR", rounding=Decimal("0.01"))
    euro.save()
    dollar = Model.get("currency.currency")(name="US dollar", symbol="$", code="USD", rounding=Decimal("0.01"))
    dollar.save()
    long_ago = datetime.date(2000, 1, 1)
    create(
        config,
        "currency.currency.rate",
        [
            {"currency": euro.id, "date": long_ago, "rate": Decimal("1.0")},
            {"currency": dollar.id, "date": long_ago, "rate": Decimal("1.25")},
        ],
    )
    create(config, "country.country", [{"name": "Belgium", "code": "BE", "code3": "BEL", "code_numeric": "056"}])
    party = Model.get("party.party")(name="Demo Trading Ltd", code="COMPANY")
    party.save()
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party = party
    wizard.form.currency = euro
    wizard.execute("add")
    config._context = Model.get("res.user").get_preferences(True, {})


def seed_accounts(config, today):
    """The minimal chart that Tryton ships, three fiscal years around today, two taxes, a way to be paid."""
    company = one("company.company")
    template = Model.get("ir.model.data").get_id("account", "account_template_root_en", config.context)
    wizard = Wizard("account.create_chart")
    wizard.execute("account")
    wizard.form.account_template = Model.get("account.account.template")(template)
    wizard.form.company = company
    wizard.execute("create_account")
    receivable, payable, expense, revenue = (
        first("account.account", (f"type.{kind}", "=", True), ("closed", "!=", True))
        for kind in ("receivable", "payable", "expense", "revenue")
    )
    wizard.form.account_receivable = receivable
    wizard.form.account_payable = payable
    wizard.form.category_account_expense = expense
    wizard.form.category_account_revenue = revenue
    wizard.execute("create_properties")
    for year in (today.year - 1, today.year, today.year + 1):
        _fiscal_year(company, year)
    tax_account = one("account.account", ("code", "=", "6.3.6"))
    for name, rate in (("Standard rate", "0.20"), ("Reduced rate", "0.05")):
        tax = Model.get("account.tax")(name=name, description=name, type="percentage", rate=Decimal(rate))
        tax.invoice_account = tax.credit_note_account = tax_account
        tax.save()
    for name, tax_name in (("Accounts, standard rate", "Standard rate"), ("Accounts, reduced rate", "Reduced rate")):
        category = Model.get("product.category")(name=name, accounting=True)
        category.account_expense, category.account_revenue = expense, revenue
        category.customer_taxes.append(one("account.tax", ("name", "=", tax_name)))
        category.save()
    cash = one("account.account", ("code", "=", "1.1.1"))
    method = Model.get("account.invoice.payment.method")(name="Bank transfer")
    method.journal = one("account.journal", ("type", "=", "cash"))
    method.credit_account = method.debit_account = cash
    method.save()


def _fiscal_year(company, year):
    start, end = datetime.date(year, 1, 1), datetime.date(year, 12, 31)
    sequences = []
    for kind, prefix in (("Account Move", ""), ("Invoice", f"INV-{year}-"), ("Invoice", f"BILL-{year}-")):
        sequence = Model.get("ir.sequence.strict")(name=f"{kind} {year}", company=company, prefix=prefix, padding=4)
        sequence.sequence_type = one("ir.sequence.type", ("name", "=", kind))
        sequence.save()
        sequences.append(sequence)
    fiscal_year = Model.get("account.fiscalyear")(name=str(year), company=company, start_date=start, end_date=end)
    fiscal_year.move_sequence = sequences[0]
    (numbers,) = fiscal_year.invoice_sequences
    numbers.out_invoice_sequence = numbers.out_credit_note_sequence = sequences[1]
    numbers.in_invoice_sequence = numbers.in_credit_note_sequence = sequences[2]
    fiscal_year.save()
    fiscal_year.click("create_period")


def seed_payment_terms(config):
    """Net 30, net 60, at once, and half now with the rest in 30 days (an invoice with two due dates)."""
    months = {"months": 0, "weeks": 0}
    at_once = [("create", [{**months, "days": 0}])]
    rows = [
        {
            "name": f"{days} days net",
            "lines": [("create", [{"type": "remainder", "relativedeltas": [("create", [{**months, "days": days}])]}])],
        }
        for days in (30, 60)
    ]
    rows.append({"name": "Due at once", "lines": [("create", [{"type": "remainder", "relativedeltas": at_once}])]})
    half = {"type": "percent", "ratio": Decimal("0.5"), "divisor": Decimal("2"), "relativedeltas": at_once}
    rest = {"type": "remainder", "relativedeltas": [("create", [{**months, "days": 30}])]}
    rows.append({"name": "Half at once, rest in 30 days", "lines": [("create", [half, rest])]})
    create(config, "account.invoice.payment_term", rows)


def seed_warehouses(config):
    """The main warehouse that Tryton ships, a second one, and one that stays empty."""
    main = one("stock.location", ("type", "=", "warehouse"))
    call(config, "stock.location", "write", [main.id], {"name": "Main warehouse", "code": "MAIN"})
    call(config, "stock.location", "write", [main.storage_location.id], {"code": "MAIN-STO"})
    for name, code in (("North warehouse", "NORTH"), ("Overflow warehouse", "OVER")):
        places = create(
            config,
            "stock.location",
            [
                {"name": f"{name}: input", "code": f"{code}-IN", "type": "storage"},
                {"name": f"{name}: output", "code": f"{code}-OUT", "type": "storage"},
                {"name": f"{name}: storage", "code": f"{code}-STO", "type": "storage"},
            ],
        )
        row = {"name": name, "code": code, "type": "warehouse", "lost_found_location": main.lost_found_location.id}
        row |= dict(zip(("input_location", "output_location", "storage_location"), places, strict=True))
        create(config, "stock.location", [row])


def seed_users(config):
    """`hub` may read all and sell; `limited` belongs to no group and meets permission errors."""
    company = one("company.company").id
    names = [
        "Sales",
        "Sales Administrator",
        "Stock",
        "Accounting",
        "Purchase",
        "Party Administration",
        "Account Credit Limit",
    ]
    groups = [group.id for group in Model.get("res.group").find([("name", "in", names)])]
    common = {"companies": [("add", [company])], "company": company}
    rows = [{"name": "Hub", "login": "hub", "password": "hub-Demo-1", "groups": [("add", groups)], **common}]
    rows.append({"name": "Limited", "login": "limited", "password": "limited-Demo-1", **common})
    create(config, "res.user", rows)
