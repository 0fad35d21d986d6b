"""Whom we sell to: accounts, contacts, credit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crm_core.ids import CrmId, EntityType
from crm_core.model.base import Code, CurrencyCode, Entity, Guarded, Instant, Number, Part, Ref, Text
from crm_core.model.catalogue import Status


class Address(Part):
    """One site of an account."""

    code: Code = Field(description="the back office's key of this address, or its place in the list")
    name: Text | None = None
    street: Text | None = None
    city: Text | None = None
    postal_code: Text | None = None
    region: Text | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = Field(default=None, description="ISO 3166-1 alpha-2")
    is_bill_to: bool = False
    is_ship_to: bool = False
    is_tax: bool = Field(default=False, description="the address that decides taxes")


class Account(Entity):
    """An organisation or a person that we sell to."""

    code: Code
    name: Text
    kind: Literal["organisation", "person"] = "organisation"
    relationship: Literal["prospect", "customer"] = "customer"
    status: Status = "active"
    tax_id: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    website: Text | None = None
    language: Text | None = None
    currency: CurrencyCode | None = None
    payment_terms: Text | None = None
    price_list_id: Annotated[CrmId, Ref(EntityType.PRICE_LIST)] | None = None
    discount_list_id: Annotated[CrmId, Ref(EntityType.DISCOUNT_LIST)] | None = None
    parent_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)] | None = None
    addresses: tuple[Address, ...] = ()


class Contact(Entity):
    """A person at an account."""

    account_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)]
    name: Text
    role: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    mobile: Text | None = None
    status: Status = "active"


class Credit(Entity):
    """What an account owes and may owe, in `currency`, at one moment.

    limit: None = none agreed (unlimited), 0 = no credit. A part that the back office does not tell is None,
    never zero. Exposure is the sum of the parts that it tells: see `crm_core.credit`.
    """

    account_id: Annotated[CrmId, Ref(EntityType.ACCOUNT)]
    currency: CurrencyCode
    limit: Annotated[Number, Guarded()] | None
    open_receivables: Number | None = None
    open_orders: Number | None = Field(default=None, description="ordered, neither delivered nor invoiced")
    undelivered: Number | None = Field(default=None, description="delivered or in delivery, not yet invoiced")
    overdue: Number | None = None
    overdue_1_30: Number | None = None
    overdue_31_60: Number | None = None
    overdue_61_90: Number | None = None
    overdue_over_90: Number | None = None
    is_on_hold: bool = False
    as_of: Instant
