"""Units, products, price lists and the prices that the server computes from their formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.erp.tryton.client import ALSO_INACTIVE, Domain, TrytonClient
from connectors.erp.tryton.records import UOM_DECIMALS, Row, exact, tidy, unit_ratio, with_ratios
from connectors.erp.tryton.streams import (
    Made,
    Table,
    TableStream,
    batches,
    found,
    id_of,
    of_company,
    page_of,
    record_of,
)
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from crm_core.errors import ConfigurationFault, RecordNotFound, ValidationRejected
from crm_core.ids import ExternalId

COMPANY: Shape = {"id": "integer", "currency": "text"}
UNIT: Shape = {"id": "integer", "symbol": "text", "category": "integer"}
UOM_ASKED: Shape = {
    "id": "integer",
    "name": "text",
    "symbol": "text",
    "active": "boolean",
    "factor": "number",
    "rate": "number",
    "digits": "integer",
    "rounding": "number",
}
UOM: Shape = {**UOM_ASKED, "numerator": "integer", "denominator": "integer", "is_base": "boolean"}
GROUP_ASKED: Shape = {"id": "integer", "name": "text", "uoms": [UOM_ASKED]}
GROUP: Shape = {"id": "integer", "name": "text", "uoms": [UOM]}
PRODUCT_ASKED: Shape = {
    "id": "integer",
    "code": "text",
    "name": "text",
    "description": "text",
    "active": "boolean",
    "type": "text",
    "list_price_used": "number",
    "cost_price": "number",
    "lead_time": "number",
    "default_uom": UNIT,
    "sale_uom": UNIT,
    "identifiers": [{"id": "integer", "type": "text", "code": "text"}],
    "template": {
        "id": "integer",
        "code": "text",
        "active": "boolean",
        "salable": "boolean",
        "list_price": "number",
        "categories": [{"id": "integer", "name": "text", "rec_name": "text"}],
    },
}
PRODUCT: Shape = {**PRODUCT_ASKED, "names": "any", "company": COMPANY}
LIST_ASKED: Shape = {
    "id": "integer",
    "name": "text",
    "active": "boolean",
    "tax_included": "boolean",
    "price": "text",
    "unit": "text",
    "lines": [
        {"id": "integer", "quantity": "number", "product": "integer", "category": "integer", "formula": "text"},
    ],
}
LIST: Shape = {**LIST_ASKED, "company": COMPANY}
PRICE: Shape = {
    "price_list": {"id": "integer", "name": "text"},
    "product": {"id": "integer", "code": "text"},
    "unit": UNIT,
    "quantity": "number",
    "price": "number",
    "tax_included": "boolean",
    "company": COMPANY,
}
SOLD_IN: Shape = {**UNIT, "factor": "number", "rate": "number"}
PRICED: Shape = {
    "code": "text",
    "default_uom": SOLD_IN,
    "sale_uom": SOLD_IN,
    "categories_all": "any",
}
Step = tuple[Decimal, Decimal | None]
"""From this quantity on, this price; None = no price."""
BEHIND_PRODUCT = (
    "template",
    "identifiers",
    "list_prices",
    "cost_prices",
    "template.list_prices",
    "template.lead_times",
    "template.categories",
    "template.default_uom",
    "template.sale_uom",
)


def unit_groups(client: TrytonClient, shape: Shape = GROUP_ASKED) -> TableStream:
    """Unit categories with their units; the conversions exact."""
    table = Table("product.uom.category", shape, [], follows=("uoms",), clocks=("product.uom",))
    return TableStream(client, table, lambda rows: [record_of(row["id"], with_ratios(row), stamps=row) for row in rows])


def products(client: TrytonClient, shape: Shape = PRODUCT_ASKED) -> TableStream:
    """Variants with what they take from their template, names in every translated language."""
    table = Table("product.product", shape, [], follows=BEHIND_PRODUCT, clocks=("product.template",))

    def make(rows: list[Row]) -> list[SourceRecord]:
        names: dict[int, Row] = {row["id"]: {client.language: row["name"]} for row in rows}
        for language in client.languages[1:] if rows else ():
            for row in client.read("product.product", list(names), {"name": "text"}, context={"language": language}):
                names[row["id"]][language] = row["name"]
        company = of_company(client)
        made = []
        for row in rows:
            # Deactivating a template hides its variants without touching their own flag.
            is_active = row["active"] and (row["template"] or {}).get("active") is not False
            names_of = names[row["id"]]
            made.append(record_of(row["id"], {**row, "active": is_active, "names": names_of, "company": company}))
        return made

    return TableStream(client, table, make)


def price_lists(client: TrytonClient, shape: Shape = LIST_ASKED) -> TableStream:
    """The company's price lists, as headers; their prices are the stream `price`."""
    domain = [["company", "=", client.company.id]]
    table = Table("product.price_list", shape, domain, follows=("lines",), clocks=("product.price_list.line",))
    shared = of_company(client)
    return TableStream(client, table, lambda rows: [record_of(row["id"], {**row, "company": shared}) for row in rows])


def ancestors(category: int, parents: Mapping[int, int | None]) -> set[int]:
    """A category and all above it; a cycle ends where it began."""
    seen: set[int] = set()
    at: int | None = category
    while at is not None and at not in seen:
        seen.add(at)
        at = parents.get(at)
    return seen


def breaks_of(price_list: Row, product: Row, parents: Mapping[int, int | None]) -> list[Decimal]:
    """The quantities at which the price of a product may change, in its default unit: 0 and those of the lines that
    can match it. Empty when no line can.

    A list counts in the product's default unit or in its sales unit (`unit`).
    """
    counted_in = (product["sale_uom"] if price_list["unit"] == "product_sale" else None) or product["default_uom"]
    categories = set().union(*(ancestors(category, parents) for category in product["categories_all"] or ()))
    quantities = {
        quantity_in(exact(line["quantity"]), counted_in, product["default_uom"])
        for line in price_list["lines"]
        if line["product"] in (None, product["id"]) and (line["category"] is None or line["category"] in categories)
    }
    return sorted(quantities | {Decimal(0)}) if quantities else []


def quantity_in(quantity: Decimal, unit: Row, other: Row) -> Decimal:
    """A quantity in another unit; one without end is rounded up, so that nothing below the break reaches it."""
    if unit["id"] == other["id"]:
        return quantity
    converted = Fraction(quantity) * ratio_of(unit) / ratio_of(other) if ratio_of(other) else Fraction(0)
    scaled = converted * 10**UOM_DECIMALS
    return Decimal(-(-scaled.numerator // scaled.denominator)).scaleb(-UOM_DECIMALS)


def ratio_of(unit: Row) -> Fraction:
    """How many base units one unit is."""
    return unit_ratio(exact(unit["factor"]), exact(unit["rate"]))


def units_of(product: Row) -> list[Row]:
    """The units whose prices are asked for: the default unit, and the sales unit where rounding can make a difference.

    A whole number of default units costs exactly that many times a price of four places; nobody has to be asked.
    """
    default, sale = product["default_uom"], product["sale_uom"]
    if sale is None or sale["category"] != default["category"] or not ratio_of(default):
        return [default]
    return [default] if (ratio_of(sale) / ratio_of(default)).denominator == 1 else [default, sale]


def differs(steps: Sequence[Step], others: Sequence[Step], unit: Row, other: Row) -> bool:
    """Whether prices per another unit are not the same prices, converted exactly."""
    factor = ratio_of(other) / ratio_of(unit) if ratio_of(unit) else Fraction(1)
    pairs = zip(steps, others, strict=True)
    return any((a is None) != (b is None) or (a and b and Fraction(a) * factor != b) for (_, a), (_, b) in pairs)


def without_repeats(prices: Sequence[Step]) -> list[Step]:
    """(quantity, price) in rising quantities, without those that change nothing. No price is nothing at the start."""
    kept: list[Step] = []
    before: Decimal | None = None
    for quantity, price in prices:
        if price != before:
            kept.append((quantity, price))
        before = price
    return kept


class Prices:
    """What the server makes of each list's formulas, for each product at each quantity where it may change.

    An id is `<list>:<product>:<quantity>`, per the product's default unit. Tryton rounds a unit price to four places,
    so that its price of a gram is not always a thousandth of its price of a kilogram: where the price per the sales
    unit is another one, it is a record of its own, `<list>:<product>:<quantity>:<unit>`.

    There is no date to tell what changed: a price depends on the list, its lines, the product's list and cost price,
    its categories and its units. So it is read whole. The position is `<list id>|<product id>`.
    """

    replication = Replication.FULL

    def __init__(self, client: TrytonClient) -> None:
        self._client = client
        self._table = Table("product.product", PRICED, [["template.salable", "=", True]])

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """All prices, list by list; `since` makes no difference."""
        list_id, product_id = _list_and_product(resume)
        lists = [row for row in self._lists([]) if row["id"] >= list_id]
        parents = self._parents()
        if not lists:
            yield Page(records=[])
        for position, price_list in enumerate(lists, start=1):
            last_id = product_id if price_list["id"] == list_id else 0
            for batch in batches(self._client, self._table, [], last_id, self._client.page_size):
                is_last = batch.is_last and position == len(lists)
                after = f"{price_list['id']}|{batch.last_id}"
                if batch.is_last and not is_last:
                    after = f"{lists[position]['id']}|0"
                made = self._prices(price_list, batch.rows, parents)
                yield page_of(made, resume=None if is_last else after)

    def get(self, external_id: ExternalId) -> SourceRecord:
        """One price. Raises RecordNotFound, also when the quantity changes no price."""
        numbers = external_id.split(":")
        if len(numbers) not in (3, 4):
            raise RecordNotFound(f"price {external_id[:60]!r}: expected <list>:<product>:<quantity>")
        lists = self._lists([["id", "=", id_of(numbers[0], "price list")]])
        domain = [["id", "=", id_of(numbers[1], "product")], self._table.domain]
        rows = self._client.search_read(self._table.model, domain, PRICED, context=ALSO_INACTIVE)
        made = self._prices(lists[0], rows, self._parents()) if lists else []
        return found(made, external_id, "price")

    def _lists(self, domain: Domain) -> list[Row]:
        domain = [["company", "=", self._client.company.id], ["active", "in", [True, False]], domain]
        return self._client.search_all("product.price_list", domain, LIST_ASKED)

    def _parents(self) -> dict[int, int | None]:
        domain = [["parent", "!=", None]]
        rows = self._client.search_all("product.category", domain, {"parent": "integer"})
        return {row["id"]: row["parent"] for row in rows}

    def _prices(self, price_list: Row, products: list[Row], parents: Mapping[int, int | None]) -> list[Made]:
        quantities: dict[tuple[int, int], list[Decimal]] = {}
        questions: dict[tuple[int, Decimal], list[int]] = {}
        for product in products:
            breaks = breaks_of(price_list, product, parents)
            for unit in units_of(product):
                converted = [quantity_in(quantity, product["default_uom"], unit) for quantity in breaks]
                quantities[product["id"], unit["id"]] = converted
                for quantity in converted:
                    questions.setdefault((unit["id"], quantity), []).append(product["id"])
        refused: dict[int, str] = {}
        answers: dict[tuple[int, int, Decimal], Decimal | None] = {}
        for (unit_id, quantity), ids in questions.items():
            for product_id, price in self._ask(price_list["id"], unit_id, quantity, ids, refused):
                answers[product_id, unit_id, quantity] = price
        made: list[Made] = []
        for product in products:
            number = product["id"]
            if number in refused:
                asked = [(unit, quantity) for unit in units_of(product) for quantity in quantities[number, unit["id"]]]
                made += [self._refused(price_list, product, *one, reason=refused[number]) for one in asked]
                continue
            default, *others = units_of(product)
            steps = [(q, answers.get((number, default["id"], q))) for q in quantities[number, default["id"]]]
            made += self._records(price_list, product, default, steps)
            for unit in others:
                other_steps = [(q, answers.get((number, unit["id"], q))) for q in quantities[number, unit["id"]]]
                if differs(steps, other_steps, default, unit):
                    made += self._records(price_list, product, unit, other_steps)
        return made

    def _ask(
        self, list_id: int, unit_id: int, quantity: Decimal, ids: list[int], refused: dict[int, str]
    ) -> Iterator[tuple[int, Decimal | None]]:
        """Prices of many products in one call. When a formula fails for one of them, the halves are asked apart."""
        # Tryton converts with floats: a hair more than the break reaches it in every unit.
        context = {"price_list": list_id, "uom": unit_id, "quantity": float(quantity) * (1 + 1e-9)}
        try:
            rows = self._client.read("product.product", ids, {"sale_price_uom": "number"}, context=context)
        except ValidationRejected as error:
            if len(ids) == 1:
                refused[ids[0]] = error.message
                return
            half = len(ids) // 2
            yield from self._ask(list_id, unit_id, quantity, ids[:half], refused)
            yield from self._ask(list_id, unit_id, quantity, ids[half:], refused)
            return
        for row in rows:
            yield row["id"], row["sale_price_uom"]

    def _refused(self, price_list: Row, product: Row, unit: Row, quantity: Decimal, *, reason: str) -> UnreadableRecord:
        """With the id that the price would have: one that was known before is not missing, its last value stays."""
        what = {"price_list": price_list["id"], "product": product["id"], "unit": unit["id"], "quantity": quantity}
        price_id = _price_id(price_list, product, unit, quantity)
        return UnreadableRecord(encode(what), f"the server cannot compute it: {reason}", price_id)

    def _records(self, price_list: Row, product: Row, unit: Row, steps: Sequence[Step]) -> Iterator[SourceRecord]:
        for quantity, price in without_repeats(steps):
            payload = {
                "price_list": {"id": price_list["id"], "name": price_list["name"]},
                "product": {"id": product["id"], "code": product["code"]},
                "unit": {name: unit[name] for name in UNIT},
                "quantity": quantity,
                "price": price,
                "tax_included": price_list["tax_included"],
                "company": of_company(self._client),
            }
            yield record_of(_price_id(price_list, product, unit, quantity), payload)


def _price_id(price_list: Row, product: Row, unit: Row, quantity: Decimal) -> ExternalId:
    ending = "" if unit["id"] == product["default_uom"]["id"] else f":{unit['id']}"
    return ExternalId(f"{price_list['id']}:{product['id']}:{tidy(quantity)}{ending}")


def _list_and_product(resume: str | None) -> tuple[int, int]:
    if resume is None:
        return 0, 0
    list_id, _, product_id = resume.partition("|")
    if not list_id.isdecimal() or not product_id.isdecimal():
        raise ConfigurationFault(f"{resume!r} is no position in a read of prices")
    return int(list_id), int(product_id)
