"""What an order would come to: the price S/4 would bill, the day it could be there, and whether credit allows it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.abilities import (
    Confirmation,
    LineAnswer,
    OrderAnswer,
    OrderSimulating,
    SimulatedLine,
    SimulatedOrder,
)
from connectors.erp.sap_s4hana.connector import SapS4hana
from crm_core.errors import ProtocolViolation, ServiceUnavailable, ValidationRejected
from crm_core.ids import ExternalId
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from simulators.sap_s4hana.seed_goods import add_condition
from tests.sap_s4hana.conftest import CUSTOMER, Simulator, config_of


def asked(*lines: tuple[str, str, str | None], **options: Any) -> SimulatedOrder:
    """An order of (product, quantity, unit)."""
    given = [SimulatedLine(ExternalId(product), Decimal(quantity), unit) for product, quantity, unit in lines]
    return SimulatedOrder(ExternalId(options.pop("account", CUSTOMER)), given, **options)


@pytest.fixture
def in_stock(small: Simulator) -> Simulator:
    """TG0000: 12.5 in plant 1010."""
    small.add(
        "A_MatlStkInAcctMod",
        Material="TG0000",
        Plant="1010",
        StorageLocation="101C",
        InventoryStockType="01",
        MaterialBaseUnit="PC",
        MatlWrhsStkQtyInMatlBaseUnit=Decimal(10),
    )
    return small


def test_s4_is_a_system_that_can_do_it(selling: SapS4hana) -> None:
    assert isinstance(selling, OrderSimulating)


def test_price_availability_and_credit_come_in_one_answer(in_stock: Simulator, selling: SapS4hana) -> None:
    answer = selling.simulate_order(
        asked(("TG0000", "20", "PC"), ("TG0001", "3", None), requested_date=date(2026, 3, 5))
    )
    assert answer == OrderAnswer(
        lines=(
            LineAnswer(
                ExternalId("TG0000"), Decimal(20), "PC", Decimal(10), Decimal(200),
                (Confirmation(Decimal("12.5"), date(2026, 3, 5)), Confirmation(Decimal("7.5"), date(2026, 3, 8))),
            ),
            LineAnswer(
                ExternalId("TG0001"), Decimal(3), "PC", Decimal("10.37"), Decimal("31.11"),
                (Confirmation(Decimal(3), date(2026, 3, 5)),),
            ),
        ),
        currency="EUR",
        total=Decimal("231.11"),
        credit="passed",
        credit_status="A",
        as_of=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )  # fmt: skip
    first, second = answer.lines
    assert (first.confirmed_quantity, first.confirmed_on) == (20, date(2026, 3, 8))
    assert (second.confirmed_quantity, second.confirmed_on) == (3, date(2026, 3, 5))


def test_nothing_is_ordered_by_asking(small: Simulator, selling: SapS4hana) -> None:
    before = small.rows("A_SalesOrder")
    selling.simulate_order(asked(("TG0000", "1", "PC")))
    assert small.rows("A_SalesOrder") == before


def test_the_customers_own_price_and_its_scale_count(small: Simulator, selling: SapS4hana) -> None:
    """That is what condition lists cannot promise."""
    with small.at_work() as office:
        scale = ((1, Decimal(8)), (100, Decimal("6.5")))
        add_condition(office, "TG0000", Decimal(8), scale=scale, table="304", Customer=CUSTOMER)
    prices = [
        selling.simulate_order(asked(("TG0000", quantity, "PC"))).lines[0].unit_price for quantity in ("99", "100")
    ]
    assert prices == [8, Decimal("6.5")]


def test_another_unit_is_priced_and_confirmed_in_that_unit(in_stock: Simulator, selling: SapS4hana) -> None:
    (line,) = selling.simulate_order(asked(("TG0000", "2", "BOX"))).lines
    assert (line.unit, line.unit_price, line.amount) == ("BOX", 120, 240)
    assert line.confirmed_quantity == 2
    assert line.confirmations is not None
    assert line.confirmations[0].quantity == Decimal("1.041")


def test_a_price_that_has_no_end_is_not_rounded(small: Simulator, selling: SapS4hana) -> None:
    small.change("A_SlsPrcgConditionRecord", "0000010000", ConditionRateValue=Decimal(10), ConditionQuantity=Decimal(3))
    (line,) = selling.simulate_order(asked(("TG0000", "1", "PC"))).lines
    assert (line.amount, line.unit_price) == (Decimal("3.33"), Decimal("3.33"))
    (line,) = selling.simulate_order(asked(("TG0000", "7", "PC"))).lines
    assert (line.amount, line.unit_price) == (Decimal("23.33"), None)


def test_another_currency_and_ship_to_party_are_asked_for(small: Simulator, selling: SapS4hana) -> None:
    answer = selling.simulate_order(asked(("TG0000", "3", "PC"), currency="USD", ship_to="10000003"))
    assert (answer.currency, answer.total) == ("USD", 15)


@pytest.mark.parametrize(
    ("changes", "credit", "status"),
    [
        ({"CreditAccountIsBlocked": True}, "blocked", "B"),
        ({"CreditLimitIsZero": True}, "blocked", "B"),
        ({"CreditLimitAmount": Decimal(10)}, "passed", "A"),
        ({"CreditLimitAmount": Decimal("9.99")}, "blocked", "B"),
        ({}, "passed", "A"),
        (None, "not_checked", ""),
    ],
)
def test_credit_says_whether_the_order_would_be_held(
    small: Simulator, selling: SapS4hana, changes: dict[str, Any] | None, credit: str, status: str
) -> None:
    """Before the customer was promised anything."""
    if changes is None:
        small.remove("CreditManagementAccount", CUSTOMER, "1000")
    else:
        small.change("CreditManagementAccount", CUSTOMER, "1000", **changes)
    answer = selling.simulate_order(asked(("TG0000", "1", "PC")))
    assert (answer.credit, answer.credit_status) == (credit, status)


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (asked(("NOPE", "1", "PC")), "Material"),
        (asked(("TG0000", "1", "XX")), "RequestedQuantityUnit"),
        (asked(("TG0000", "1", "PC"), account="9999"), "SoldToParty"),
        (asked(("TG0000", "1", "PC"), currency="XXX"), "TransactionCurrency"),
    ],
)
def test_what_s4_would_refuse_is_refused_with_its_field(selling: SapS4hana, order: SimulatedOrder, field: str) -> None:
    with pytest.raises(ValidationRejected) as told:
        selling.simulate_order(order)
    assert told.value.fields == (field,)


def test_asking_may_be_repeated(small: Simulator, selling: SapS4hana) -> None:
    """It changes nothing, so a broken line costs a second try and no person."""
    small.set_plan([Rule(Fault(FaultKind.CUT_AFTER), path="Simulation$")])
    with SapS4hana(config_of(small)) as connection:
        assert connection.simulate_order(asked(("TG0000", "1", "PC"))).total == 10
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=503), path="Simulation$", times=None)])
    with SapS4hana(config_of(small, attempts=1)) as connection, pytest.raises(ServiceUnavailable):
        connection.simulate_order(asked(("TG0000", "1", "PC")))


def answering(small: Simulator, *replacements: tuple[bytes, bytes]) -> None:
    """Changes what the simulation tells."""

    def changed(request: Request, response: Response) -> Response:
        if request.method != "POST":
            return response
        body = response.body
        for old, new in replacements:
            assert old in body
            body = body.replace(old, new)
        return Response(response.status, body, response.headers)

    small.distort = changed


def test_what_is_not_told_is_not_guessed(small: Simulator, selling: SapS4hana) -> None:
    """Neither a quantity of zero nor a passed credit."""
    answering(
        small, (b'"to_ScheduleLine"', b'"to_Other"'), (b'"to_Credit"', b'"to_Else"'), (b'"to_Pricing"', b'"to_X"')
    )
    answer = selling.simulate_order(asked(("TG0000", "1", "PC")))
    assert (answer.credit, answer.total, answer.currency) == ("unknown", None, "EUR")
    (line,) = answer.lines
    assert (line.confirmations, line.confirmed_quantity, line.confirmed_on) == (None, None, None)


def test_a_credit_status_that_we_do_not_know_is_unknown(small: Simulator, selling: SapS4hana) -> None:
    answering(small, (b'"TotalCreditCheckStatus":"A"', b'"TotalCreditCheckStatus":"Z"'))
    answer = selling.simulate_order(asked(("TG0000", "1", "PC")))
    assert (answer.credit, answer.credit_status) == ("unknown", "Z")


def test_confirmations_in_another_unit_are_not_told_as_those_of_the_line(small: Simulator, selling: SapS4hana) -> None:
    answering(small, (b'"OrderQuantityUnit":"PC"', b'"OrderQuantityUnit":"BOX"'))
    (line,) = selling.simulate_order(asked(("TG0000", "1", "PC"))).lines
    assert line.confirmations is None


def test_nothing_confirmed_is_told_as_nothing(small: Simulator, selling: SapS4hana) -> None:
    answering(small, (b'"ConfdOrderQtyByMatlAvailCheck":"1"', b'"ConfdOrderQtyByMatlAvailCheck":"0.000"'))
    (line,) = selling.simulate_order(asked(("TG0001", "1", "PC"))).lines
    assert (line.confirmations, line.confirmed_quantity, line.confirmed_on) == ((), 0, None)


def test_an_answer_without_one_of_the_lines_is_no_answer(small: Simulator, selling: SapS4hana) -> None:
    """The second line's price must not be shown at the first."""
    answering(small, (b'"SalesOrderItem":"20"', b'"SalesOrderItem":"30"'))
    with pytest.raises(ProtocolViolation, match="no item 20"):
        selling.simulate_order(asked(("TG0000", "1", "PC"), ("TG0001", "1", "PC")))


def test_free_goods_that_s4_adds_are_no_lines_of_the_question(small: Simulator, selling: SapS4hana) -> None:
    answering(
        small,
        (
            b'{"SalesOrder":"","SalesOrderItem":"10"',
            b'{"SalesOrderItem":"11"},{"SalesOrder":"","SalesOrderItem":"000010"',
        ),
    )
    answer = selling.simulate_order(asked(("TG0000", "1", "PC")))
    assert [line.product for line in answer.lines] == ["TG0000"]
