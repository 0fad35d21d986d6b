"""Orders on their way into Business Central, as sales orders.

`externalDocumentNumber` carries our reference. Business Central takes the same one twice, so a write that may have been
sent before is looked for; a first one is not: nobody else makes our references. An order goes out whole in one request
(a deep insert), is changed in one transaction (a `$batch` with `Isolation: snapshot`), and is cancelled by deleting it,
which is all that the API offers. An order that was invoiced is no longer among the orders: it is found by its invoices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.erp.business_central.client import ANY_VERSION, BusinessCentralClient, key_of
from connectors.erp.business_central.order_lines import LINE, new_line, plan_lines, told_lines
from connectors.erp.business_central.records import NO_ID
from connectors.erp.business_central.refusals import meant
from connectors.erp.business_central.writes import (
    SETTLE_TIME,
    Row,
    accepted,
    address_lines,
    check_version,
    differing,
    id_of_terms,
    in_order,
    one_after_the_other,
    only_one,
    told,
    told_address,
)
from connectors.shapes import Shape
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from connectors.transport.odata import MOST_IN_A_BATCH, BatchRequest, if_match, literal
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    ProtocolViolation,
    RecordNotFound,
    ValidationRejected,
)
from crm_core.ids import ExternalId, IdempotencyKey

MOST_TOGETHER = 10
"""Orders in one request. Each takes the service a good part of a second, and the answer must come in time."""

ORDERS, LINES, INVOICES = "salesOrders", "salesOrderLines", "salesInvoices"
CREATE, CHANGE, CANCEL = f"POST {ORDERS}", f"PATCH {ORDERS}", f"DELETE {ORDERS}"

ORDER: Shape = {
    "externalDocumentNumber": "text(35)",
    "orderDate": "date",
    "postingDate": "date",
    "customerId": "text",
    "shipToName": "text(100)",
    "shipToContact": "text(100)",
    **{
        f"{party}{field}": word
        for party in ("sellTo", "shipTo")
        for field, word in (
            ("AddressLines", "text"),
            ("City", "text(30)"),
            ("Country", "text(10)"),
            ("State", "text(30)"),
            ("PostCode", "text(20)"),
        )
    },
    "currencyCode": "text(10)",
    "pricesIncludeTax": "boolean",
    "paymentTermsCode": "text(10)",
    "salesperson": "text(20)",
    "requestedDeliveryDate": "date",
    "phoneNumber": "text(30)",
    "email": "text(80)",
    LINES: [LINE],
}

ORDER_SPEC = SinkSpec(
    ORDER,
    frozenset(Action),
    FindingOut(Resolution.SEARCH, SETTLE_TIME, reference_field="externalDocumentNumber", reference_length=35),
    required=("externalDocumentNumber", "customerId", LINES),
    max_batch=MOST_TOGETHER,
    note="created as a draft (not released); changed while it is one; cancelled by deleting it",
)
_NOT_OF_THE_HEADER = frozenset({LINES, "paymentTermsCode", "sellToAddressLines", "shipToAddressLines"})


@dataclass(slots=True)
class OrderSink:
    """Sales orders of a company. Used by one thread."""

    client: BusinessCentralClient

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """New orders in one request, each for itself; the others one after the other. See `connectors.sinks.Sink`."""
        new = [write for write in writes if _is_surely_new(write)]
        made = self._create_together(new) if len(new) > 1 else {}
        others = [write for write in writes if write.key not in made]
        answers = made | dict(
            zip((write.key for write in others), one_after_the_other(others, self._push), strict=True)
        )
        return [answers[write.key] for write in writes]

    def find(self, write: Write) -> Found | None:
        """The order, by id or by our reference; or its invoices when it is no longer among the orders."""
        order = self._read(write.external_id) if write.external_id is not None else self._search(write)
        if order is None:
            return self._find_invoiced(write)
        is_complete = write.action is not Action.CANCEL and (bool(_lines(order)) or not write.payload.get(LINES))
        return Found(ExternalId(order["id"]), order["@odata.etag"], self._values(order, write.payload), is_complete)

    # -- one write ----------------------------------------------------------------------------------------------------

    def _push(self, write: Write) -> Accepted | Refused:
        try:
            if write.action is Action.CANCEL:
                return self._cancel(write)
            if write.action is Action.UPDATE:
                return self._change(write, self._read(write.external_id))
            return self._create(write)
        except ConnectorError as error:
            raise meant(error, write.payload) from error

    def _create(self, write: Write) -> Accepted:
        if write.external_id is not None or write.was_tried:
            there = self._read(write.external_id) if write.external_id is not None else self._search(write)
            if there is not None:  # begun, or known by its id: it may hold older content than what is wanted now
                is_ours_to_finish = write.external_id is not None or not _lines(there)
                return self._change(write, there) if is_ours_to_finish else _accepted(there)
            invoiced = self._find_invoiced(write)
            if invoiced is not None:
                return Accepted(invoiced.external_id)
        answer = self.client.write("POST", self.client.path(ORDERS), self._new(write), operation=CREATE)
        return accepted(answer, operation=CREATE, carries=write.reference.encode())

    def _create_together(self, writes: Sequence[Write]) -> dict[IdempotencyKey, Accepted | Refused]:
        answers: dict[IdempotencyKey, Accepted | Refused] = {}
        requests: dict[IdempotencyKey, BatchRequest] = {}
        for write in writes:
            try:
                requests[write.key] = BatchRequest("POST", self.client.path(ORDERS), self._new(write))
            except ValidationRejected as error:
                answers[write.key] = Refused(error)
        try:
            made = self.client.write_together(list(requests.values()), operation=CREATE)
        except ConnectorError as error:
            return answers | dict.fromkeys(requests, Refused(error))
        by_key = {write.key: write for write in writes}
        for key, answer in zip(requests, made, strict=True):
            write = by_key[key]
            try:
                if isinstance(answer, ConnectorError):
                    raise meant(answer, write.payload)
                answers[key] = accepted(answer, operation=CREATE, carries=write.reference.encode())
            except ConnectorError as error:
                answers[key] = Refused(error)
        return answers

    def _change(self, write: Write, order: Row | None) -> Accepted:
        """What differs, all of it or nothing: the header on its version, then its lines, in one transaction."""
        if order is None:
            raise self._why_gone(write)
        version, order_id = str(order["@odata.etag"]), ExternalId(order["id"])
        check_version(write, version)
        header = differing(self._header(write.payload, is_new=False), order)
        lines = plan_lines(write.payload[LINES], _lines(order)) if LINES in write.payload else plan_lines([], [])
        path = self.client.path(ORDERS, order_id)
        if not lines.steps:
            if not header:
                return Accepted(order_id, version)
            answer = self.client.write("PATCH", path, header, operation=CHANGE, version=version)
            return accepted(answer, operation=CHANGE)
        # The header goes out in any case: its version is that of the whole order, and is looked at first.
        header = header or {"externalDocumentNumber": order["externalDocumentNumber"]}
        any_version = if_match(ANY_VERSION)
        steps = [
            BatchRequest("PATCH", path, header, if_match(version)),
            *(BatchRequest("DELETE", self.client.path(LINES, one), headers=any_version) for one in lines.removed),
            *(BatchRequest("PATCH", self.client.path(LINES, one), new, any_version) for one, new in lines.changed),
            *(BatchRequest("POST", f"{path}/{LINES}", new) for new in lines.added),
            BatchRequest("GET", path),
        ]
        if len(steps) > MOST_IN_A_BATCH:
            raise ValidationRejected(
                f"{lines.steps} lines differ; at most {MOST_IN_A_BATCH - 2} can be changed at once", fields=(LINES,)
            )
        answers = self.client.write_together(steps, operation=CHANGE, is_one_transaction=True)
        refused = [one for one in answers if isinstance(one, ConnectorError)]
        if refused:  # what stands behind a refusal has no answer; the refusal is what counts
            raise min(refused, key=lambda one: isinstance(one, OutcomeUnknown))
        last = answers[-1]
        assert not isinstance(last, ConnectorError)
        return accepted(last, operation=CHANGE)

    def _cancel(self, write: Write) -> Accepted:
        assert write.external_id is not None
        try:
            path = self.client.path(ORDERS, write.external_id)
            answer = self.client.write("DELETE", path, operation=CANCEL, version=ANY_VERSION)
        except RecordNotFound:
            if self._find_invoiced(write) is not None:
                raise self._why_gone(write) from None
        else:
            if answer.status != 204:
                raise OutcomeUnknown(f"answered with {answer.status} instead of 204", operation=CANCEL)
        return Accepted(write.external_id)

    # -- values -------------------------------------------------------------------------------------------------------

    def _new(self, write: Write) -> dict[str, Any]:
        payload = write.payload
        if write.reference not in str(payload.get("externalDocumentNumber")):
            raise ValidationRejected(
                f"must carry our reference {write.reference}, by which the order is found again",
                fields=("externalDocumentNumber",),
            )
        lines = [new_line(place, line) for place, line in enumerate(payload.get(LINES) or ())]
        if not lines:
            raise ValidationRejected("an order has at least one line", fields=(LINES,))
        return {**self._header(payload, is_new=True), LINES: lines}

    def _header(self, payload: Row, *, is_new: bool) -> dict[str, Any]:
        if is_new:
            payload = {name: value for name, value in payload.items() if value is not None}
        values = in_order(payload, ORDER, without=_NOT_OF_THE_HEADER)
        for party in ("sellTo", "shipTo"):
            label = f"{party}AddressLines"
            if label in payload:
                values |= address_lines(f"{party}Address", payload[label], label)
        if "paymentTermsCode" in payload:
            code = payload["paymentTermsCode"]
            values["paymentTermsId"] = NO_ID if code is None else id_of_terms(code, self.client.payment_terms)
        return values

    def _values(self, order: Row, payload: Row) -> dict[str, Any]:
        """An order in the payload's shape."""
        values = {name: told(name, order[name], wanted) for name, wanted in payload.items() if name in order}
        for party in ("sellTo", "shipTo"):
            label = f"{party}AddressLines"
            if label in payload:
                values[label] = told_address(f"{party}Address", order, payload[label])
        if "paymentTermsCode" in payload:
            code = self.client.payment_terms.get(str(order.get("paymentTermsId")))
            values["paymentTermsCode"] = told("paymentTermsCode", code, payload["paymentTermsCode"])
        if payload.get("currencyCode") is not None and not values.get("currencyCode"):
            values["currencyCode"] = self.client.company.currency
        if LINES in payload:
            values[LINES] = told_lines(payload[LINES], _lines(order))
        return values

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, external_id: ExternalId | None) -> Row | None:
        if external_id is None:
            return None
        return self.client.find_one(ORDERS, external_id, {"$expand": LINES})

    def _search(self, write: Write) -> Row | None:
        """By our key anywhere in the field: somebody may have edited the rest of it."""
        rows = self.client.search(ORDERS, _carries(write), {"$expand": LINES, "$top": "3"})
        return only_one(rows, write.reference, "orders")

    def _invoices(self, write: Write) -> list[dict[str, Any]]:
        """The invoices of an order that is no longer among the orders. Raises DuplicateRecord for several orders."""
        if write.external_id is not None:
            key = key_of(write.external_id)
            if key is None:
                return []
            condition = f"orderId eq {key}"
        else:
            condition = f"{_carries(write)} and orderNumber ne ''"
        rows = self.client.search(INVOICES, condition, {"$expand": "salesInvoiceLines", "$top": "20"})
        orders = {row.get("orderId") for row in rows}
        if len(orders) > 1 or NO_ID in orders:
            numbers = ", ".join(str(row.get("number")) for row in rows)
            raise DuplicateRecord(f"several orders that carry our reference {write.reference} were invoiced: {numbers}")
        return rows

    def _find_invoiced(self, write: Write) -> Found | None:
        rows = self._invoices(write)
        if not rows:
            return None
        values: dict[str, Any] = {}
        if len(rows) == 1:  # of several invoices, each holds a part of the order only
            invoice = rows[0]
            known = {**invoice, "orderDate": invoice.get("invoiceDate"), LINES: invoice.get("salesInvoiceLines")}
            values = self._values(known, write.payload)
        return Found(ExternalId(rows[0]["orderId"]), None, values, is_complete=write.action is not Action.CANCEL)

    def _why_gone(self, write: Write) -> ConnectorError:
        rows = self._invoices(write)
        if not rows:
            return RecordNotFound(f"there is no order {write.external_id}", operation=CHANGE)
        numbers = ", ".join(str(row.get("number")) for row in rows)
        return ValidationRejected(
            f"the order was invoiced ({numbers}) and cannot be changed or cancelled any more",
            fields=("status",),
            operation=CHANGE,
        )


def _accepted(order: Row) -> Accepted:
    return Accepted(ExternalId(order["id"]), order["@odata.etag"])


def _is_surely_new(write: Write) -> bool:
    return write.action is Action.CREATE and write.external_id is None and not write.was_tried


def _lines(order: Row) -> list[dict[str, Any]]:
    found = order.get(LINES)
    if not isinstance(found, list):
        raise ProtocolViolation("the order came without its lines", operation=f"GET {ORDERS}")
    return found


def _carries(write: Write) -> str:
    return f"contains(externalDocumentNumber,{literal(write.reference)})"
