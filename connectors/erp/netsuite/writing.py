"""From a payload to a record of the contract: what customers and orders have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.client import NetSuiteClient
from connectors.erp.netsuite.lookups import Lookups
from connectors.shapes import Shape
from connectors.sinks import Write
from crm_core.errors import ValidationRejected, did_you_mean

Fields = dict[str, Any]

CUSTOM_FIELDS = "customFieldList"
"""In a payload an object: script id -> value, of whatever type the value has."""

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Translation(Protocol):
    """How one kind of record is written and read back."""

    kind: str
    shape: Shape
    names: Mapping[str, str]

    def prepare(self, writes: Sequence[tuple[Write, Row | None]]) -> None:
        """Ask for what all these need, units and addresses; each comes with the record that it changes. Raises what a
        read raises."""

    def created(self, write: Write) -> Any:
        """The record of a CREATE. Raises ValidationRejected."""

    def updated(self, write: Write, known: Row) -> Any:
        """The record of an UPDATE of a known one. Raises ValidationRejected."""

    def cancelled(self, write: Write, known: Row) -> Any | None:
        """The record of a CANCEL; None when it is cancelled already. Raises ValidationRejected."""

    def is_cancelled(self, known: Row) -> bool:
        """Whether nothing is left to cancel."""

    def values(self, known: Row, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What of the payload's fields the record has, in the payload's shape."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every translation needs."""

    client: NetSuiteClient
    lookups: Lookups
    zone: ZoneInfo

    # -- to NetSuite ------------------------------------------------------------------------------------------------

    def record(self, type_name: str, fields: Fields, nulls: list[str], **ids: str | None) -> Any:
        """A record of a type. nulls: fields to be emptied. ids: internalId, externalId."""
        null_fields = {"name": nulls} if nulls else None
        return self.client.make(type_name, nullFieldList=null_fields, **fields, **ids)

    def currency(self, code: str, name: str) -> Fields | None:
        """A reference to a currency; None in an account that has only this one."""
        found = self.lookups.find_currency(code)
        if found is None:
            known = [currency.code for currency in self.lookups.currencies().values()]
            raise refused(name, f"the account has no currency {code!r}{did_you_mean(code, known)}")
        return None if self.client.config.base_currency is not None else {"internalId": found.id}

    def terms(self, text: str, name: str) -> Fields:
        """A reference to payment terms by their name."""
        found = self.lookups.find_term(text)
        if found is None:
            raise refused(name, f"there are no payment terms {text!r}{did_you_mean(text, self.lookups.terms())}")
        return {"internalId": found}

    def moment(self, text: Any, name: str) -> datetime:
        """A day as NetSuite takes it: midnight in the user's time zone."""
        try:
            day = text if isinstance(text, date) else date.fromisoformat(str(text))
        except ValueError:
            raise refused(name, f"{text!r} is no date") from None
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def custom_fields(self, given: Any) -> Fields | None:
        """The custom fields of a record, each as the kind of field that its value fits."""
        if not given:
            return None
        if not isinstance(given, Mapping):
            raise refused(CUSTOM_FIELDS, "is an object: script id -> value")
        made = [self._custom_field(str(key), value) for key, value in given.items() if value is not None]
        return {"customField": made} if made else None

    def _custom_field(self, key: str, value: Any) -> Any:
        kinds: tuple[tuple[type, str], ...] = (
            (bool, "Boolean"),
            (int, "Long"),
            (Decimal, "Double"),
            (str, "String"),
        )
        if isinstance(value, Mapping):
            return self.client.make("core:SelectCustomFieldRef", scriptId=key, value=_reference(key, value))
        if isinstance(value, list):
            values = [_reference(key, one) for one in value]
            return self.client.make("core:MultiSelectCustomFieldRef", scriptId=key, value=values)
        for kind, word in kinds:
            if isinstance(value, kind):
                return self.client.make(f"core:{word}CustomFieldRef", scriptId=key, value=value)
        raise refused(f"{CUSTOM_FIELDS}.{key}", f"{type(value).__name__} has no form in a custom field")

    # -- and back ---------------------------------------------------------------------------------------------------

    def day(self, moment: Any) -> str | None:
        """A day as ISO text; None for none."""
        return moment.astimezone(self.zone).date().isoformat() if isinstance(moment, datetime) else None

    def currency_code(self, reference: Any) -> str | None:
        """ISO code of a reference's currency."""
        found = self.lookups.currency_of(reference)
        return found.code if found is not None else None


def refused(name: str, message: str) -> ValidationRejected:
    """A payload that we do not send. The message begins with the field."""
    return ValidationRejected(f"{name}: {message}", fields=(name,))


def reference_to(value: Any) -> Fields:
    """A reference by an external id of ours."""
    return {"internalId": str(value)}


def check_texts(value: Any, name: str = "") -> None:
    """Raises ValidationRejected for a character that has no form in XML."""
    if isinstance(value, str):
        found = _NOT_IN_XML.search(value)
        if found is not None:
            raise refused(name, f"the character U+{ord(found[0]):04X} has no form in XML")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            check_texts(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            check_texts(inner, name)


def field_names(shape: Shape, labels: Mapping[str, str]) -> dict[str, str]:
    """Our fields by their letters in lower case, and by the labels of NetSuite's forms; the outermost one wins."""
    found: dict[str, str] = {}
    for name, word in _names(shape):
        found.setdefault(word, name)
    return {**found, **labels}


def _names(shape: Shape) -> Iterator[tuple[str, str]]:
    for name in shape:
        yield name, name.lower()
    for name, kind in shape.items():
        if not isinstance(kind, str | Mapping):
            for inner in kind[0]:
                yield f"{name}.{inner}", inner.lower()


def name_of(reference: Any) -> str | None:
    """The name in a reference."""
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return str(name) if name else None


def custom_values(row: Row, wanted: Any) -> dict[str, Any]:
    """The custom fields of a record that a payload names."""
    rows = (row.get(CUSTOM_FIELDS) or {}).get("customField") or ()
    known = {one.get("scriptId"): one.get("value") for one in rows if isinstance(one, Mapping)}
    found: dict[str, Any] = {}
    for key in wanted if isinstance(wanted, Mapping) else ():
        value = known.get(key)
        if isinstance(value, Mapping):
            value = {"internalId": value.get("internalId")}
        elif isinstance(value, list):
            value = [{"internalId": one.get("internalId")} for one in value if isinstance(one, Mapping)]
        found[key] = value
    return found


def _reference(key: str, value: Any) -> Fields:
    internal_id = value.get("internalId") if isinstance(value, Mapping) else None
    if not internal_id:
        raise refused(f"{CUSTOM_FIELDS}.{key}", "a choice is given as an object with its internalId")
    return {"internalId": str(internal_id)}
