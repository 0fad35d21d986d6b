"""Writes as the push engine makes them, and what became of them in the simulated books."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from connectors.sinks import Accepted, Action, Refused, Sink, Write
from crm_core.errors import ConnectorError
from crm_core.ids import ClientReference, ExternalId, IdempotencyKey
from crm_core.keys import idempotency_key, new_client_reference
from tests.business_central.conftest import Simulator


def item(simulator: Simulator, number: str = "100001") -> str:
    return str(simulator.get("items", number)["id"])


def line(simulator: Simulator, number: str = "100001", **changes: Any) -> dict[str, Any]:
    """One line of a payload."""
    values = {"itemId": item(simulator, number), "quantity": Decimal(2), "unitPrice": Decimal("9.5")}
    return {**values, "discountPercent": Decimal(0), **changes}


def order(simulator: Simulator, reference: str, **changes: Any) -> dict[str, Any]:
    """The payload of an order of one line, as the shipped mapping makes it."""
    return {
        "externalDocumentNumber": f"PO-7/{reference}",
        "customerId": str(simulator.get("customers", "10001")["id"]),
        "orderDate": "2026-03-01",
        "currencyCode": "EUR",
        "pricesIncludeTax": False,
        "requestedDeliveryDate": None,
        "salesOrderLines": [line(simulator)],
        **changes,
    }


def create(payload: dict[str, Any], reference: str, *, was_tried: bool = False, **changes: Any) -> Write:
    return _write(Action.CREATE, payload, reference, was_tried=was_tried, **changes)


def update(made: Accepted, payload: dict[str, Any], reference: str, **changes: Any) -> Write:
    given: dict[str, Any] = {"external_id": made.external_id, "version": made.version, **changes}
    return _write(Action.UPDATE, payload, reference, **given)


def cancel(made: Accepted, payload: dict[str, Any], reference: str) -> Write:
    return _write(Action.CANCEL, payload, reference, external_id=made.external_id, version=made.version)


def _write(action: Action, payload: dict[str, Any], reference: str, **given: Any) -> Write:
    key: IdempotencyKey = idempotency_key(ClientReference(reference), 1)
    return Write(key, ClientReference(reference), action, payload, **given)


def a_reference() -> ClientReference:
    return new_client_reference()


def accepted(answers: Sequence[Accepted | Refused]) -> Accepted:
    """The one answer, which is a yes."""
    (answer,) = answers
    assert isinstance(answer, Accepted), answer
    return answer


def refused(answers: Sequence[Accepted | Refused]) -> ConnectorError:
    """The error of the one answer, which is a no."""
    (answer,) = answers
    assert isinstance(answer, Refused), answer
    return answer.error


def made_order(simulator: Simulator, sink: Sink, **changes: Any) -> tuple[Accepted, dict[str, Any], ClientReference]:
    """An order that went out: the answer, its payload and our reference."""
    reference = a_reference()
    payload = order(simulator, reference, **changes)
    return accepted(sink.push([create(payload, reference)])), payload, reference


def orders_with(simulator: Simulator, reference: str) -> list[tuple[dict[str, Any], list[dict[str, Any]], bool]]:
    """Every order that carries our reference, also one that was deleted or invoiced."""
    return [found for found in simulator.all_orders() if reference in str(found[0]["externalDocumentNumber"])]


def order_there(simulator: Simulator, external_id: ExternalId) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An order that is listed, and its lines."""
    found = [(values, lines) for values, lines, _ in simulator.all_orders() if values["id"] == external_id]
    ((values, lines),) = found
    return values, lines


def calls(simulator: Simulator) -> list[tuple[str, str]]:
    """Method and last part of the path of every request for records since the log was cleared."""
    return [
        (entry.method, entry.path.rsplit("/", 1)[-1].partition("(")[0])
        for entry in simulator.log
        if not entry.path.endswith(("/token", "/companies", "/companyInformation"))
    ]
