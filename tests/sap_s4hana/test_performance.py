"""Large orders and large batches cost in proportion to their size."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from connectors.erp.sap_s4hana import order_bodies
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.erp.sap_s4hana.document_records import ORDER_READ
from connectors.erp.sap_s4hana.documents import ORDER
from connectors.erp.sap_s4hana.streams import Row
from connectors.sinks import Accepted
from connectors.transport.odata_v2 import plain
from crm_core.ids import EntityType
from tests.sap_s4hana.conftest import Simulator, config_of, line, order, write


def seconds(work: Callable[[], object]) -> float:
    """The least of three runs, in time of this process."""
    found = []
    for _ in range(3):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def row_of(lines: int) -> Row:
    """An order as it was read."""
    items = [
        {
            "SalesOrderItem": str(10 * number),
            "UnderlyingPurchaseOrderItem": f"L{number}",
            "Material": "TG0000",
            "RequestedQuantity": "2.000",
            "RequestedQuantityUnit": "PC",
            "NetAmount": "19.98",
            "to_PricingElement": {"results": [{"ConditionType": "PPR0", "ConditionRateValue": "9.99"}]},
            "to_ScheduleLine": {"results": []},
        }
        for number in range(1, lines + 1)
    ]
    return plain({"SalesOrder": "1", "to_Item": {"results": items}, "to_Partner": {"results": []}}, ORDER_READ)


def test_ten_times_the_lines_take_ten_times_as_long(still: Simulator) -> None:
    """Not a hundred times: matching each of 10,000 lines with each item would be a hundred million comparisons."""
    config = config_of(still)
    assert ORDER.entity_set == "A_SalesOrder"

    def work(lines: int) -> Callable[[], object]:
        row = row_of(lines)
        payload = order(1, *(line(quantity=3, SalesOrderItem=f"L{number}") for number in range(1, lines + 1)))

        def run() -> object:
            order_bodies.order_body(payload, config)
            changes = list(order_bodies.differences(row, 'W/"1"', payload, config))
            assert len(changes) == lines + 1
            return order_bodies.values_of(row, payload, config)

        return run

    assert seconds(work(3_000)) < 30 * seconds(work(300))


def test_an_order_of_a_thousand_lines_goes_out_and_comes_back(small: Simulator) -> None:
    payload = order(1, *(line("TG0000", number % 7 + 1) for number in range(1_000)))
    with SapS4hana(config_of(small, timeout_seconds=60)) as connection:
        sink = connection.sink(EntityType.ORDER)
        (made,) = sink.push([write(1, payload)])
        assert isinstance(made, Accepted)
        found = sink.find(write(1, payload))
    assert found is not None
    assert [one["RequestedQuantity"] for one in found.values["to_Item"]] == [
        Decimal(number % 7 + 1) for number in range(1_000)
    ]
