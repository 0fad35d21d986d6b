"""Accounts and orders that somebody enters: their words become ours, and what follows is queued with them.

Whatever is wrong is told with its field as it was written, all faults at once, and nothing is saved then. What is known
already, by its number or code, is changed: fields that are not named stay as they are.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from crm_core.errors import ConfigurationFault, EntityRefused, RowTaken, did_you_mean
from crm_core.ids import ENTERED_AS, CrmId, EntityType
from crm_core.model.base import Entity
from crm_core.model.sales import Order
from crm_core.model.schema import MODELS, FieldSpec, Kind, PartSpec, schema_of
from crm_core.orders import Fault, faults_of_amounts
from crm_core.store.repository import find_entity, ids_by_code, ids_by_name, known_names
from sync_jobs.bootstrap import Hub
from sync_jobs.changes import Saved, save
from sync_jobs.entry_text import plain_data

if TYPE_CHECKING:
    from sqlalchemy import Engine

_KEYS: Mapping[EntityType, str] = {EntityType.ACCOUNT: "code", EntityType.ORDER: "number"}
"""What can be entered, and by which field it is known again."""

_BY_CODE_ONLY = (EntityType.PRODUCT,)
_AMOUNTS = ("untaxed_amount", "tax_amount", "total_amount")
_PRICED_BY = ("product_id", "quantity", "unit", "unit_price", "discount_percent")
_SITED_AT = ("street", "city", "postal_code", "country")
_BEYOND_CONFIRMED = ("processing", "done")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def enter(hub: Hub, kind: EntityType, data: Mapping[str, Any]) -> Saved:
    """Save an account or an order, a new or a known one, and queue what goes out, in one transaction.

    data: as `read_entry` gives it. Raises EntityRefused that names the fields as they were written, StoreFault, and
    ConfigurationFault for a kind that cannot be entered.
    """
    if kind not in _KEYS:
        raise ConfigurationFault(f"a {kind.value} cannot be entered here: {' or '.join(_KEYS)} can")
    for is_last in (False, True):
        entity = _Entry(hub.database.engine, kind).read(data)
        try:
            return save(hub, entity)
        except EntityRefused as refusal:
            raise EntityRefused([(_as_written(name), text) for name, text in refusal.faults]) from None
        except RowTaken:  # somebody has just entered the same: now it is known
            if is_last:
                raise
    raise AssertionError("unreachable")


def _as_written(name: str) -> str:
    """`lines[2].product_id` is `lines[2].product` to people."""
    return re.sub(r"_id\b", "", name)


class _Unfit(Exception):
    """What a value should be instead."""


@dataclass(slots=True)
class _Entry:
    """One document on its way to an entity."""

    engine: Engine
    kind: EntityType
    faults: list[Fault] = field(default_factory=list)
    _known: dict[tuple[EntityType, str], list[CrmId]] = field(default_factory=dict)

    def read(self, data: Mapping[str, Any]) -> Entity:
        """The entity that is to be saved. Raises EntityRefused with every fault."""
        spec = schema_of(self.kind)
        self._look_up(data, spec)
        old = self._find(data)
        given = self._fields({name: value for name, value in data.items() if name != "id"}, spec, "")
        values = self._merged(given, old, spec, is_by_id="id" in data)
        self._check_needed(values, spec, "")
        if self.faults:
            raise EntityRefused(self.faults)
        try:
            entity = MODELS[self.kind].model_validate(values)
        except ValidationError as error:
            raise EntityRefused(list(_faults_of(error))) from None
        if isinstance(entity, Order) and old is not None and _names_amounts(given):
            faults = faults_of_amounts(entity)
            if faults:
                raise EntityRefused(faults)
        return entity

    # -- which one it is ----------------------------------------------------------------------------------------------

    def _find(self, data: Mapping[str, Any]) -> Entity | None:
        """The entity that the document is about, when the CRM has it already."""
        key = _KEYS[self.kind]
        crm_id: CrmId | None = None
        if "id" in data:
            crm_id = _crm_id(data["id"])
            if crm_id is None:
                self.faults.append(("id", f"{data['id']!r} is no CRM id, e.g. 12"))
        elif not isinstance(data.get(key), str) or not data[key]:
            self.faults.append((key, f"is needed: by it the {self.kind.value} is known when it is entered again"))
        else:
            found = ids_by_code(self.engine, self.kind, [str(data[key])]).get(str(data[key]), [])
            if len(found) > 1:
                self.faults.append((key, _several(str(data[key]), found) + ", with `id`"))
            crm_id = found[0] if len(found) == 1 else None
        if crm_id is None:
            return None
        old = find_entity(self.engine, self.kind, crm_id)
        if old is None:
            self.faults.append(("id", f"there is no {self.kind.value} {crm_id}"))
        return old

    def _merged(self, given: dict[str, Any], old: Entity | None, spec: PartSpec, *, is_by_id: bool) -> dict[str, Any]:
        """What the entity is to be. A back office gives numbers of its own, so ours is kept beside that."""
        key = _KEYS[self.kind]
        custom = given.pop("custom", {})
        if ENTERED_AS in custom:
            self.faults.append((f"custom.{ENTERED_AS}", f"is kept by Counterfoil itself: it is the {key}"))
        called = given.get(key)
        if self.kind is EntityType.ORDER or (old is not None and not is_by_id):
            given.pop(key, None)
        before: dict[str, Any] = old.model_dump() if old is not None else {}
        if called is not None and (old is None or (is_by_id and self.kind is EntityType.ORDER)):
            custom = {**custom, ENTERED_AS: called}
        given["custom"] = {**before.get("custom", {}), **custom}
        if given.get("status") == "confirmed" and before.get("status") in _BEYOND_CONFIRMED:
            given["status"] = before["status"]  # what the back office has made of it since is no fault of the document
        for name in spec.fields:
            if spec.fields[name].parts is not None and name in given:
                given[name] = _merged_parts(before.get(name, ()), given[name])
        lines = given.get("lines")
        if lines is not None and lines != list(before.get("lines", ())):
            before |= dict.fromkeys(_AMOUNTS)  # those of the lines as they were; the back office computes them anew
        return {**before, **given}

    # -- its values ---------------------------------------------------------------------------------------------------

    def _fields(self, data: Mapping[str, Any], spec: PartSpec, prefix: str) -> dict[str, Any]:
        """Our field -> value, of what the document names."""
        names = {_as_written(name): name for name in spec.fields}
        made: dict[str, Any] = {}
        for written, value in data.items():
            place = f"{prefix}{written}"
            if written not in names:
                self.faults.append((place, f"there is no such field{did_you_mean(written, names)}"))
                continue
            try:
                made[names[written]] = self._value(spec.fields[names[written]], value, place)
            except _Unfit as error:
                self.faults.append((place, str(error)))
        return made

    def _value(self, spec: FieldSpec, value: Any, place: str) -> Any:
        """A value as the model takes it. Raises _Unfit that says what it should be."""
        if value is None:
            if not spec.is_nullable:
                raise _Unfit("cannot be empty; leave it out to keep what is there")
            return None
        match spec.kind:
            case Kind.PARTS:
                return self._parts(spec, value, place)
            case Kind.REFERENCE:
                assert spec.references is not None
                return self._reference(spec.references, value)
            case Kind.DOCUMENT:
                if not isinstance(value, Mapping):
                    raise _Unfit("must be an object")
                return plain_data(value)
        return _scalar(spec, value)

    def _parts(self, spec: FieldSpec, value: Any, place: str) -> list[dict[str, Any]]:
        assert spec.parts is not None
        if not isinstance(value, list):
            raise _Unfit("must be a list")
        made = []
        for number, item in enumerate(value):
            if isinstance(item, Mapping):
                made.append(self._fields(item, spec.parts, f"{place}[{number}]."))
            else:
                self.faults.append((f"{place}[{number}]", "must be an object"))
        return made

    def _check_needed(self, values: Mapping[str, Any], spec: PartSpec, prefix: str) -> None:
        told = {name for name, _ in self.faults}
        for name, one in spec.fields.items():
            place = f"{prefix}{_as_written(name)}"
            if one.parts is not None:
                for number, item in enumerate(values.get(name) or ()):
                    self._check_needed(item, one.parts, f"{place}[{number}].")
            elif one.is_required and values.get(name) is None and place not in told:
                choices = f": one of {', '.join(one.choices)}" if one.choices else ""
                self.faults.append((place, f"is needed{choices}"))

    # -- references ---------------------------------------------------------------------------------------------------

    def _look_up(self, data: Mapping[str, Any], spec: PartSpec) -> None:
        """All that the document refers to, in one query a kind, whatever the number of lines."""
        wanted: dict[EntityType, set[str]] = {}
        for entity, text in _references(data, spec):
            wanted.setdefault(entity, set()).add(text)
        for entity, texts in wanted.items():
            found = ids_by_code(self.engine, entity, texts)
            left = texts - found.keys()
            if left and entity not in _BY_CODE_ONLY:
                found |= ids_by_name(self.engine, entity, left)
            self._known |= {(entity, text): ids for text, ids in found.items()}

    def _reference(self, entity: EntityType, value: Any) -> CrmId:
        if not isinstance(value, str):
            raise _Unfit(f"must be the code of a {entity.value}, or its CRM id as #12")
        if value.startswith("#") and value[1:].isdigit():
            return CrmId(int(value[1:]))
        found = self._known.get((entity, value), [])
        if not found:
            near = did_you_mean(value, known_names(self.engine, entity))
            raise _Unfit(f"there is no {entity.value.replace('_', ' ')} {str(value)!r}{near}")
        if len(found) > 1:
            raise _Unfit(_several(value, found))
        return found[0]


def _references(data: Mapping[str, Any], spec: PartSpec) -> Iterator[tuple[EntityType, str]]:
    for name, one in spec.fields.items():
        value = data.get(_as_written(name))
        if one.references is not None and isinstance(value, str):
            yield one.references, str(value)
        elif one.parts is not None and isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _references(item, one.parts)


def _several(text: str, ids: Sequence[CrmId]) -> str:
    return f"{text!r} is {' and '.join(f'#{crm_id}' for crm_id in ids)}: say which"


def _crm_id(value: Any) -> CrmId | None:
    text = str(value).removeprefix("#") if isinstance(value, str) else ""
    return CrmId(int(text)) if text.isdigit() and len(text) < 19 else None


# -- scalars ----------------------------------------------------------------------------------------------------------


def _scalar(spec: FieldSpec, value: Any) -> Any:
    match spec.kind:
        case Kind.TEXT:
            return _text(spec, value)
        case Kind.NUMBER | Kind.INTEGER:
            return _number(spec, value)
        case Kind.BOOLEAN:
            if not isinstance(value, bool):
                raise _Unfit("must be true or false")
        case Kind.DATE:
            if not isinstance(value, str) or not _DATE.fullmatch(value):
                raise _Unfit("must be a date, e.g. 2026-12-31")
            try:
                return date.fromisoformat(value)
            except ValueError as error:
                raise _Unfit(f"{str(value)!r} is no day: {error}") from None
    return value


def _text(spec: FieldSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit("must be text")
    if spec.choices and value not in spec.choices:
        raise _Unfit(f"{str(value)!r} is none of {', '.join(spec.choices)}{did_you_mean(value, spec.choices)}")
    if spec.pattern is not None and not re.search(spec.pattern, value):
        shown = {r"^[A-Z]{3}$": "a currency of three capitals, e.g. EUR", r"^[A-Z]{2}$": "a country, e.g. DE"}
        raise _Unfit(f"{str(value)!r} is not {shown.get(spec.pattern, spec.pattern)}")
    return str(value)


def _number(spec: FieldSpec, value: Any) -> Decimal | int:
    """Quoted or not; a boolean is none, nor is 1,5."""
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or (isinstance(value, str) and value.strip() != value):
        shown = f"{str(value)!r} is no number" if isinstance(value, str) else "must be a number"
        raise _Unfit(f"{shown}, e.g. 12.5")
    if spec.kind is Kind.INTEGER:
        if number != number.to_integral_value():
            raise _Unfit(f"{str(value)!r} is no whole number")
        return int(number)
    return number


# -- parts ------------------------------------------------------------------------------------------------------------


def _merged_parts(old: Sequence[Mapping[str, Any]], given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines or addresses as they are to be: those that are not given any more are gone.

    One with a code is that of this code; one without is the next that is for the same product, or at the same place.
    So what the back office has added to it (its code, what was delivered) stays.
    """
    named = {item["code"] for item in given if "code" in item}
    by_code = {item["code"]: item for item in old}
    alike: dict[tuple[Any, ...], deque[Mapping[str, Any]]] = {}
    for item in old:
        if item["code"] not in named:
            alike.setdefault(_thing(item), deque()).append(item)
    codes = by_code.keys() | named
    fresh = (text for number in itertools.count(1) if (text := str(number)) not in codes)
    made = []
    for item in given:
        same = alike.get(_thing(item))
        before = by_code.get(item["code"]) if "code" in item else same.popleft() if same else None
        kept = dict(before) if before is not None else {} if "code" in item else {"code": next(fresh)}
        if any(name in item and item[name] != kept.get(name) for name in _PRICED_BY):
            kept.pop("amount", None)
        made.append({**kept, **item})
    return made


def _thing(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a line is for, or where an address is."""
    return tuple(item.get(name) for name in ("product_id", *_SITED_AT))


def _names_amounts(given: Mapping[str, Any]) -> bool:
    lines = given.get("lines") or ()
    return any(given.get(name) is not None for name in _AMOUNTS) or any(line.get("amount") for line in lines)


def _faults_of(error: ValidationError) -> Iterator[Fault]:
    """What the model says beyond what was looked at before: lengths, digits."""
    for one in error.errors():
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in one["loc"]).lstrip(".")
        yield _as_written(steps), one["msg"].removeprefix("Value error, ")
