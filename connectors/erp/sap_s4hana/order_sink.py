"""Sales orders out.

PurchaseOrderByCustomer (35 characters) is the only reference that can be written: it holds the customer's own and ours,
`PO-4711/CF7K3QX9M2WD4TB`, and a second order with the same text is taken as readily as the first. So an order is looked
for before it is made, and an answer that was lost is found out by searching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.erp.sap_s4hana.client import ORDERS, SapClient
from connectors.erp.sap_s4hana.document_records import ORDER_READ
from connectors.erp.sap_s4hana.order_bodies import ORDER, cancellation, differences, is_open, order_body, values_of
from connectors.erp.sap_s4hana.records import question
from connectors.erp.sap_s4hana.sinks import (
    MOST_CREATES,
    SETTLE_TIME,
    change_one,
    check_version,
    create_all,
    each_apart,
    get_id,
    refused_locally,
    too_long,
)
from connectors.erp.sap_s4hana.streams import Row
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from connectors.transport.odata_v2 import literal, plain, version_of
from crm_core.errors import ConnectorError, DuplicateRecord, OutcomeUnknown, ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.keys import REFERENCE_LENGTH, find_client_reference

SPEC = SinkSpec(
    shape=ORDER,
    actions=frozenset({Action.CREATE, Action.UPDATE, Action.CANCEL}),
    finding_out=FindingOut(
        Resolution.SEARCH,
        settle_time=SETTLE_TIME,
        reference_field="PurchaseOrderByCustomer",
        reference_length=REFERENCE_LENGTH,
    ),
    required=("SoldToParty", "PurchaseOrderByCustomer", "to_Item"),
    max_batch=MOST_CREATES,
    note="cancelled by a rejection reason on all items; the customer's own reference has 19 characters beside ours",
)

Versioned = tuple[Row, str | None]


class OrderSink:
    """See `Sink`."""

    def __init__(self, client: SapClient) -> None:
        self._client, self._config = client, client.config

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """See `Sink.push`: creates go in one call, updates and cancellations one after another."""
        results: dict[int, Accepted | Refused] = {}
        for place, write in enumerate(writes):
            refusal = None if write.action is Action.CANCEL else self._refusal(write)
            if refusal is not None:
                results[place] = refusal
        creates = [p for p, write in enumerate(writes) if write.action is Action.CREATE and p not in results]
        results |= self._adopted({place: writes[place] for place in creates})
        creates = [place for place in creates if place not in results]
        if creates:
            bodies = [order_body(writes[place].payload, self._config) for place in creates]
            made = create_all(self._client, ORDERS, "A_SalesOrder", bodies, _accepted)
            results |= dict(zip(creates, made, strict=True))
        others = [place for place in range(len(writes)) if place not in results]
        results |= dict(zip(others, each_apart([writes[place] for place in others], self._change), strict=True))
        return [results[place] for place in range(len(writes))]

    def find(self, write: Write) -> Found | None:
        """See `Sink.find`."""
        if write.external_id is not None:
            found = self._read(f"SalesOrder eq {literal(write.external_id)}")
        else:
            found = self._search([write])
        if not found:
            return None
        row, version = the_one(found, write)
        is_done = write.action is not Action.CANCEL or not any(map(is_open, row.get("to_Item") or ()))
        values = values_of(row, write.payload, self._config)
        return Found(ExternalId(str(row["SalesOrder"])), version, values, is_complete=is_done)

    def _refusal(self, write: Write) -> Refused | None:
        """Of what S/4 would refuse, or take wrongly: it is not sent at all."""
        payload = write.payload
        if (refusal := too_long(payload, ORDER)) is not None:
            return refusal
        name = "PurchaseOrderByCustomer"
        if write.action is Action.CREATE or name in payload:
            text = payload.get(name)
            if find_client_reference(text if isinstance(text, str) else None) != write.reference:
                return refused_locally(
                    f"{name} must hold {write.reference}: a second try could not find the first", name
                )
        for number, line in enumerate(payload.get("to_Item") or ()):
            if line.get("DiscountPercent") and self._config.discount_condition_type is None:
                field = f"to_Item[{number}].DiscountPercent"
                return refused_locally(f"{field}: no discount_condition_type is configured by which it could go", field)
        return None

    def _adopted(self, creates: Mapping[int, Write]) -> dict[int, Accepted | Refused]:
        """Of creates whose order is there already: an earlier try came through, maybe with other content."""
        found: dict[int, Accepted | Refused] = {}
        rows = self._search(list(creates.values())) if creates else []
        for place, write in creates.items():
            own = [one for one in rows if find_client_reference(one[0]["PurchaseOrderByCustomer"]) == write.reference]
            if own:
                found[place] = self._gone_on_with(own, write)
        return found

    def _gone_on_with(self, own: Sequence[Versioned], write: Write) -> Accepted | Refused:
        try:
            row, version = the_one(own, write)
        except DuplicateRecord as error:
            return Refused(error)
        try:
            return self._make(write, row, version)
        except ConnectorError as error:
            return Refused(error, ExternalId(str(row["SalesOrder"])), version)

    def _change(self, write: Write) -> Accepted | Refused:
        found = self._read(f"SalesOrder eq {literal(get_id(write))}")
        if not found:
            raise RecordNotFound(f"there is no order {write.external_id}", operation="GET A_SalesOrder")
        row, version = found[0]
        check_version(write, version)
        return self._make(write, row, version)

    def _make(self, write: Write, row: Row, version: str | None) -> Accepted:
        """Make the order what the write says. Raises what that is refused with."""
        if write.action is Action.CANCEL:
            requests = cancellation(row, version, self._config)
        else:
            requests = differences(row, version, write.payload, self._config)
        number = ExternalId(str(row["SalesOrder"]))
        if requests:
            change_one(self._client, ORDERS, requests, operation=f"{write.action} A_SalesOrder")
            version = self._version_now(number)
        return Accepted(number, version)

    def _version_now(self, number: ExternalId) -> str | None:
        """The version behind a change that was carried out; None when it cannot be read just now."""
        try:
            found = self._read(f"SalesOrder eq {literal(number)}")
        except ConnectorError:
            return None
        return found[0][1] if found else None

    def _search(self, writes: Sequence[Write]) -> list[Versioned]:
        """The orders whose customer reference holds one of our references.

        Of whatever customer: somebody may have changed it, here or there, since the order was first sent.
        """
        wanted = [f"substringof({literal(write.reference)},PurchaseOrderByCustomer)" for write in writes]
        ours = {write.reference for write in writes}
        found = self._read(" or ".join(wanted))
        return [one for one in found if find_client_reference(one[0].get("PurchaseOrderByCustomer")) in ours]

    def _read(self, condition: str) -> list[Versioned]:
        options = {**question(ORDER_READ), "$filter": condition, "$orderby": "SalesOrder"}
        found = self._client.list_page(ORDERS, "A_SalesOrder", options, operation="GET A_SalesOrder").found
        if found.unreadable or found.next_link:
            raise ProtocolViolation("the orders cannot be read to their end", operation="GET A_SalesOrder")
        return [(plain(row, ORDER_READ), version_of(row)) for row in found.rows]


def the_one(found: Sequence[Versioned], write: Write) -> Versioned:
    """The only order that was found. Raises DuplicateRecord when there are several."""
    if len(found) > 1:
        numbers = ", ".join(str(row["SalesOrder"]) for row, _ in found)
        raise DuplicateRecord(f"orders {numbers} have the reference {write.reference}", operation="GET A_SalesOrder")
    return found[0]


def _accepted(entity: Mapping[str, Any], version: str | None) -> Accepted | Refused:
    number = entity.get("SalesOrder")
    if not isinstance(number, str) or not number:
        return Refused(OutcomeUnknown("the answer tells no order number", operation="POST A_SalesOrder"))
    return Accepted(ExternalId(number), version)
