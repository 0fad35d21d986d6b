"""Identities. Each kind of id has its type, so that mypy sees a swap."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

ConnectionName = NewType("ConnectionName", str)
"""The name of a connection in counterfoil.toml."""

CrmId = NewType("CrmId", int)
"""Our own key of an entity: a positive integer, unique per entity."""

ExternalId = NewType("ExternalId", str)
"""The back office's own key of a record (NetSuite `internalId`, Tryton `id`, Business Central `id`)."""

ClientReference = NewType("ClientReference", str)
"""Our key as stored on their side (NetSuite `externalId`, Business Central `externalDocumentNumber`)."""


IdempotencyKey = NewType("IdempotencyKey", str)
"""One content of one write: the same for every try, whoever makes it (`crm_core.keys`)."""


ENTERED_AS = "entered_as"
"""The name, in `custom` of an order or account, of the number or code that it was entered under. A back office gives it
a number of its own later, and people go on calling it by theirs.
"""


class EntityType(StrEnum):
    """The business objects of the CRM, in the order in which a first pull needs them."""

    UNIT_GROUP = "unit_group"
    PRODUCT = "product"
    PRICE_LIST = "price_list"
    DISCOUNT_LIST = "discount_list"
    PRICE = "price"
    WAREHOUSE = "warehouse"
    STOCK_LEVEL = "stock_level"
    ACCOUNT = "account"
    CONTACT = "contact"
    CREDIT = "credit"
    ORDER = "order"
    INVOICE = "invoice"
    PAYMENT = "payment"
