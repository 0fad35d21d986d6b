"""Orders that change: whole or not at all, based on what we know, and nothing of the back office's own undone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.sinks import Accepted, Action, Refused, Sink
from crm_core.errors import OutcomeUnknown, StaleVersion, ValidationRejected
from crm_core.ids import EntityType
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from simulators.sap_s4hana.values import Value
from tests.sap_s4hana.conftest import CUSTOMER, Simulator, config_of, line, order, read, reference_of, write


@pytest.fixture
def sink(selling: SapS4hana) -> Sink:
    return selling.sink(EntityType.ORDER)


def made(sink: Sink, payload: dict[str, Any]) -> Accepted:
    (result,) = sink.push([write(1, payload)])
    assert isinstance(result, Accepted), result
    return result


def changed(sink: Sink, payload: dict[str, Any], before: Accepted, action: Action = Action.UPDATE) -> Accepted:
    (result,) = sink.push([write(1, payload, action, before.external_id, before.version)])
    assert isinstance(result, Accepted), result
    return result


def refused(sink: Sink, payload: dict[str, Any], before: Accepted, action: Action = Action.UPDATE) -> Refused:
    (result,) = sink.push([write(1, payload, action, before.external_id, before.version)])
    assert isinstance(result, Refused), result
    return result


def items(simulator: Simulator, number: str) -> dict[str, dict[str, Value]]:
    rows = simulator.rows("A_SalesOrderItem", SalesOrder=number)
    return {str(row["SalesOrderItem"]): row for row in rows}


def writes(simulator: Simulator) -> int:
    return sum(entry.kind == "write" for entry in simulator.log)


# -- update -----------------------------------------------------------------------------------------------------------


def test_header_and_lines_become_what_the_payload_says(small: Simulator, sink: Sink) -> None:
    """Changed, added, removed: matched by the line's key."""
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2), line("TG0003", 3, RequestedQuantityUnit="KG")))
    lines = (
        line("TG0000", 7, "8.5", SalesOrderItem="10"),
        line("TG0004", 4, "3", SalesOrderItem="new-1"),
        line("TG0003", 3, SalesOrderItem="30", RequestedQuantityUnit="KG"),
    )
    payload = order(1, *lines, RequestedDeliveryDate="2026-04-01", ShipToParty="10000003")
    after = changed(sink, payload, before)
    assert after.external_id == before.external_id
    assert after.version not in (None, before.version)
    number = before.external_id
    found = {key: (row["Material"], row["RequestedQuantity"]) for key, row in items(small, number).items()}
    assert found == {"10": ("TG0000", 7), "30": ("TG0003", 3), "40": ("TG0004", 4)}
    assert items(small, number)["10"]["NetAmount"] == Decimal("59.5")
    assert str(small.get("A_SalesOrder", number)["RequestedDeliveryDate"]) == "2026-04-01"
    assert small.get("A_SalesOrderHeaderPartner", number, "SH")["Customer"] == "10000003"
    there = sink.find(write(1, payload, Action.UPDATE, number))
    assert there is not None
    assert there.version == after.version
    by_product = {one["Material"]: one for one in there.values["to_Item"]}
    assert by_product["TG0004"]["SalesOrderItem"] == "new-1"


def test_a_line_is_found_by_the_key_that_we_gave_it(small: Simulator, sink: Sink) -> None:
    """Until the first pull the CRM does not know SAP's item numbers: the line must not be added a second time."""
    before = made(sink, order(1, line("TG0000", 1, SalesOrderItem="a"), line("TG0001", 2, SalesOrderItem="b")))
    changed(sink, order(1, line("TG0000", 5, SalesOrderItem="a"), line("TG0001", 2, SalesOrderItem="B")), before)
    found = [(row["Material"], row["RequestedQuantity"]) for row in items(small, before.external_id).values()]
    assert found == [("TG0000", 5), ("TG0001", 2)]


def test_a_number_that_is_another_lines_by_now_is_not_mixed_up_with_it(small: Simulator, sink: Sink) -> None:
    """Our line `a` became item 10: a new line that we call 10 is refused, rather than put in its place."""
    before = made(sink, order(1, line("TG0000", 1, SalesOrderItem="a")))
    lines = (line("TG0000", 1, SalesOrderItem="a"), line("TG0001", 5, SalesOrderItem="10"))
    error = refused(sink, order(1, *lines), before).error
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("SalesOrderItem",)
    (item,) = items(small, before.external_id).values()
    assert item["RequestedQuantity"] == 1


def test_an_update_that_changes_nothing_writes_nothing(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    sent = writes(small)
    assert changed(sink, order(1, line(SalesOrderItem="10")), before) == before
    assert writes(small) == sent


def test_a_change_is_whole_or_not_at_all(small: Simulator, sink: Sink) -> None:
    """Half an order is delivered by nobody who knows."""
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2)))
    lines = (line("TG0000", 9, SalesOrderItem="10"), line("NOPE", 1, SalesOrderItem="x"))
    error = refused(sink, order(1, *lines, RequestedDeliveryDate="2026-05-01"), before).error
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("Material",)
    found = [(row["Material"], row["RequestedQuantity"]) for row in items(small, before.external_id).values()]
    assert found == [("TG0000", 1), ("TG0001", 2)]
    assert str(small.get("A_SalesOrder", before.external_id)["RequestedDeliveryDate"]) == "2026-03-09"


def test_a_change_based_on_an_old_version_is_refused_before_it_is_sent(small: Simulator, sink: Sink) -> None:
    """Somebody in S/4 changed it meanwhile: what they did is not overwritten."""
    before = made(sink, order(1))
    small.change_order(before.external_id, CustomerPaymentTerms="0004")
    sent = writes(small)
    assert isinstance(refused(sink, order(1, line(quantity=5)), before).error, StaleVersion)
    assert writes(small) == sent


def test_a_change_between_our_look_and_our_write_is_seen_by_s4(small: Simulator, sink: Sink) -> None:
    """If-Match at the header holds the whole changeset."""
    before = made(sink, order(1))

    def meanwhile(request: Request, response: Response) -> Response:
        if request.method == "GET" and "SalesOrder%20eq" in request.query:
            small.distort = None
            small.change_order(before.external_id, CustomerPaymentTerms="0004")
        return response

    small.distort = meanwhile
    error = refused(sink, order(1, line(quantity=5, SalesOrderItem="10")), before).error
    assert isinstance(error, StaleVersion)
    assert error.http_status == 412
    (item,) = items(small, before.external_id).values()
    assert item["RequestedQuantity"] == 2


def test_without_a_known_version_the_present_one_is_taken(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    small.change_order(before.external_id, DeliveryBlockReason="01")
    (result,) = sink.push(
        [write(1, order(1, line(quantity=5, SalesOrderItem="10")), Action.UPDATE, before.external_id)]
    )
    assert isinstance(result, Accepted)
    (item,) = items(small, before.external_id).values()
    assert item["RequestedQuantity"] == 5
    assert small.get("A_SalesOrder", before.external_id)["DeliveryBlockReason"] == "01"


def test_a_changed_price_and_discount_take_the_place_of_the_old_ones(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1, line("TG0000", 10, "5", DiscountPercent=Decimal(10))))
    after = changed(sink, order(1, line("TG0000", 10, "6", SalesOrderItem="10", DiscountPercent=Decimal(20))), before)
    assert items(small, before.external_id)["10"]["NetAmount"] == 48
    changed(sink, order(1, line("TG0000", 10, "6", SalesOrderItem="10", DiscountPercent=None)), after)
    assert items(small, before.external_id)["10"]["NetAmount"] == 60


def test_a_discount_that_comes_later_is_added(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1, line("TG0000", 10, "5", DiscountPercent=None)))
    changed(sink, order(1, line("TG0000", 10, "5", SalesOrderItem="10", DiscountPercent=Decimal(50))), before)
    assert items(small, before.external_id)["10"]["NetAmount"] == 25


def test_a_discount_that_the_payload_does_not_speak_of_is_left(small: Simulator, sink: Sink) -> None:
    """A mapping without discounts must not take away what sales gave in S/4."""
    before = made(sink, order(1, line("TG0000", 10, "5", DiscountPercent=Decimal(10))))
    changed(sink, order(1, line("TG0000", 10, "5", SalesOrderItem="10")), before)
    assert items(small, before.external_id)["10"]["NetAmount"] == 45


def test_a_price_that_was_found_becomes_a_given_one(small: Simulator, sink: Sink) -> None:
    payload = order(1, line())
    del payload["to_Item"][0]["ConditionRateValue"]
    before = made(sink, payload)
    assert items(small, before.external_id)["10"]["NetAmount"] == 20
    changed(sink, order(1, line(price="7", SalesOrderItem="10")), before)
    assert items(small, before.external_id)["10"]["NetAmount"] == 14


def test_a_rejected_line_is_no_line_of_ours(small: Simulator, sink: Sink) -> None:
    """Somebody rejected it in S/4: an update neither brings it back nor deletes it."""
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2)))
    number = before.external_id
    small.change("A_SalesOrderItem", number, "20", SalesDocumentRjcnReason="61")
    changed(sink, order(1, line("TG0000", 5, SalesOrderItem="10")), before)
    found = {
        key: (row["RequestedQuantity"], row["SalesDocumentRjcnReason"]) for key, row in items(small, number).items()
    }
    assert found == {"10": (5, ""), "20": (2, "61")}


def test_a_sub_item_goes_with_its_main_item(small: Simulator, sink: Sink) -> None:
    """Free goods and components are S/4's own: a payload without them does not take them away."""
    before = made(sink, order(1, line("TG0000", 1)))
    number = before.external_id
    row = small.get("A_SalesOrderItem", number, "10")
    small.add("A_SalesOrderItem", **{**row, "SalesOrderItem": "11", "HigherLevelItem": "10"})
    changed(sink, order(1, line("TG0000", 5, SalesOrderItem="10")), before)
    assert set(items(small, number)) == {"10", "11"}


def test_a_delivered_line_cannot_be_removed(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2)))
    small.deliver(before.external_id, {"20": Decimal(2)})
    error = refused(sink, order(1, line("TG0000", 1, SalesOrderItem="10")), Accepted(before.external_id)).error
    assert isinstance(error, ValidationRejected)
    assert "subsequent documents" in error.message


def test_a_partner_that_is_not_there_yet_is_added(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    small.remove("A_SalesOrderHeaderPartner", before.external_id, "SH")
    changed(sink, order(1, line(SalesOrderItem="10"), ShipToParty="10000003"), before)
    assert small.get("A_SalesOrderHeaderPartner", before.external_id, "SH")["Customer"] == "10000003"


def test_the_customers_own_reference_can_change_and_ours_stays(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    payload = order(1, line(SalesOrderItem="10"), PurchaseOrderByCustomer=f"NEW/{reference_of(1)}")
    changed(sink, payload, before)
    there = sink.find(write(1, payload))
    assert there is not None
    assert there.values["PurchaseOrderByCustomer"] == f"NEW/{reference_of(1)}"


def test_a_change_whose_answer_was_lost_shows_in_what_is_found(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    payload = order(1, line(quantity=5, SalesOrderItem="10"))
    small.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    assert isinstance(refused(sink, payload, before).error, OutcomeUnknown)
    there = sink.find(write(1, payload, Action.UPDATE, before.external_id))
    assert there is not None
    assert there.values["to_Item"][0]["RequestedQuantity"] == 5


def test_a_change_that_was_carried_out_counts_even_when_it_cannot_be_read_again(small: Simulator, sink: Sink) -> None:
    """Only the version is unknown then."""
    before = made(sink, order(1))
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=503), kind="read", nth=2, times=None)])
    after = changed(sink, order(1, line(quantity=5, SalesOrderItem="10")), before)
    assert (after.external_id, after.version) == (before.external_id, None)


# -- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancelled_order_stays_with_its_reason(small: Simulator, selling: SapS4hana, sink: Sink) -> None:
    """Deleted, nobody could see any more that it was ever there."""
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2)))
    there = sink.find(write(1, order(1), Action.CANCEL, before.external_id))
    assert there is not None
    assert not there.is_complete
    changed(sink, order(1), before, Action.CANCEL)
    assert {row["SalesDocumentRjcnReason"] for row in items(small, before.external_id).values()} == {"61"}
    assert read(selling, EntityType.ORDER)[before.external_id]["OverallSDDocumentRejectionSts"] == "C"
    there = sink.find(write(1, order(1), Action.CANCEL, before.external_id))
    assert there is not None
    assert there.is_complete


def test_an_order_that_is_cancelled_already_is_not_written_again(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    changed(sink, order(1), before, Action.CANCEL)
    sent = writes(small)
    changed(sink, order(1), Accepted(before.external_id), Action.CANCEL)
    assert writes(small) == sent


def test_an_order_in_delivery_cannot_be_cancelled_by_half(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1, line("TG0000", 1), line("TG0001", 2)))
    small.deliver(before.external_id, {"20": Decimal(1)})
    error = refused(sink, order(1), Accepted(before.external_id), Action.CANCEL).error
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("SalesDocumentRjcnReason",)
    assert {row["SalesDocumentRjcnReason"] for row in items(small, before.external_id).values()} == {""}


def test_without_a_reason_nothing_is_cancelled(small: Simulator) -> None:
    """Which reason means `cancelled by the customer` is the company's own; a guess would land in its statistics."""
    with SapS4hana(config_of(small, rejection_reason=None)) as connection:
        sink = connection.sink(EntityType.ORDER)
        before = made(sink, order(1))
        error = refused(sink, order(1), before, Action.CANCEL).error
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("SalesDocumentRjcnReason",)
    assert "rejection_reason" in error.message


def test_a_write_without_an_id_is_refused(sink: Sink) -> None:
    (result,) = sink.push([write(1, order(1), Action.UPDATE)])
    assert isinstance(result, Refused)
    assert isinstance(result.error, ValidationRejected)


def test_creates_and_changes_may_be_handed_over_together(small: Simulator, sink: Sink) -> None:
    before = made(sink, order(1))
    results = sink.push(
        [
            write(2, order(2)),
            write(1, order(1, line(quantity=5, SalesOrderItem="10")), Action.UPDATE, before.external_id),
            write(3, order(3, SoldToParty="9999")),
            write(4, order(4)),
        ]
    )
    assert [type(result) for result in results] == [Accepted, Accepted, Refused, Accepted]
    assert isinstance(results[1], Accepted)
    assert results[1].external_id == before.external_id
    assert small.get("A_SalesOrder", before.external_id)["SoldToParty"] == CUSTOMER
