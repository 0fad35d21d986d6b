"""The entities as data: which fields there are, of which kind. Read from the models, so that nothing drifts.

The store makes columns of it, the mapping compiler checks documents against it and picks converters by it.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AwareDatetime, StringConstraints
from pydantic.fields import FieldInfo

from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.model.account import Account, Contact, Credit
from crm_core.model.base import Entity, Guarded, Part, Ref
from crm_core.model.catalogue import DiscountList, Price, PriceList, Product, UnitGroup
from crm_core.model.sales import Invoice, Order, Payment
from crm_core.model.stock import StockLevel, Warehouse

MODELS: Mapping[EntityType, type[Entity]] = {
    EntityType.UNIT_GROUP: UnitGroup,
    EntityType.PRODUCT: Product,
    EntityType.PRICE_LIST: PriceList,
    EntityType.DISCOUNT_LIST: DiscountList,
    EntityType.PRICE: Price,
    EntityType.WAREHOUSE: Warehouse,
    EntityType.STOCK_LEVEL: StockLevel,
    EntityType.ACCOUNT: Account,
    EntityType.CONTACT: Contact,
    EntityType.CREDIT: Credit,
    EntityType.ORDER: Order,
    EntityType.INVOICE: Invoice,
    EntityType.PAYMENT: Payment,
}


class Kind(StrEnum):
    """What a field can hold."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    DOCUMENT = "document"
    REFERENCE = "reference"
    PARTS = "parts"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field: its kind and what its model says about it."""

    name: str
    kind: Kind
    is_required: bool
    is_nullable: bool
    default: Any = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    references: EntityType | None = None
    is_guarded: bool = False
    parts: PartSpec | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """The fields of an entity or of a part, by name, in the order of the model."""

    name: str
    model: type[Part]
    fields: Mapping[str, FieldSpec]

    def get_field(self, name: str) -> FieldSpec:
        """Raises ConfigurationFault that names the nearest field."""
        if name not in self.fields:
            raise ConfigurationFault(f"{self.name} has no field {name!r}{did_you_mean(name, self.fields)}")
        return self.fields[name]


_SCALARS: Mapping[type, Kind] = {
    str: Kind.TEXT,
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    Decimal: Kind.NUMBER,
    AwareDatetime: Kind.INSTANT,
    datetime: Kind.INSTANT,
    date: Kind.DATE,
    dict: Kind.DOCUMENT,
}


@cache
def schema_of(entity: EntityType) -> PartSpec:
    """The fields of one entity, without its id."""
    return _spec(entity.value, MODELS[entity])


def _spec(name: str, model: type[Part]) -> PartSpec:
    fields = {key: _field(key, info) for key, info in model.model_fields.items() if key != "id"}
    return PartSpec(name, model, fields)


def _field(name: str, info: FieldInfo) -> FieldSpec:
    metadata: list[Any] = []
    annotation, is_nullable = _strip(info.annotation, metadata)
    metadata.extend(info.metadata)
    found: dict[str, Any] = {}
    for item in _flattened(metadata):
        match item:
            case Ref(entity):
                found["references"] = entity
            case Guarded():
                found["is_guarded"] = True
            case StringConstraints():
                found["pattern"] = str(item.pattern) if item.pattern else None
                found["min_length"], found["max_length"] = item.min_length, item.max_length
            case annotated_types.Gt(bound):
                found["minimum"] = int(bound) + 1  # type: ignore[call-overload]
            case annotated_types.Ge(bound):
                found["minimum"] = int(bound)  # type: ignore[call-overload]
            case annotated_types.Le(bound):
                found["maximum"] = int(bound)  # type: ignore[call-overload]
            case _ if getattr(item, "pattern", None):
                found["pattern"] = item.pattern
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        found["choices"] = get_args(annotation)
        kind = Kind.TEXT
    elif origin is tuple:
        kind = Kind.PARTS
        model = get_args(annotation)[0]
        found["parts"] = _spec(name, model)
    elif "references" in found:
        kind = Kind.REFERENCE
    else:
        kind = next(k for t, k in _SCALARS.items() if isinstance(origin, type) and issubclass(origin, t))
    default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    if kind is Kind.NUMBER and default is not None:
        default = Decimal(default)
    return FieldSpec(name, kind, info.is_required(), is_nullable, default, description=info.description or "", **found)


def _strip(annotation: Any, metadata: list[Any]) -> tuple[Any, bool]:
    """The bare type behind Annotated, NewType and `| None`; what Annotated carried goes to `metadata`."""
    is_nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *extra = get_args(annotation)
            metadata.extend(extra)
        elif origin in (Union, types.UnionType):
            options = [option for option in get_args(annotation) if option is not type(None)]
            is_nullable = is_nullable or len(options) < len(get_args(annotation))
            (annotation,) = options
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation, is_nullable


def _flattened(metadata: list[Any]) -> list[Any]:
    out: list[Any] = []
    for item in metadata:
        out.extend(_flattened(list(item.metadata)) if isinstance(item, FieldInfo) else [item])
    return out
