"""What every entity shares, and the field kinds that mapping, store and documents read from it.

A field of an entity is one of few kinds; `schema.py` reads the kind from the annotation, the store makes a column
of it, and the mapping compiler makes a converter of it. So a new field is added in one place: the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from crm_core.clock import ensure_aware
from crm_core.ids import CrmId, EntityType


@dataclass(frozen=True, slots=True)
class Ref:
    """Marks a field that holds the CRM id of another entity."""

    entity: EntityType


@dataclass(frozen=True, slots=True)
class Guarded:
    """Marks an amount whose sudden swing over many records the mass-change guard looks at."""


_DIGITS = 64
"""On either side of the point; more is no amount of anything, and 1E+999999 would fill a disk."""


def _no_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("a float is not exact; give a Decimal")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _finite(value: Decimal) -> Decimal:
    if value.is_finite() and len(text := str(value)) <= _DIGITS and "E" not in text:
        return value  # quicker than looking at its digits
    if not value.is_finite():
        raise ValueError("not a finite number")
    exponent = value.as_tuple().exponent
    if value.adjusted() >= _DIGITS or (isinstance(exponent, int) and exponent < -_DIGITS):
        raise ValueError(f"more than {_DIGITS} digits before or behind the point")
    return value


Text = Annotated[str, StringConstraints(max_length=10_000)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=200)]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Number = Annotated[Decimal, BeforeValidator(_no_float), AfterValidator(_finite)]
"""An exact decimal: a quantity, an amount of money in the currency beside it, a percentage."""
Instant = Annotated[AwareDatetime, AfterValidator(ensure_aware)]
Document = dict[str, Any]
"""A small JSON object: names by language, custom fields."""


class Part(BaseModel):
    """A value that lives inside one entity and has no identity of its own (an address, a line)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # a pull needs few validators


class Entity(Part):
    """A business object of the CRM. `id` is None until the store has given it one."""

    id: CrmId | None = None
    custom: Document = Field(default_factory=dict, description="the integrator's own fields, by name")
