"""Which line of theirs each of ours is: a wrong pair would change the wrong item, a missed one would sell it twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.business_central.order_lines import new_line, pair_lines, plan_lines, told_lines
from connectors.erp.business_central.records import NO_ID
from crm_core.errors import ValidationRejected

A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"


def ours(sequence: str | None, item: str | None = A, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "itemId": item, "quantity": Decimal(quantity), "unitPrice": Decimal("9.5"), **more}


def theirs(sequence: int, item: str = A, quantity: int = 1, **more: Any) -> dict[str, Any]:
    values = {"lineType": "Account" if item == NO_ID else "Item", "sequence": sequence, "itemId": item}
    values |= {"id": f"L{sequence}", "quantity": Decimal(quantity), "unitPrice": Decimal("9.50")}
    return {**values, "description": "theirs", **more}


COMMENT = {"id": "C", "lineType": "Comment", "sequence": 5, "itemId": NO_ID, "quantity": 0}


def paired(wanted: list[dict[str, Any]], there: list[dict[str, Any]]) -> list[str | None]:
    return [None if known is None else known["id"] for known in pair_lines(wanted, there)]


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        ([ours("10000"), ours("20000")], [theirs(10000), theirs(20000)], ["L10000", "L20000"]),
        ([ours("20000"), ours("10000")], [theirs(10000), theirs(20000)], ["L20000", "L10000"]),
        ([ours("1"), ours("2", B)], [theirs(10000), theirs(20000, B)], ["L10000", "L20000"]),
        ([ours("1"), ours("2", B)], [theirs(10000, B), theirs(20000)], ["L20000", None]),
        ([ours("1"), ours("2", B)], [theirs(10000, B)], [None, None]),
        ([ours("1"), ours("2")], [theirs(10000), theirs(20000, B), theirs(30000)], ["L10000", "L30000"]),
        ([ours("1"), ours("10000")], [theirs(10000), theirs(20000)], ["L20000", "L10000"]),
        ([ours("1"), ours("2")], [theirs(10000)], ["L10000", None]),
        ([ours(None)], [theirs(10000)], ["L10000"]),
        ([ours("10000", B)], [theirs(10000)], [None]),
        ([ours("10000", None)], [theirs(10000, NO_ID)], ["L10000"]),
        ([ours("7", None)], [theirs(10000, NO_ID)], [None]),
        ([ours("5")], [COMMENT], [None]),
    ],
)
def test_lines_are_paired_by_their_sequence_then_by_their_item_and_order(
    wanted: list[dict[str, Any]], there: list[dict[str, Any]], expected: list[str | None]
) -> None:
    assert paired(wanted, there) == expected


def test_only_what_differs_is_sent_and_then_with_its_price() -> None:
    """A quantity that is sent alone takes the price of the item."""
    wanted = [ours("10000"), ours("20000", quantity=4), ours("30000", description="ours"), ours("x", B)]
    there = [theirs(10000), theirs(20000), theirs(30000), theirs(40000), COMMENT]
    plan = plan_lines(wanted, there)
    assert plan.removed == ["L40000"]
    assert plan.changed == [
        ("L20000", {"quantity": Decimal(4), "unitPrice": Decimal("9.5")}),
        ("L30000", {"description": "ours"}),
    ]
    assert plan.added == [{"lineType": "Item", "itemId": B, "quantity": Decimal(1), "unitPrice": Decimal("9.5")}]
    assert plan.steps == 4


def test_a_line_is_sent_in_the_order_in_which_it_is_set() -> None:
    """The item sets the price, the quantity sets it again: what was agreed comes last."""
    line = {"discountPercent": 5, "unitPrice": 9, "quantity": 2, "unitOfMeasureCode": "PCS", "itemId": A, "x": 1}
    assert list(new_line(0, {**line, "sequence": "1"})) == [
        *("lineType", "itemId", "unitOfMeasureCode", "quantity", "unitPrice", "discountPercent", "x")
    ]


def test_a_new_line_without_an_item_is_refused_in_its_place() -> None:
    with pytest.raises(ValidationRejected) as refusal:
        plan_lines([ours("10000"), ours("2", None)], [theirs(10000)])
    assert refusal.value.fields == ("salesOrderLines[1].itemId",)


line_lists = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([A, B]), st.integers(1, 3)), max_size=6)


@given(line_lists, line_lists)
def test_whatever_the_lines_are_what_is_there_afterwards_is_what_we_want(
    mine: list[tuple[int, str, int]], others: list[tuple[int, str, int]]
) -> None:
    wanted = [ours(str(10000 * number), item, quantity) for number, item, quantity in mine]
    there = {f"L{10000 * n}": theirs(10000 * n, item, quantity) for n, item, quantity in others}
    plan = plan_lines(wanted, [*there.values(), COMMENT])
    for line_id in plan.removed:
        del there[line_id]
    for line_id, values in plan.changed:
        there[line_id] |= values
    after = [*there.values(), *plan.added]
    assert sorted((line["itemId"], line["quantity"]) for line in after) == sorted(
        (line["itemId"], line["quantity"]) for line in wanted
    )
    numbered = [{"sequence": 10**6 + place, "id": f"new {place}", **line} for place, line in enumerate(after)]
    again = plan_lines(wanted, numbered)
    assert again.removed == again.added == []


@given(line_lists)
def test_what_was_sent_is_read_back_as_it_was_sent(mine: list[tuple[int, str, int]]) -> None:
    wanted = [ours(str(number), item, quantity) for number, item, quantity in mine]
    there = [theirs(10000 * place, item, quantity) for place, (_, item, quantity) in enumerate(mine, 1)]
    back = told_lines(wanted, there)
    assert sorted((line["itemId"], line["quantity"]) for line in back) == sorted(
        (line["itemId"], line["quantity"]) for line in wanted
    )
    assert [line["itemId"] for line in back] == [line["itemId"] for line in wanted], "in our order"
    assert len(told_lines(wanted, [*there, theirs(990000), COMMENT])) == len(wanted) + 1
