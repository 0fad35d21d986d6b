"""The demo catalogue: units, categories, about forty products in two languages, price lists and stock."""

from decimal import Decimal

from erp_session import call, create, one, read
from proteus import Model

# name, name in German, list price, cost price, default unit, sale unit, kind
FASTENERS = [
    ("Hex bolt M4 x 20, steel", "Sechskantschraube M4 x 20, Stahl", "0.12", "0.05", "u", "bx"),
    ("Hex bolt M6 x 30, steel", "Sechskantschraube M6 x 30, Stahl", "0.18", "0.08", "u", "bx"),
    ("Hex bolt M8 x 40, steel", "Sechskantschraube M8 x 40, Stahl", "0.31", "0.15", "u", "u"),
    ("Hex bolt M10 x 50, stainless", "Sechskantschraube M10 x 50, rostfrei", "0.95", "0.4875", "u", "u"),
    ("Hex nut M4", "Sechskantmutter M4", "0.03", "0.0125", "u", "bx"),
    ("Hex nut M6", "Sechskantmutter M6", "0.05", "0.0210", "u", "bx"),
    ("Hex nut M8", "Sechskantmutter M8", "0.08", "0.0333", "u", "u"),
    ("Washer 6 mm", "Unterlegscheibe 6 mm", "0.0175", "0.0070", "u", "ct"),
    ("Washer 8 mm", "Unterlegscheibe 8 mm", "0.0225", "0.0090", "u", "ct"),
    ("Wood screw 4 x 40", "Holzschraube 4 x 40", "0.07", "0.031", "u", "bx"),
    ("Wall plug 8 mm", "Dübel 8 mm", "0.06", "0.025", "u", "bx"),
    ('Threaded rod 1/2" x 1 m', 'Gewindestange 1/2" x 1 m', "6.40", "3.90", "u", "u"),
]
TOOLS = [
    ("Cordless drill 18 V", "Akku-Bohrschrauber 18 V", "149.00", "96.00", "u", "u"),
    ("Impact driver 18 V", "Schlagschrauber 18 V", "169.90", "110.00", "u", "u"),
    ("Angle grinder 125 mm", "Winkelschleifer 125 mm", "89.00", "52.50", "u", "u"),
    ("Claw hammer 500 g", "Klauenhammer 500 g", "24.50", "11.20", "u", "u"),
    ("Screwdriver set, 6 pieces", "Schraubendreher-Satz, 6-teilig", "32.00", "15.75", "u", "u"),
    ("Combination wrench set", "Ringgabelschlüssel-Satz", "58.00", "30.10", "u", "u"),
    ("Tape measure 5 m", "Rollbandmaß 5 m", "9.90", "4.05", "u", "u"),
    ("Spirit level 60 cm", "Wasserwaage 60 cm", "27.30", "13.00", "u", "u"),
    ("Hand saw 550 mm", "Handsäge 550 mm", "21.00", "9.80", "u", "u"),
]
BULK = [
    ("Coarse sea salt", "Grobes Meersalz", "1.85", "0.90", "kg", "kg"),
    ("Green coffee beans", "Grüne Kaffeebohnen", "11.40", "7.20", "kg", "g"),
    ("Granulated adhesive", "Klebstoffgranulat", "8.75", "5.10", "kg", "kg"),
    ("Copper wire, scrap", "Kupferdraht, Schrott", "7.1234", "6.0001", "kg", "kg"),
    ("Saffron threads", "Safranfäden", "4.9500", "3.1000", "g", "g"),
    ("Quartz sand 0.1-0.5 mm", "Quarzsand 0,1-0,5 mm", "0.22", "0.11", "kg", "kg"),
]
PACKAGING = [
    ("Shipping carton 400 x 300 x 200", "Versandkarton 400 x 300 x 200", "1.10", "0.48", "u", "bx"),
    ("Shipping carton 600 x 400 x 300", "Versandkarton 600 x 400 x 300", "1.95", "0.88", "u", "bx"),
    ("Pallet, wood, 1200 x 800", "Holzpalette 1200 x 800", "18.00", "11.00", "u", "u"),
    ("Stretch film <clear> & strong", "Stretchfolie <klar> & stark", "7.60", "3.95", "u", "ct"),
    ("Packing tape 50 mm", "Packband 50 mm", "2.05", "0.80", "u", "bx"),
    ("Rope 8 mm", "Seil 8 mm", "0.74", "0.33", "m", "m"),
]
SERVICES = [
    ("Installation, per hour", "Montage, je Stunde", "62.00", "38.00", "h", "h"),
    ("Delivery, pallet", "Lieferung, Palette", "45.00", "32.00", "u", "u"),
]
FAMILIES = {
    "FAS": ("Fasteners", FASTENERS, "goods"),
    "TOO": ("Tools", TOOLS, "goods"),
    "BLK": ("Bulk goods", BULK, "goods"),
    "PAC": ("Packaging", PACKAGING, "goods"),
    "SRV": ("Services", SERVICES, "service"),
}
MAIN_STOCK = {"BLK-001": "512.75", "BLK-002": "83.4", "BLK-003": "0.25", "BLK-004": "1204.06", "BLK-005": "950"}
"""Kilograms or grams; every other product holds whole numbers."""
EMPTY_EVERYWHERE = "TOO-009"
ONLY_NORTH = ("TOO-008", "FAS-011")


def seed_units(config):
    """A box of 12 and a carton of 100 beside Tryton's own units; return unit ids by a short key."""
    # "translatable" is read-only over the network; this button sets it
    call(config, "ir.lang", "load_translations", [one("ir.lang", ("code", "=", "de")).id])
    units = one("product.uom.category", ("name", "=", "Units")).id
    whole = {"category": units, "digits": 0, "rounding": 1.0}
    create(
        config,
        "product.uom",
        [
            {"name": "Box of 12", "symbol": "bx", "factor": 12.0, "rate": round(1 / 12, 12), **whole},
            {"name": "Carton of 100", "symbol": "ct", "factor": 100.0, "rate": 0.01, **whole},
        ],
    )
    return {unit.symbol: unit.id for unit in Model.get("product.uom").find([])}


def seed_products(config, units):
    """Create the products; return variant ids by code."""
    goods = create(config, "product.category", [{"name": "Goods"}])[0]
    standard = one("product.category", ("name", "=", "Accounts, standard rate")).id
    reduced = one("product.category", ("name", "=", "Accounts, reduced rate")).id
    rows, translations = [], {}
    for prefix, (category, products, kind) in FAMILIES.items():
        parent = None if kind == "service" else goods
        family = create(config, "product.category", [{"name": category, "parent": parent}])[0]
        for number, (name, german, price, cost, unit, sale_unit) in enumerate(products, start=1):
            code = f"{prefix}-{number:03}"
            translations[code] = german
            variant = {"suffix_code": "", "cost_price": Decimal(cost)}
            if kind == "goods" and prefix in ("TOO", "PAC"):
                variant["identifiers"] = [("create", [{"type": "ean", "code": _ean(prefix, number)}])]
            if code == "TOO-001":
                variant["description"] = "Two batteries, charger and case.\nWeight 1.6 kg."
            rows.append(
                {
                    **_sellable(code, name, kind, units[unit], units[sale_unit], Decimal(price)),
                    "categories": [("add", [family])],
                    "account_category": reduced if prefix == "BLK" else standard,
                    "products": [("create", [variant])],
                }
            )
    tools = one("product.category", ("name", "=", "Tools")).id
    gloves = [
        {"suffix_code": "-S", "cost_price": Decimal("3.10")},
        {"suffix_code": "-L", "cost_price": Decimal("3.30"), "list_price": Decimal("7.90")},
    ]
    rows.append(
        {
            **_sellable("GLV", "Work gloves", "goods", units["u"], units["u"], Decimal("7.20")),
            "categories": [("add", [tools])],
            "account_category": standard,
            "products": [("create", gloves)],
        }
    )
    retired = _sellable("OLD-001", "Cordless drill 12 V (retired)", "goods", units["u"], units["u"], Decimal("99.00"))
    old_variant = {"suffix_code": "", "cost_price": Decimal("70")}
    rows.append({**retired, "account_category": standard, "products": [("create", [old_variant])]})
    translations |= {"GLV": "Arbeitshandschuhe", "OLD-001": "Akku-Bohrschrauber 12 V (ausgelaufen)"}
    templates = create(config, "product.template", rows)
    for template, row in zip(templates, rows, strict=True):
        german = {"name": translations[row["code"]]}
        call(config, "product.template", "write", [template], german, language="de")
    call(config, "product.template", "write", [templates[-1]], {"active": False})  # its variants follow
    found = Model.get("product.product").find([("active", "in", (True, False))])
    return {product.code: product.id for product in found}


def _sellable(code, name, kind, unit, sale_unit, price):
    return {
        "code": code,
        "name": name,
        "type": kind,
        "default_uom": unit,
        "sale_uom": sale_unit,
        "purchase_uom": unit,
        "list_price": price,
        "salable": True,
        "purchasable": kind == "goods",
    }


def _ean(prefix, number):
    """A valid thirteen-digit code from the range that is kept for use inside one company (prefix 2)."""
    digits = f"2{sum(map(ord, prefix)):05}{number:06}"
    odd, even = (sum(map(int, digits[start::2])) for start in (0, 1))
    return digits + str(-(odd + 3 * even) % 10)


def seed_price_lists(config, products):
    """Five lists; the first line that matches gives the price, so larger quantities come first."""
    category = {row.name: row.id for row in Model.get("product.category").find([])}
    tools, fasteners, goods = category["Tools"], category["Fasteners"], category["Goods"]
    lists = [
        ("Retail", "list_price", "product_default", [("unit_price", {})]),
        (
            "Wholesale",
            "list_price",
            "product_default",
            [
                ("unit_price * 0.75", {"product": products["TOO-001"], "quantity": 10.0}),
                ("139.00", {"product": products["TOO-001"]}),
                ("unit_price * 0.8", {"category": fasteners, "quantity": 100.0}),
                ("unit_price * 0.9", {"category": fasteners, "quantity": 10.0}),
                ("unit_price * 0.85", {"category": tools, "quantity": 10.0}),
                ("unit_price * 0.95", {}),
            ],
        ),
        (
            "Cost plus",
            "cost_price",
            "product_default",
            [
                ("cost_price * 1.15", {"quantity": 100.0}),
                ("cost_price * 1.25 if cost_price > 1 else cost_price * 1.5", {"category": goods}),
                ("cost_price * 1.25", {}),
            ],
        ),
        (
            "Whole boxes",
            "list_price",
            "product_sale",
            [
                ("(list_price * 0.9).quantize(Decimal('0.01'))", {"category": tools, "quantity": 10.0}),
                ("list_price * 0.88", {"quantity": 10.0}),
                ("(list_price * 0.97 + 0.005) // 0.01 * 0.01", {}),
            ],
        ),
        ("Tools only", "list_price", "product_default", [("unit_price - unit_price * 0.125", {"category": tools})]),
    ]
    rows = [
        {
            "name": name,
            "price": price,
            "unit": unit,
            "lines": [
                ("create", [{"sequence": n, "formula": f, **match} for n, (f, match) in enumerate(lines, start=1)])
            ],
        }
        for name, price, unit, lines in lists
    ]
    create(config, "product.price_list", rows, language="en")


def seed_stock(config, today):
    """A stock count at two warehouses; one product is nowhere, two only in the north, the third warehouse is empty."""
    goods = read(config, "product.product", [["type", "=", "goods"]], ["code"])
    lines = {"MAIN": [], "NORTH": []}
    for position, product in enumerate(goods):
        code = product["code"]
        amounts = {"MAIN": float(MAIN_STOCK.get(code, 20 + 15 * position)), "NORTH": float(5 * (position % 4))}
        if code == EMPTY_EVERYWHERE:
            continue
        if code in ONLY_NORTH:
            amounts = {"MAIN": 0.0, "NORTH": 30.0}
        for warehouse, quantity in amounts.items():
            if quantity:
                lines[warehouse].append({"product": product["id"], "quantity": quantity})
    rows = [
        {
            "location": one("stock.location", ("code", "=", f"{warehouse}-STO")).id,
            "date": today,
            "lines": [("create", counted)],
        }
        for warehouse, counted in lines.items()
    ]
    call(config, "stock.inventory", "confirm", create(config, "stock.inventory", rows))
