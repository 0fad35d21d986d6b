"""An order on its way out, and read back: from the sink's shape to Xero's form of a sales invoice. Pure functions.

Amounts are without tax (`Exclusive`). Each line carries the amount that we have worked out, so that Xero refuses it
when it comes to another one, instead of booking what nobody ordered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connectors.accounting.xero import records
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.documents import joined_reference, without_our_reference
from connectors.shapes import Shape
from crm_core.errors import ValidationRejected
from crm_core.ids import ClientReference
from crm_core.keys import REFERENCE_LENGTH as OUR_LENGTH

REFERENCE_FIELD, REFERENCE_LENGTH = "Reference", 255
LINE: Shape = {
    "LineItemID": "text",
    "ItemCode": "text(30)",
    "Description": "text(4000)",
    "Quantity": "number",
    "UnitAmount": "number",
    "DiscountRate": "number",
    "LineAmount": "number",
    "AccountCode": "text(10)",
    "TaxType": "text(50)",
    "Unit": "text",
}
SHAPE: Shape = {
    "ContactID": "text(36)",
    "Reference": f"text({REFERENCE_LENGTH - OUR_LENGTH - 1})",
    "Date": "date",
    "DueDate": "date",
    "CurrencyCode": "text(3)",
    "SubTotal": "number",
    "LineItems": [LINE],
}
_PLACES: Mapping[str, int] = {"Quantity": 4, "UnitAmount": 4, "DiscountRate": 2}
"""Decimals that Xero keeps (`unitdp=4`); of more it would make others."""
_LINE_TEXTS = ("ItemCode", "Description", "AccountCode", "TaxType")
_KEPT = (*_LINE_TEXTS, "Tracking")
"""What a line keeps that we change, where we say nothing of it."""
_HUNDRED = Decimal(100)
_CENT = Decimal("0.01")

Line = Mapping[str, Any]


def line_amount(line: Line) -> Decimal:
    """Quantity x unit amount less the discount, in cents, half up."""
    amount = _number(line, "Quantity") * _number(line, "UnitAmount") * (_HUNDRED - _number(line, "DiscountRate"))
    return (amount / _HUNDRED).quantize(_CENT, ROUND_HALF_UP)


def check(payload: Mapping[str, Any]) -> None:
    """Whether Xero can hold exactly this. Raises ValidationRejected that names every field that it cannot."""
    wrong: dict[str, str] = {}
    lines: Sequence[Line] = payload.get("LineItems") or ()
    if not lines:
        wrong["LineItems"] = "an invoice needs a line"
    for position, line in enumerate(lines):
        for name, text in _wrong_with(line):
            wrong[f"LineItems[{position}].{name}"] = text
    ids = [line["LineItemID"] for line in lines if line.get("LineItemID")]
    for position, line in enumerate(lines):
        if ids.count(line.get("LineItemID")) > 1:
            wrong[f"LineItems[{position}].LineItemID"] = "two lines have this key"
    said = payload.get("SubTotal")
    if said is not None and not wrong:
        total = sum((line_amount(line) for line in lines), Decimal(0))
        if Decimal(said) != total:
            wrong["SubTotal"] = f"{said} is not the sum of the lines, which Xero rounds to {total}"
    if wrong:
        text = "; ".join(f"{name}: {what}" for name, what in wrong.items())
        raise ValidationRejected(text, fields=tuple(wrong))


def new_invoice(
    payload: Mapping[str, Any], reference: ClientReference, config: XeroConfig, *, today: date | None
) -> dict[str, Any]:
    """The invoice that an order becomes. today: at the organisation's place, where a due date is made of it."""
    invoice: dict[str, Any] = {"Type": "ACCREC", "Contact": {"ContactID": payload["ContactID"]}}
    day = payload.get("Date") or (today.isoformat() if today is not None else None)
    due = payload.get("DueDate")
    if due is None and day is not None and config.due_days is not None:
        due = (date.fromisoformat(day) + timedelta(days=config.due_days)).isoformat()
    invoice |= {name: value for name, value in (("Date", day), ("DueDate", due)) if value is not None}
    if payload.get("CurrencyCode"):
        invoice["CurrencyCode"] = payload["CurrencyCode"]
    invoice |= {
        "Reference": joined_reference(_stripped(payload), reference),
        "LineAmountTypes": "Exclusive",
        "Status": config.invoice_status,
        "LineItems": [_wire_line(line, None, config) for line in payload["LineItems"]],
    }
    return invoice


def changed_invoice(
    current: Mapping[str, Any], payload: Mapping[str, Any], reference: ClientReference, config: XeroConfig
) -> dict[str, Any]:
    """The invoice as an order's change makes it: known lines changed, unknown ones added, missing ones removed."""
    invoice: dict[str, Any] = {"InvoiceID": current["InvoiceID"], "Type": "ACCREC", "Status": current["Status"]}
    if payload.get("ContactID"):
        invoice["Contact"] = {"ContactID": payload["ContactID"]}
    invoice |= {name: payload[name] for name in ("Date", "DueDate", "CurrencyCode") if payload.get(name)}
    if "Reference" in payload:
        invoice["Reference"] = joined_reference(_stripped(payload), reference)
    if payload.get("LineItems"):
        known = {line.get("LineItemID"): line for line in current.get("LineItems") or ()}
        invoice["LineAmountTypes"] = "Exclusive"
        invoice["LineItems"] = [
            _wire_line(line, known.get(line.get("LineItemID")), config) for line in payload["LineItems"]
        ]
    return invoice


def values_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of the payload's fields an invoice has, in the payload's shape."""
    values: dict[str, Any] = {
        "ContactID": (row.get("Contact") or {}).get("ContactID"),
        "Reference": without_our_reference(row.get("Reference") or "") or None,
        "Date": records.date_text(row.get("Date")),
        "DueDate": records.date_text(row.get("DueDate")),
        "CurrencyCode": row.get("CurrencyCode"),
        "SubTotal": Decimal(row["SubTotal"]) if "SubTotal" in row else None,
    }
    lines = [_read_line(line) for line in row.get("LineItems") or ()]
    return {name: value for name, value in values.items() if value is not None} | {"LineItems": lines}


def holds(values: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    """Whether an invoice that was read back says what the payload says, whatever the keys of its lines."""
    for name, said in payload.items():
        if name == "LineItems":
            found = values.get(name) or ()
            if len(found) != len(said) or not all(map(_is_same_line, found, said)):
                return False
        elif said is not None and values.get(name) != said:
            return False
    return True


def _wrong_with(line: Line) -> list[tuple[str, str]]:
    wrong = []
    for name, places in _PLACES.items():
        value = line.get(name)
        if value is not None and Decimal(value) != Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):
            wrong.append((name, f"{value} has more than {places} decimals"))
    if not 0 <= _number(line, "DiscountRate") <= _HUNDRED:
        wrong.append(("DiscountRate", "not from 0 to 100"))
    if line.get("Unit") not in (None, "", records.EACH):
        wrong.append(("Unit", f"Xero has no units: {line['Unit']!r} would be taken for {records.EACH!r}"))
    said = line.get("LineAmount")
    if said is not None and not wrong and Decimal(said) != line_amount(line):
        wrong.append(("LineAmount", f"{said} is not what Xero makes of the line: {line_amount(line)}"))
    return wrong


def _wire_line(line: Line, current: Line | None, config: XeroConfig) -> dict[str, Any]:
    """One line. Of a known one stays what we say nothing of; with another item all of the old one goes."""
    said = {name: line[name] for name in ("ItemCode", "Description", "AccountCode", "TaxType") if line.get(name)}
    wire: dict[str, Any] = {}
    if current is not None:
        is_same_item = "ItemCode" not in said or said["ItemCode"] == current.get("ItemCode")
        kept = _KEPT if is_same_item else ("Tracking",)
        wire = {"LineItemID": current["LineItemID"], **{name: current[name] for name in kept if current.get(name)}}
    if not (said.get("ItemCode") or wire.get("ItemCode")):
        wire = _without_item(config) | wire
    wire |= {**said, "Quantity": _number(line, "Quantity"), "UnitAmount": _number(line, "UnitAmount")}
    discount = _number(line, "DiscountRate")
    if discount or current is not None:
        wire["DiscountRate"] = discount
    amount = line_amount(line)
    if amount:
        # Xero compares it with its own, and is known to do so wrongly where it is nothing.
        wire["LineAmount"] = amount
    return wire


def _without_item(config: XeroConfig) -> dict[str, Any]:
    settings = {"AccountCode": config.account_code, "TaxType": config.tax_type}
    return {name: value for name, value in settings.items() if value}


def _read_line(line: Line) -> dict[str, Any]:
    """Without its unit, which cannot be read back, and its key: of a line that came about with this write the CRM
    knows only its own, and a difference in keys is none in the order."""
    texts = {name: line[name] for name in _LINE_TEXTS if line.get(name)}
    numbers = {name: _number(line, name) for name in _PLACES}
    return {**texts, **numbers, "LineAmount": _number(line, "LineAmount")}


def _is_same_line(found: Line, said: Line) -> bool:
    return all(
        found.get(name) == value
        for name, value in said.items()
        if value is not None and name not in ("LineItemID", "Unit")  # see _read_line
    )


def _stripped(payload: Mapping[str, Any]) -> str:
    return str(payload.get("Reference") or "").strip()


def _number(line: Line, name: str) -> Decimal:
    value = line.get(name)
    return Decimal(0) if value is None else Decimal(value)
