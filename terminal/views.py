"""How entities are shown: one view a noun of `counterfoil show`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crm_core.ids import ENTERED_AS, CrmId, EntityType
from terminal.tables import STATUS_STYLES, Column, moment, money, number, plain, printable

if TYPE_CHECKING:
    from crm_core.store.repository import Label

    Labels = Mapping[EntityType, Mapping[CrmId, Label]]

E = EntityType


# -- show -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """How entities of one kind are shown: columns and the texts of a row (several rows for an entity with parts)."""

    entity: EntityType
    columns: tuple[Column, ...]
    rows: Callable[[Any, Labels], Sequence[Sequence[str]]]


def _left(title: str, **options: Any) -> Column:
    return Column(title, may_shrink=True, **options)


def _right(title: str, **options: Any) -> Column:
    return Column(title, align="right", **options)


_STATUS = Column("status", styles=STATUS_STYLES, leaves_at=2)


def _code(labels: Labels, entity: EntityType, crm_id: CrmId | None) -> str:
    if crm_id is None:
        return ""
    label = labels[entity].get(crm_id)
    return printable(label.code) if label else f"#{crm_id}"


def _name(labels: Labels, entity: EntityType, crm_id: CrmId) -> str:
    label = labels[entity].get(crm_id)
    return printable(label.name) if label else ""


def _product(p: Any, labels: Labels) -> list[list[str]]:
    return [
        [plain(p.code), plain(p.name), p.status, money(p.list_price, p.currency), plain(p.base_unit), plain(p.barcode)]
    ]


def _price(p: Any, labels: Labels) -> list[list[str]]:
    amount = f"{number(p.percent_of_list)} % of list" if p.amount is None else money(p.amount, p.currency)
    return [
        [
            _code(labels, E.PRICE_LIST, p.price_list_id),
            _code(labels, E.PRODUCT, p.product_id),
            _name(labels, E.PRODUCT, p.product_id),
            number(p.minimum_quantity),
            plain(p.unit),
            amount,
            plain(p.valid_from),
            plain(p.valid_to),
        ]
    ]


def _stock(s: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            _code(labels, E.PRODUCT, s.product_id),
            _name(labels, E.PRODUCT, s.product_id),
            _name(labels, E.WAREHOUSE, s.warehouse_id) or _code(labels, E.WAREHOUSE, s.warehouse_id),
            number(s.on_hand),
            number(s.reserved),
            number(s.available),
            number(s.on_order),
            plain(s.unit),
            moment(s.as_of),
        ]
    ]


def _account(a: Any, labels: Labels) -> list[list[str]]:
    home = next((address for address in a.addresses if address.is_bill_to), next(iter(a.addresses), None))
    place = " ".join(part for part in ((home.country, home.city) if home else ()) if part)
    return [
        [
            plain(a.code),
            plain(a.name),
            a.relationship,
            a.status,
            plain(a.tax_id),
            plain(place),
            _code(labels, E.PRICE_LIST, a.price_list_id),
            plain(a.payment_terms),
        ]
    ]


def _contact(c: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            _name(labels, E.ACCOUNT, c.account_id),
            plain(c.name),
            plain(c.role),
            plain(c.email),
            plain(c.phone or c.mobile),
            c.status,
        ]
    ]


def _credit(c: Any, labels: Labels) -> list[list[str]]:
    from crm_core.credit import available, exposure, find_overdue

    owed, left, overdue = exposure(c), available(c), find_overdue(c)
    mark = "" if owed.is_complete else "*"
    known_left = money(left.amount.amount, c.currency) + mark if left.amount is not None else "unknown"
    return [
        [
            _code(labels, E.ACCOUNT, c.account_id),
            _name(labels, E.ACCOUNT, c.account_id),
            "none set" if c.limit is None else money(c.limit, c.currency),
            "unknown" if owed.known is None else money(owed.known.amount, c.currency) + mark,
            "unlimited" if left.is_unlimited else known_left,
            "" if overdue is None else money(overdue.amount, c.currency),
            "on hold" if c.is_on_hold else "",
            moment(c.as_of),
        ]
    ]


def _order(o: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            plain(o.number) or plain(o.custom.get(ENTERED_AS)) or f"#{o.id}",
            _name(labels, E.ACCOUNT, o.account_id),
            o.status,
            plain(o.order_date),
            plain(o.requested_date),
            str(len(o.lines)),
            money(o.total_amount, o.currency),
            plain(o.reference),
        ]
    ]


def _invoice(i: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            plain(i.number) or f"#{i.id}",
            _name(labels, E.ACCOUNT, i.account_id),
            "credit note" if i.kind == "credit_note" else "invoice",
            i.status,
            plain(i.invoice_date),
            plain(i.due_date),
            money(i.total_amount, i.currency),
            money(i.open_amount, i.currency),
        ]
    ]


def _payment(p: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            plain(p.paid_on),
            _name(labels, E.ACCOUNT, p.account_id),
            _code(labels, E.INVOICE, p.invoice_id),
            money(p.amount, p.currency),
            plain(p.reference),
        ]
    ]


def _unit_group(g: Any, labels: Labels) -> list[list[str]]:
    base = next((unit.code for unit in g.units if unit.is_base), "")
    rows = []
    for unit in g.units:
        factor = str(unit.numerator) if unit.denominator == 1 else f"{unit.numerator}/{unit.denominator}"
        offset = f" + {number(unit.offset)}" if unit.offset else ""
        is_base = "base" if unit.is_base else f"= {factor} {plain(base)}{offset}"
        rows.append([plain(g.code), plain(g.name), plain(unit.code), plain(unit.name), is_base, plain(unit.decimals)])
    return rows or [[plain(g.code), plain(g.name), "", "", "", ""]]


def _price_list(p: Any, labels: Labels) -> list[list[str]]:
    return [
        [
            plain(p.code),
            plain(p.name),
            p.currency,
            p.status,
            plain(p.valid_from),
            plain(p.valid_to),
            "with tax" if p.is_tax_included else "without tax",
        ]
    ]


def _warehouse(w: Any, labels: Labels) -> list[list[str]]:
    return [[plain(w.code), plain(w.name), w.status]]


_CODE, _NAME = Column("code"), _left("name")
_AS_OF = Column("as of", leaves_at=5)

VIEWS: Mapping[str, View] = {
    "products": View(
        E.PRODUCT,
        (_CODE, _NAME, _STATUS, _right("list price"), Column("unit", leaves_at=3), Column("barcode", leaves_at=4)),
        _product,
    ),
    "prices": View(
        E.PRICE,
        (
            _left("price list"),
            Column("product"),
            _left("name"),
            _right("from qty"),
            Column("unit", leaves_at=3),
            _right("price"),
            Column("valid from", leaves_at=4),
            Column("valid to", leaves_at=4),
        ),
        _price,
    ),
    "stock": View(
        E.STOCK_LEVEL,
        (
            Column("product"),
            _left("name", leaves_at=3),
            _left("warehouse"),
            _right("on hand"),
            _right("reserved"),
            _right("available"),
            _right("on order", leaves_at=4),
            Column("unit"),
            _AS_OF,
        ),
        _stock,
    ),
    "accounts": View(
        E.ACCOUNT,
        (
            _CODE,
            _NAME,
            Column("relationship", leaves_at=6),
            _STATUS,
            Column("tax id", leaves_at=3),
            _left("place", leaves_at=4),
            _left("price list", leaves_at=5),
            _left("terms", leaves_at=7),
        ),
        _account,
    ),
    "contacts": View(
        E.CONTACT,
        (
            _left("account"),
            _left("name"),
            _left("role", leaves_at=4),
            Column("email"),
            Column("phone", leaves_at=3),
            _STATUS,
        ),
        _contact,
    ),
    "credit": View(
        E.CREDIT,
        (
            _CODE,
            _left("account"),
            _right("limit"),
            _right("exposure"),
            _right("available"),
            _right("overdue", leaves_at=4),
            Column("hold", styles=STATUS_STYLES),
            _AS_OF,
        ),
        _credit,
    ),
    "orders": View(
        E.ORDER,
        (
            Column("number"),
            _left("account"),
            _STATUS,
            Column("ordered"),
            Column("wanted", leaves_at=5),
            _right("lines", leaves_at=3),
            _right("total"),
            _left("reference", leaves_at=4),
        ),
        _order,
    ),
    "invoices": View(
        E.INVOICE,
        (
            Column("number"),
            _left("account"),
            Column("kind", leaves_at=5),
            _STATUS,
            Column("date"),
            Column("due", leaves_at=4),
            _right("total"),
            _right("open"),
        ),
        _invoice,
    ),
    "payments": View(
        E.PAYMENT,
        (Column("paid on"), _left("account"), Column("invoice"), _right("amount"), _left("reference", leaves_at=3)),
        _payment,
    ),
    "units": View(
        E.UNIT_GROUP,
        (
            _left("group"),
            _left("group name", leaves_at=3),
            Column("unit"),
            _left("name"),
            Column("worth"),
            _right("decimals", leaves_at=2),
        ),
        _unit_group,
    ),
    "price-lists": View(
        E.PRICE_LIST,
        (
            _CODE,
            _NAME,
            Column("currency"),
            _STATUS,
            Column("valid from", leaves_at=4),
            Column("valid to", leaves_at=4),
            Column("tax", leaves_at=3),
        ),
        _price_list,
    ),
    "warehouses": View(E.WAREHOUSE, (_CODE, _NAME, _STATUS), _warehouse),
}
