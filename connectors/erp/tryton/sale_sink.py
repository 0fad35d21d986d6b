"""Orders on their way into Tryton, as sales.

`sale.reference` takes the same text twice, so a creation looks for our reference before it creates; that search is also
how a lost answer is found out. An order takes several calls (create, quote, confirm): where one of them is refused or
lost, the next push goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from connectors.erp.tryton.client import ALSO_INACTIVE, TrytonClient
from connectors.erp.tryton.config import TrytonConfig
from connectors.erp.tryton.records import Row, newest_stamp
from connectors.erp.tryton.sale_lines import SaleLines
from connectors.erp.tryton.writes import (
    TIMESTAMP,
    answered,
    check_version,
    day,
    differs,
    found,
    is_open,
    labels_of,
    one_id,
    only_one,
    refused,
)
from connectors.shapes import Shape
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import ConnectorError, RecordNotFound, ValidationRejected
from crm_core.ids import ExternalId

SETTLE_TIME = timedelta(seconds=30)
"""A call that we stopped waiting for may still be running. trytond bounds a transaction by nothing but the database's
own lock waits (SQLite 60 s by default, repeated up to five times); sales are made in well under a second."""

ORDER: Shape = {
    "party": "integer",
    "reference": "text",
    "description": "text",
    "sale_date": "date",
    "shipping_date": "date",
    "warehouse": "integer",
    "currency": "text(3)",
    "payment_term": "text",
    "invoice_address": "integer",
    "shipment_address": "integer",
    "comment": "text",
    "lines": [
        {
            "id": "text",
            "product": "integer",
            "quantity": "number",
            "unit": "text",
            "unit_price": "number",
            "description": "text",
            "note": "text",
        }
    ],
}

SALE_READ: Shape = {
    "id": "integer",
    "number": "text",
    "reference": "text",
    "description": "text",
    "state": "text",
    "party": "integer",
    "sale_date": "date",
    "shipping_date": "date",
    "warehouse": "integer",
    "currency": {"id": "integer", "code": "text"},
    "payment_term": {"id": "integer", "name": "text"},
    "invoice_address": "integer",
    "shipment_address": "integer",
    "comment": "text",
    "lines": [
        {
            "id": "integer",
            "type": "text",
            "product": "integer",
            "quantity": "number",
            "unit": {"id": "integer", "symbol": "text"},
            "unit_price": "number",
            "description": "text",
            "note": "text",
        }
    ],
    **TIMESTAMP,
}
STEPS = {"draft": (), "quotation": ("quote",), "confirmed": ("quote", "confirm")}
"""How far a pushed order is taken -> the buttons that lead there."""
_BUTTONS = {"quote": ("draft", "quotation"), "confirm": ("quotation", "confirmed")}
"""Button -> the state that it is for, and the one that it leads to."""
_CLEARED = frozenset({"shipping_date", "description", "comment"})
"""Fields that Tryton leaves empty when they come empty."""
_REACHED = {
    "draft": {"draft", "quotation", "confirmed", "processing", "done"},
    "quotation": {"quotation", "confirmed", "processing", "done"},
    "confirmed": {"confirmed", "processing", "done"},
}

ORDER_SPEC = SinkSpec(
    ORDER,
    frozenset(Action),
    FindingOut(Resolution.SEARCH, SETTLE_TIME, reference_field="reference of the sale", reference_length=10_000),
    required=("party", "reference", "lines"),
    note="created as a draft, then quoted and confirmed (`order_state`); changed while it is not confirmed yet",
)


@dataclass(slots=True)
class OrderSink:
    """Sales. Used by one thread; remembers ids of currencies and terms, which do not change."""

    client: TrytonClient
    config: TrytonConfig
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)
    _labels: dict[str, str] = field(default_factory=dict)
    _lines: SaleLines = field(init=False)

    def __post_init__(self) -> None:
        self._lines = SaleLines(self.client)

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """One after the other; see `connectors.sinks.Sink`."""
        return [answered(lambda write=write: self._push(write)) for write in writes]  # type: ignore[misc]

    def find(self, write: Write) -> Found | None:
        """The sale, by id or by our reference; complete when it has come as far as it is meant to."""
        sale = self._read(write.external_id) if write.external_id is not None else self._search(write, anywhere=True)
        if sale is None:
            return None
        if write.action is Action.CANCEL:
            is_complete = sale["state"] == "cancelled"
        else:
            is_complete = sale["state"] in _REACHED[self.config.order_state] or sale["state"] == "cancelled"
        return found(sale, _values(sale), newest_stamp([sale]), is_complete=is_complete)

    # -- one write ----------------------------------------------------------------------------------------------------

    def _push(self, write: Write) -> Accepted | Refused:
        if write.action is Action.CANCEL:
            return self._cancel(write)
        if write.external_id is not None:
            sale = self._read(write.external_id)
        else:
            sale = self._search(write, anywhere=write.was_tried)
        if sale is None and write.action is Action.UPDATE:
            raise RecordNotFound(f"there is no sale {write.external_id}")
        sale_id, state = (int(sale["id"]), str(sale["state"])) if sale is not None else (None, "draft")
        try:
            if sale is None:
                values = self._header(write.payload) | {"lines": [["create", self._lines.created(write.payload)]]}
                sale_id = int(self.client.change("sale.sale", "create", [values])[0])
            elif write.action is Action.UPDATE or differs(write.payload, _values(sale), _CLEARED):
                self._update(sale, write)
                state = "draft"
            assert sale_id is not None
            return self._advanced(sale_id, state)
        except ConnectorError as error:
            return refused(error, sale_id, {} if is_open(error) else self._names())

    def _advanced(self, sale_id: int, state: str) -> Accepted:
        """Take a sale as far as it is meant to come, from where it is."""
        for button in STEPS[self.config.order_state]:
            before, after = _BUTTONS[button]
            if state == before:
                self.client.change("sale.sale", button, [sale_id])
                state = after
        sale = self._read(ExternalId(str(sale_id)))
        return Accepted(ExternalId(str(sale_id)), newest_stamp([sale]) if sale is not None else None)

    def _update(self, sale: Row, write: Write) -> None:
        check_version(write, newest_stamp([sale]))
        if sale["state"] not in ("draft", "quotation"):
            raise ValidationRejected(
                f"sale {sale['number']} is {sale['state']} in Tryton and cannot be changed any more",
                fields=("state",),
                operation="sale.sale.write",
            )
        if write.action is Action.CREATE:  # begun with another content than it has now
            sale = {**sale, "party": write.payload["party"]}
            values = self._header(write.payload)
        else:
            values = self._header({"party": sale["party"], **write.payload}, is_new=False)
        if "lines" in write.payload:
            values["lines"] = self._lines.commands(sale, write.payload)
        context = {"_timestamp": {f"sale.sale,{sale['id']}": sale["_timestamp"]}}
        if sale["state"] == "quotation":
            self.client.change("sale.sale", "draft", [sale["id"]], context=context)
            context = {}
        self.client.change("sale.sale", "write", [sale["id"]], values, context=context)

    def _cancel(self, write: Write) -> Accepted | Refused:
        assert write.external_id is not None
        sale = self._read(write.external_id)
        if sale is None:
            raise RecordNotFound(f"there is no sale {write.external_id}")
        if sale["state"] != "cancelled":
            self.client.change("sale.sale", "cancel", [sale["id"]])
        return Accepted(write.external_id)

    # -- values -------------------------------------------------------------------------------------------------------

    def _header(self, payload: Mapping[str, Any], *, is_new: bool = True) -> Row:
        """The sale's own fields. A creation over the network fills in nothing by itself, so what Tryton's client would
        fill in for the party (terms, addresses, price list) is asked for and sent."""
        values: Row = {}
        if is_new:
            self._check_party(payload["party"])
            started = {"party": payload["party"], "company": self.client.company.id, "lines": []}
            filled = self.client.ask("sale.sale", "on_change_party", started)
            copied = ("payment_term", "invoice_address", "shipment_address", "price_list", "invoice_party")
            values |= {name: filled.get(name) for name in copied if filled.get(name) is not None}
            values |= {"party": payload["party"], "currency": self._currency(payload.get("currency"))}
            values["warehouse"] = self._warehouse(payload.get("warehouse"))
        for name in ("reference", "description", "comment", "invoice_address", "shipment_address", "warehouse"):
            if name in payload and (payload[name] is not None or name in ("description", "comment")):
                values[name] = payload[name]
        for name in ("sale_date", "shipping_date"):
            if name in payload:
                values[name] = day(payload[name])
        if payload.get("payment_term") is not None:
            values["payment_term"] = self._id_by_name(
                "account.invoice.payment_term", "payment_term", payload["payment_term"]
            )
        return values

    def _check_party(self, party: int) -> None:
        """Tryton itself takes an order for a party that was deactivated, which is how parties are deleted there."""
        rows = self.client.search_read(
            "party.party", [["id", "=", party]], {"active": "boolean"}, limit=1, context=ALSO_INACTIVE
        )
        if not rows or rows[0]["active"] is False:
            what = "is inactive" if rows else "is not known"
            raise ValidationRejected(f"party {party} {what} in Tryton", fields=("party",), operation="party.party.read")

    def _currency(self, code: str | None) -> int:
        if code is None:
            return self.client.company.currency_id
        key = ("currency", code)
        if key not in self._ids:
            self._ids[key] = one_id(self.client, "currency.currency", [["code", "=", code]], "currency", code)
        return self._ids[key]

    def _warehouse(self, warehouse: int | None) -> int:
        """The one that is given, Tryton's default, or the only one there is."""
        if warehouse is not None:
            return warehouse
        key = ("warehouse", "")
        if key not in self._ids:
            default = self.client.ask("sale.sale", "default_get", ["warehouse"]).get("warehouse")
            rows = self.client.search_read("stock.location", [["type", "=", "warehouse"]], {"code": "text"}, limit=2)
            if default is None and len(rows) != 1:
                raise ValidationRejected(
                    "the order names no warehouse, and Tryton has several and no default", fields=("warehouse",)
                )
            self._ids[key] = int(default if default is not None else rows[0]["id"])
        return self._ids[key]

    def _id_by_name(self, model: str, field_name: str, name: str) -> int:
        key = (model, name)
        if key not in self._ids:
            self._ids[key] = one_id(self.client, model, [["name", "=", name]], field_name, name)
        return self._ids[key]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _search(self, write: Write, *, anywhere: bool) -> Row | None:
        """By the reference as it is sent; `anywhere`: then by our key anywhere in it (somebody may have edited it)."""
        conditions = [["reference", "=", write.payload.get("reference")]]
        if anywhere:
            conditions.append(["reference", "like", f"%{write.reference}%"])
        for condition in conditions:
            domain = [["company", "=", self.client.company.id], condition]
            rows = self.client.search_read("sale.sale", domain, SALE_READ, limit=3)
            if rows:
                return only_one(rows, write.reference, "sales")
        return None

    def _read(self, external_id: ExternalId) -> Row | None:
        domain = [["company", "=", self.client.company.id], ["id", "=", int(external_id)]]
        rows = self.client.search_read("sale.sale", domain, SALE_READ, limit=1)
        return rows[0] if rows else None

    def _names(self) -> dict[str, str]:
        if not self._labels:
            self._labels |= labels_of(self.client, {"sale.sale": "", "sale.line": "lines."})
        return self._labels


def _values(sale: Row) -> Row:
    """A sale in the payload's shape."""
    names = ("party", "reference", "description", "sale_date", "shipping_date", "warehouse", "comment")
    return {
        **{name: sale[name] for name in (*names, "invoice_address", "shipment_address")},
        "currency": (sale["currency"] or {}).get("code"),
        "payment_term": (sale["payment_term"] or {}).get("name"),
        "lines": [
            {
                "product": line["product"],
                "quantity": line["quantity"],
                "unit": (line["unit"] or {}).get("symbol"),
                "unit_price": line["unit_price"],
                "description": line["description"],
                "note": line["note"],
            }
            for line in sale["lines"]
            if line["type"] == "line"
        ],
    }
