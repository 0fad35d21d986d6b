"""Fill an empty Tryton database with the demo company; runs once, against a server that works on that database."""

import time

from erp_session import answer, session, today
from seed_catalogue import seed_price_lists, seed_products, seed_stock, seed_units
from seed_company import seed_accounts, seed_company, seed_payment_terms, seed_users, seed_warehouses
from seed_trade import seed_invoices, seed_parties, seed_purchases, seed_sales


def main() -> None:
    seconds, made = {}, {}
    with session() as config:
        now = today(config)
        steps = (
            ("company", lambda: seed_company(config)),
            ("accounts", lambda: seed_accounts(config, now)),
            ("payment terms", lambda: seed_payment_terms(config)),
            ("warehouses", lambda: seed_warehouses(config)),
            ("users", lambda: seed_users(config)),
            ("units", lambda: seed_units(config)),
            ("products", lambda: seed_products(config, made["units"])),
            ("price lists", lambda: seed_price_lists(config, made["products"])),
            ("stock", lambda: seed_stock(config, now)),
            ("parties", lambda: seed_parties(config)),
            ("invoices", lambda: seed_invoices(config, now)),
            ("sales", lambda: seed_sales(config, now)),
            ("purchases", lambda: seed_purchases(config, now)),
        )
        for name, step in steps:
            begin = time.monotonic()
            made[name] = step()
            seconds[name] = round(time.monotonic() - begin, 2)
    answer({"today": now.isoformat(), "seconds": seconds})


if __name__ == "__main__":
    main()
