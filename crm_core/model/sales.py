"""What was sold: orders, invoices, payments."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from crm_core.ids import CrmId, EntityType
from crm_core.model.base import Code, CurrencyCode, Entity, Number, Part, Ref, Text


class OrderLine(Part):
    """One line of an order."""

    code: Code = Field(description="the back office's key of this line, or its number")
    product_id: Annotated[CrmId, Ref(EntityType.PRODUCT)] | None = None
    description: Text | None = None
    quantity: Number
    unit: Code | None = None
    unit_price: Number
    discount_percent: Number | None = None
    amount: Number | None = Field(default=None, description="without tax")
    delivered_quantity: Number | None = None
    invoiced_quantity: Number | None = None


class Order(Entity):
    """A sales order (or a quotation, by status)."""

    number: Text | None = Field(default=None, description="the back office's number; None while it is a draft there")
    reference: Text | None = Field(default=None, description="the customer's or our reference on it")
    account_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)]
    status: Literal["draft", "quotation", "confirmed", "processing", "done", "cancelled"]
    order_date: date | None = None
    requested_date: date | None = None
    currency: CurrencyCode
    warehouse_id: Annotated[CrmId, Ref(EntityType.WAREHOUSE)] | None = None
    payment_terms: Text | None = None
    bill_to: Text | None = Field(default=None, description="code of the account's address; None = the account's own")
    ship_to: Text | None = Field(default=None, description="code of the account's address; None = the account's own")
    untaxed_amount: Number | None = None
    tax_amount: Number | None = None
    total_amount: Number | None = None
    lines: tuple[OrderLine, ...] = ()


class InvoiceLine(Part):
    """One line of an invoice."""

    code: Code
    product_id: Annotated[CrmId, Ref(EntityType.PRODUCT)] | None = None
    description: Text | None = None
    quantity: Number | None = None
    unit: Code | None = None
    unit_price: Number | None = None
    amount: Number | None = Field(default=None, description="without tax")


class Invoice(Entity):
    """An invoice or a credit note that we sent."""

    number: Text | None = None
    reference: Text | None = None
    account_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)]
    order_id: Annotated[CrmId, Ref(EntityType.ORDER)] | None = Field(
        default=None, description="the order that it bills, where it bills one that is here"
    )
    kind: Literal["invoice", "credit_note"] = Field(
        default="invoice", description="the quantities and amounts of a credit note are negative: a sum is what is owed"
    )
    status: Literal["draft", "posted", "paid", "cancelled"]
    invoice_date: date | None = None
    due_date: date | None = None
    currency: CurrencyCode
    untaxed_amount: Number | None = None
    tax_amount: Number | None = None
    total_amount: Number | None = None
    open_amount: Number | None = Field(default=None, description="what is still to be paid")
    lines: tuple[InvoiceLine, ...] = ()


class Payment(Entity):
    """Money that came in (positive) or went back (negative)."""

    account_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)]
    invoice_id: Annotated[CrmId, Ref(EntityType.INVOICE)] | None = None
    reference: Text | None = None
    paid_on: date
    currency: CurrencyCode
    amount: Number
