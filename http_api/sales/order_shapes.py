"""What is asked and told of prices and orders. Quantities and amounts are text, in both directions."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crm_core.ids import CrmId
from crm_core.model.sales import Order
from http_api.sales.shapes import CreditShape, Day, SourceShape, StockShape, credit_shape, source_shape, stock_shape
from http_api.shapes import Moment, Number, Shape, number, number_or_none
from sync_jobs.live.answers import (
    CheckedLine,
    DraftLine,
    OrderCheck,
    OrderDraft,
    OrderView,
    PlacedOrder,
    PriceLine,
    PriceLineAnswer,
    PushState,
)

NumberIn = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$",
        description="A decimal as text: a JSON number would lose digits on its way.",
        examples=["12.5"],
    ),
]


def _number_of_ours(value: Any) -> Any:
    """A JSON number; pydantic would also take a text and `true` for one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic tells of a ValueError
    return value


IdIn = Annotated[int, Field(ge=1, le=2**53 - 1), BeforeValidator(_number_of_ours)]
UnitIn = Annotated[str | None, Field(min_length=1, max_length=100, description="Left out: the base unit.")]
CurrencyIn = Annotated[str | None, Field(pattern=r"^[A-Z]{3}$", description="Left out: the account's.")]
MAX_LINES = 10_000

# -- prices -----------------------------------------------------------------------------------------------------------


class PriceLineIn(Shape):
    """A line that a price is asked for."""

    product_id: IdIn
    quantity: NumberIn
    unit: UnitIn = None


class PriceQuestion(Shape):
    """Whose prices, of what, on which day."""

    account_id: IdIn
    lines: Annotated[list[PriceLineIn], Field(min_length=1, max_length=MAX_LINES)]
    date: Annotated[Day | None, Field(description="Left out: today.")] = None
    currency: CurrencyIn = None


class DiscountShape(Shape):
    """What was taken off one unit, and why."""

    code: str
    amount: Number
    reason: str


class PriceLineShape(Shape):
    """The price of a line by the CRM's lists, and what the back office says of it.

    error: why there is no price of ours. unit_price: per `unit`. theirs: the back office's own unit price, null where
    it tells none; `source` says why. list_used: null = the product's own list price. steps: how the price came about.
    """

    product_id: int
    quantity: Number
    unit: str | None
    currency: str | None
    unit_price: Number | None
    amount: Number | None
    list_price: Number | None
    list_used: str | None
    discounts: list[DiscountShape]
    steps: list[str]
    error: str | None
    theirs: Number | None
    source: SourceShape | None


class PricesShape(Shape):
    """One answer for each line, in their order; what is wrong with a line is the line's `error`.

    sources: how old the CRM's own prices are.
    """

    account_id: int
    lines: list[PriceLineShape]
    sources: list[SourceShape]


def price_lines_of(question: PriceQuestion) -> list[PriceLine]:
    """The lines as the desk takes them."""
    return [PriceLine(CrmId(line.product_id), Decimal(line.quantity), line.unit) for line in question.lines]


def price_line_shape(answer: PriceLineAnswer) -> PriceLineShape:
    """An answer of the desk."""
    return PriceLineShape(
        product_id=answer.product_id,
        quantity=number(answer.quantity),
        unit=answer.unit,
        currency=answer.currency,
        unit_price=number_or_none(answer.unit_price),
        amount=number_or_none(answer.amount),
        list_price=number_or_none(answer.list_price),
        list_used=answer.list_used,
        discounts=[
            DiscountShape(code=one.code, amount=number(one.amount), reason=one.reason) for one in answer.discounts
        ],
        steps=list(answer.steps),
        error=answer.error,
        theirs=number_or_none(answer.theirs),
        source=None if answer.source is None else source_shape(answer.source),
    )


# -- orders -----------------------------------------------------------------------------------------------------------


class OrderLineIn(Shape):
    """A line of an order that is not placed yet."""

    product_id: IdIn
    quantity: NumberIn
    unit: UnitIn = None
    unit_price: Annotated[NumberIn | None, Field(description="Left out: by the CRM's lists.")] = None
    warehouse_id: IdIn | None = None


class OrderIn(Shape):
    """An order that is not placed yet. reservation_id: what an earlier check of it holds."""

    account_id: IdIn
    lines: Annotated[list[OrderLineIn], Field(min_length=1, max_length=MAX_LINES)]
    currency: CurrencyIn = None
    requested_date: Day | None = None
    reference: Annotated[str | None, Field(min_length=1, max_length=200, description="The customer's own.")] = None
    reservation_id: IdIn | None = None


class OrderToCheck(OrderIn):
    """The same. reserves: hold the credit for it for a while; left out, when the key may place orders."""

    reserves: bool | None = None


class ReasonShape(Shape):
    """One thing that speaks against the order. code: a stable word; line: its number from 0 on."""

    code: str
    outcome: Literal["ok", "warn", "block"]
    text: str
    line: int | None


class CheckedLineShape(Shape):
    """A line with its price and what can be had of it, both as far as they are known."""

    price: PriceLineShape
    stock: StockShape | None


class OrderCheckShape(Shape):
    """Whether the order may be placed: the gravest of the reasons.

    total: without tax, null while a line has no price. reservation_id: what holds the credit for it until
    `reserved_until`.
    """

    verdict: Literal["ok", "warn", "block"]
    reasons: list[ReasonShape]
    currency: str | None
    total: Number | None
    lines: list[CheckedLineShape]
    credit_before: list[CreditShape]
    credit_after: list[CreditShape]
    reservation_id: int | None
    reserved_until: Moment | None


class PlacedShape(Shape):
    """An order that was placed. intents: what goes out (`GET /outbox/{id}`)."""

    order_id: int
    was_placed_before: bool
    intents: list[int]
    check: OrderCheckShape


class OrderLineShape(Shape):
    """A line of an order."""

    code: str
    product_id: int | None
    description: str | None
    quantity: Number
    unit: str | None
    unit_price: Number
    discount_percent: Number | None
    amount: Number | None
    delivered_quantity: Number | None
    invoiced_quantity: Number | None


class PushShape(Shape):
    """How far the order has come on its way to one back office. external_id: its id there, once it is known."""

    connection: str
    state: Literal["queued", "claimed", "sent", "confirmed", "rejected", "outcome_unknown", "cancelled"]
    action: str
    external_id: str | None
    message: str | None
    changed_at: Moment


class OrderShape(Shape):
    """An order as the CRM has it. number: the back office's; null until it is known."""

    id: int
    number: str | None
    reference: str | None
    account_id: int
    status: Literal["draft", "quotation", "confirmed", "processing", "done", "cancelled"]
    order_date: Day | None
    requested_date: Day | None
    currency: str
    untaxed_amount: Number | None
    tax_amount: Number | None
    total_amount: Number | None
    lines: list[OrderLineShape]
    pushes: list[PushShape]
    sources: list[SourceShape]


def draft_of(order: OrderIn) -> OrderDraft:
    """The order as the desk takes it."""
    return OrderDraft(
        CrmId(order.account_id),
        tuple(
            DraftLine(
                CrmId(line.product_id),
                Decimal(line.quantity),
                line.unit,
                None if line.unit_price is None else Decimal(line.unit_price),
                None if line.warehouse_id is None else CrmId(line.warehouse_id),
            )
            for line in order.lines
        ),
        currency=order.currency,
        requested_date=order.requested_date,
        reference=order.reference,
    )


def check_shape(check: OrderCheck) -> OrderCheckShape:
    """A check of the desk."""
    return OrderCheckShape(
        verdict=check.verdict.value,
        reasons=[
            ReasonShape(code=one.code, outcome=one.outcome.value, text=one.text, line=one.line) for one in check.reasons
        ],
        currency=check.currency,
        total=number_or_none(check.total),
        lines=[_checked_line(one) for one in check.lines],
        credit_before=[credit_shape(one) for one in check.credit_before],
        credit_after=[credit_shape(one) for one in check.credit_after],
        reservation_id=check.reservation_id,
        reserved_until=check.reserved_until,
    )


def _checked_line(line: CheckedLine) -> CheckedLineShape:
    return CheckedLineShape(
        price=price_line_shape(line.price), stock=None if line.stock is None else stock_shape(line.stock)
    )


def placed_shape(placed: PlacedOrder) -> PlacedShape:
    """An order that was placed."""
    assert placed.order_id is not None
    return PlacedShape(
        order_id=placed.order_id,
        was_placed_before=placed.was_placed_before,
        intents=list(placed.intents),
        check=check_shape(placed.check),
    )


def order_shape(view: OrderView, sources: list[SourceShape]) -> OrderShape:
    """An order with its pushes."""
    order: Order = view.order
    assert order.id is not None
    return OrderShape(
        id=order.id,
        number=order.number,
        reference=order.reference,
        account_id=order.account_id,
        status=order.status,
        order_date=order.order_date,
        requested_date=order.requested_date,
        currency=order.currency,
        untaxed_amount=number_or_none(order.untaxed_amount),
        tax_amount=number_or_none(order.tax_amount),
        total_amount=number_or_none(order.total_amount),
        lines=[
            OrderLineShape(
                code=line.code,
                product_id=line.product_id,
                description=line.description,
                quantity=number(line.quantity),
                unit=line.unit,
                unit_price=number(line.unit_price),
                discount_percent=number_or_none(line.discount_percent),
                amount=number_or_none(line.amount),
                delivered_quantity=number_or_none(line.delivered_quantity),
                invoiced_quantity=number_or_none(line.invoiced_quantity),
            )
            for line in order.lines
        ],
        pushes=[_push_shape(push) for push in view.pushes],
        sources=sources,
    )


def _push_shape(push: PushState) -> PushShape:
    return PushShape(
        connection=push.connection,
        state=push.state,  # type: ignore[arg-type]
        action=push.action,
        external_id=push.external_id,
        message=push.message,
        changed_at=push.changed_at,
    )


def as_data(shape: Shape) -> Any:
    """A shape as plain data, for a member of a problem."""
    return shape.model_dump(mode="json")
