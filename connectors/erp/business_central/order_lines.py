"""The lines of an order that is changed: which of those over there each of ours is, and what has to be done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.erp.business_central.records import COMPANY_TOTAL, NO_ID
from connectors.erp.business_central.writes import Row, differing, in_order, told
from connectors.shapes import Shape
from crm_core.errors import ValidationRejected

LINE: Shape = {
    "sequence": "text",
    "itemId": "text",
    "itemVariantId": "text",
    "locationId": "text",
    "description": "text(100)",
    "unitOfMeasureCode": "text(10)",
    "taxCode": "text(20)",
    "shipmentDate": "date",
    "quantity": "number",
    "unitPrice": "number",
    "discountPercent": "number",
}
"""In the order in which they are sent: the item before all that it sets, quantity and unit before the price, the price
before its discount. `sequence` says which line it is and is never sent: new lines are numbered over there.
"""

_NEVER_SENT = frozenset({"sequence"})
_OF_AN_ITEM = frozenset({"sequence", "itemId"})


@dataclass(frozen=True, slots=True)
class LinePlan:
    """What has to be done: ids of lines to be deleted, (id, values) to be changed, values to be added."""

    removed: Sequence[str]
    changed: Sequence[tuple[str, Mapping[str, Any]]]
    added: Sequence[Mapping[str, Any]]

    @property
    def steps(self) -> int:
        """How many requests that takes."""
        return len(self.removed) + len(self.changed) + len(self.added)


def new_line(place: int, line: Row) -> dict[str, Any]:
    """A line as it is inserted. Raises ValidationRejected for one without an item."""
    if line.get("itemId") is None:
        raise ValidationRejected(
            "a new line needs an item; other lines (G/L accounts, charges, comments) are entered in Business Central",
            fields=(f"salesOrderLines[{place}].itemId",),
        )
    return {"lineType": "Item", **_values(line, _NEVER_SENT)}


def plan_lines(wanted: Sequence[Row], there: Sequence[Row]) -> LinePlan:
    """Lines that are there are changed where they differ, the others added; of theirs, what nobody wants is deleted.

    Comments are not told to the CRM and stay. Raises ValidationRejected for a new line without an item.
    """
    pairs = pair_lines(wanted, there)
    changed, added = [], []
    for place, (line, known) in enumerate(zip(wanted, pairs, strict=True)):
        if known is None:
            added.append(new_line(place, line))
            continue
        values = _values(line, _OF_AN_ITEM)
        others = differing(values, known)
        if others.keys() - {"description"}:
            others = values  # a quantity or unit that is set alone would set the price, too
        if others:
            changed.append((str(known["id"]), others))
    kept = {str(known["id"]) for known in pairs if known is not None}
    removed = [str(line["id"]) for line in there if _is_told(line) and str(line["id"]) not in kept]
    return LinePlan(removed, changed, added)


def pair_lines(wanted: Sequence[Row], there: Sequence[Row]) -> list[Row | None]:
    """For each of our lines the one over there that it is, or None.

    By its sequence. An order that was just created has other sequences than the CRM's lines have: there, a line is the
    next one of the same item; behind the first that is not found so, all are new, since new lines come at the end and
    the order of the lines would be another one. A line never becomes one of another item: that is a line less and
    another one more.
    """
    free = {str(line["sequence"]): line for line in there if _is_told(line)}
    pairs: list[Row | None] = [None] * len(wanted)
    for place, line in enumerate(wanted):
        known = free.get(str(line.get("sequence")))
        if known is not None and _has_same_item(line, known):
            pairs[place] = free.pop(str(known["sequence"]))
    unused = iter(free.values())
    for place, line in enumerate(wanted):
        if pairs[place] is None and line.get("itemId") is not None:
            pairs[place] = next((known for known in unused if _has_same_item(line, known)), None)
    return pairs


def told_lines(wanted: Sequence[Row], there: Sequence[Row]) -> list[dict[str, Any]]:
    """Their lines as the payload would have them, in the order of ours and with their members; then the others."""
    pairs = pair_lines(wanted, there)
    found = [
        {} if known is None else {name: _told(name, line[name], known) for name in line if name in known}
        for line, known in zip(wanted, pairs, strict=True)
    ]
    kept = {known["id"] for known in pairs if known is not None}
    found += [{"itemId": line.get("itemId")} for line in there if _is_told(line) and line["id"] not in kept]
    return [line for line in found if line]


def _told(name: str, wanted: Any, known: Row) -> Any:
    if name == "sequence" or (name == "locationId" and wanted == COMPANY_TOTAL):
        return wanted  # told by the pairing; all locations together are none over there
    return None if known[name] == NO_ID else told(name, known[name], wanted)


def _values(line: Row, without: frozenset[str]) -> dict[str, Any]:
    values = in_order(line, LINE, without=without)
    if values.get("locationId") in (COMPANY_TOTAL, ""):
        del values["locationId"]
    return values


def _is_told(line: Row) -> bool:
    return bool(line.get("lineType") != "Comment")


def _has_same_item(line: Row, known: Row) -> bool:
    return (line.get("itemId") or NO_ID) == (known.get("itemId") or NO_ID)
