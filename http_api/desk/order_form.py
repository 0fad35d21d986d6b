"""The form of an order: what was typed, what it means, and what is wrong with it. Pure, but for looking products up."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import islice, zip_longest

from starlette.datastructures import FormData

from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.catalogue import Product
from http_api.desk.speech import Speech
from http_api.desk.visitors import text_of, texts_of
from sync_jobs.live.answers import CheckedLine, DraftLine, OrderCheck, OrderDraft, PriceLineAnswer, Provenance

MOST_LINES = 200
_LONGEST_ID = 15


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a check says of a line. available: in `unit`; None = not told. provenance: the weakest of its stock."""

    price: PriceLineAnswer
    available: Decimal | None
    unit: str | None
    provenance: str


@dataclass(frozen=True, slots=True)
class LineForm:
    """A line as it was typed. units: those of its product, once it is known."""

    product: str = ""
    quantity: str = ""
    unit: str = ""
    price: str = ""
    is_new: bool = False
    name: str = ""
    units: tuple[str, ...] = ()
    answer: LineAnswer | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing was typed."""
        return not (self.product or self.quantity or self.price)


@dataclass(frozen=True, slots=True)
class OrderForm:
    """An order as it was typed.

    key: the idempotency key, the same as long as the form lives. reservation_id: what the last check of it holds.
    """

    account_id: int
    key: str
    lines: tuple[LineForm, ...] = (LineForm(),)
    requested_date: str = ""
    reference: str = ""
    reservation_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReadForm:
    """What a form means. draft: None while something is wrong; faults: by field, `quantity-0` for the first line's."""

    form: OrderForm
    draft: OrderDraft | None
    faults: dict[str, str] = field(default_factory=dict)


def new_form(account_id: int) -> OrderForm:
    """An empty form with a key of its own."""
    return OrderForm(account_id, secrets.token_urlsafe(16))


def sent_form(account_id: int, fields: FormData) -> OrderForm:
    """The form as it came in."""
    columns = [texts_of(fields, name) for name in ("product", "quantity", "unit", "price")]
    lines = tuple(
        LineForm(product, quantity, unit, price)
        for product, quantity, unit, price in islice(zip_longest(*columns, fillvalue=""), MOST_LINES)
    )
    return OrderForm(
        account_id,
        text_of(fields, "key"),
        lines or (LineForm(),),
        text_of(fields, "requested_date"),
        text_of(fields, "reference"),
        id_of(text_of(fields, "reservation")),
    )


def id_of(text: str) -> int | None:
    """A row's id as a form carries it; None for none, and for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID else None


def with_line(form: OrderForm) -> OrderForm:
    """One more empty line, where the cursor goes."""
    return replace(form, lines=(*form.lines, LineForm(is_new=True))[:MOST_LINES])


def without_line(form: OrderForm, place: int) -> OrderForm:
    """Without this line; the last one stays, emptied."""
    left = tuple(line for at, line in enumerate(form.lines) if at != place)
    return replace(form, lines=left or (LineForm(),))


def read_form(
    form: OrderForm,
    t: Speech,
    find_product: Callable[[str], Product],
    units_of: Callable[[Product], Sequence[str]],
) -> ReadForm:
    """What the form means, or what is wrong with each field. find_product: by code; raises RuleFault."""
    faults: dict[str, str] = {}
    lines, drafted = list[LineForm](), list[DraftLine]()
    for place, line in enumerate(form.lines):
        if line.is_empty and len(form.lines) > 1:
            lines.append(line)
            continue
        try:
            product = find_product(line.product)
        except RuleFault as fault:
            faults[f"product-{place}"] = str(fault)
            lines.append(line)
            continue
        units = tuple(units_of(product))
        lines.append(replace(line, name=product.name, units=units, unit=line.unit or next(iter(units), "")))
        quantity = _number(line.quantity, f"quantity-{place}", t, faults)
        price = _number(line.price, f"price-{place}", t, faults) if line.price else None
        if quantity is not None and product.id is not None:
            drafted.append(DraftLine(product.id, quantity, lines[-1].unit or None, price))
    wanted = None
    if form.requested_date:
        try:
            wanted = date.fromisoformat(form.requested_date)
        except ValueError:
            faults["requested_date"] = f"{form.requested_date!r} is no date; write it as 2026-11-30"
    if not drafted and not faults:
        faults["product-0"] = "an order has at least one line"
    made = replace(form, lines=tuple(lines))
    if faults:
        return ReadForm(made, None, faults)
    draft = OrderDraft(CrmId(form.account_id), tuple(drafted), requested_date=wanted, reference=form.reference or None)
    return ReadForm(made, draft)


def with_answers(form: OrderForm, check: OrderCheck) -> OrderForm:
    """The form with what the check says of each line that was sent, and what it holds."""
    answers = iter(check.lines)
    lines = tuple(line if line.is_empty else _answered(line, next(answers, None)) for line in form.lines)
    return replace(form, lines=lines, reservation_id=check.reservation_id)


def _answered(line: LineForm, checked: CheckedLine | None) -> LineForm:
    if checked is None:
        return line
    stock = checked.stock
    if stock is None:
        return replace(line, answer=LineAnswer(checked.price, None, None, Provenance.UNKNOWN.value))
    told = {source.provenance for source in stock.sources}
    weakest = next(
        (one for one in (Provenance.UNKNOWN, Provenance.CACHED, Provenance.LIVE) if one in told), Provenance.UNKNOWN
    )
    return replace(line, answer=LineAnswer(checked.price, stock.total.available, stock.unit, weakest.value))


def _number(text: str, name: str, t: Speech, faults: dict[str, str]) -> Decimal | None:
    if not text:
        faults[name] = "a number is missing"
        return None
    try:
        return t.read_number(text)
    except RuleFault as fault:
        faults[name] = str(fault)
        return None
