"""What records refer to by an internal id and a CRM knows by a word: units, currencies, terms.

Each table is asked for once for a connection, and once more when an id or a word is not in it: it may be new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.client import NetSuiteClient
from connectors.erp.netsuite.windows import all_rows
from crm_core.errors import ConfigurationFault, ProtocolViolation

BASE_CURRENCY_ID = "base"
"""Stands for the id of the currency in an account that has only one."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure. group: internal id of its units type."""

    id: str
    code: str
    group: str
    is_base: bool


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency by NetSuite's id and by its ISO code."""

    id: str
    code: str
    name: str
    is_base: bool
    is_inactive: bool = False


@dataclass(slots=True)
class Lookups:
    """The tables of one connection, filled when first asked for."""

    client: NetSuiteClient
    _units: dict[str, Unit] | None = None
    _currencies: dict[str, Currency] | None = None
    _terms: dict[str, str] | None = None
    _reloaded: set[str] = field(default_factory=set)

    # -- units ------------------------------------------------------------------------------------------------------

    def unit_code(self, reference: Any) -> str | None:
        """The name of the unit that a reference means; None for none, and for one that nobody knows."""
        key = id_of(reference)
        if key is None:
            return None
        unit = self.units().get(key)
        if unit is None and self._may_reload("units"):
            self._units = None
            unit = self.units().get(key)
        return unit.code if unit is not None else None

    def base_unit_code(self, units_type: Any) -> str | None:
        """The name of the base unit of a units type."""
        key = id_of(units_type)
        return next((unit.code for unit in self.units().values() if unit.group == key and unit.is_base), None)

    def find_unit(self, units_type: str | None, code: str) -> Unit | None:
        """The unit of that name in a units type."""
        found = self._unit_named(units_type, code)
        if found is None and self._may_reload("units"):
            self._units = None
            found = self._unit_named(units_type, code)
        return found

    def unit_codes(self, units_type: str | None) -> list[str]:
        """The names of the units of a units type."""
        return [unit.code for unit in self.units().values() if unit.group == units_type]

    def units(self) -> Mapping[str, Unit]:
        """All units by their internal id."""
        if self._units is None:
            rows = all_rows(self.client, "common:UnitsTypeSearchBasic") if self.client.config.has_units else []
            self._units = {unit.id: unit for row in rows for unit in _units_of(row)}
        return self._units

    def _unit_named(self, units_type: str | None, code: str) -> Unit | None:
        return next((u for u in self.units().values() if u.group == units_type and u.code == code), None)

    # -- currencies -------------------------------------------------------------------------------------------------

    def currencies(self) -> Mapping[str, Currency]:
        """All currencies by their internal id. Raises ConfigurationFault when none is the base currency."""
        if self._currencies is None:
            base = self.client.config.base_currency
            if base is not None:
                found = [Currency(BASE_CURRENCY_ID, base, base, is_base=True)]
            else:
                found = [_currency_of(row) for row in self.client.currencies()]
                if not any(currency.is_base for currency in found):
                    raise ConfigurationFault("the account names no base currency; set `base_currency`")
            self._currencies = {currency.id: currency for currency in found}
        return self._currencies

    def currency_of(self, reference: Any) -> Currency | None:
        """The currency that a reference means; none means the base currency. None for one that nobody knows."""
        key = id_of(reference)
        if key is None or self.client.config.base_currency is not None:
            return self.base_currency
        currency = self.currencies().get(key)
        if currency is None and self._may_reload("currencies"):
            self._currencies = None
            currency = self.currencies().get(key)
        return currency

    @property
    def base_currency(self) -> Currency:
        """The currency of the ledger."""
        return next(currency for currency in self.currencies().values() if currency.is_base)

    def find_currency(self, code: str) -> Currency | None:
        """The currency of an ISO code."""
        return next((one for one in self.currencies().values() if one.code == code and not one.is_inactive), None)

    # -- terms ------------------------------------------------------------------------------------------------------

    def find_term(self, name: str) -> str | None:
        """The internal id of payment terms by their name."""
        if name not in self.terms() and self._may_reload("terms"):
            self._terms = None
        return self.terms().get(name)

    def terms(self) -> Mapping[str, str]:
        """The internal ids of all payment terms by their names."""
        if self._terms is None:
            rows = all_rows(self.client, "common:TermSearchBasic")
            self._terms = {str(row["name"]): str(row["internalId"]) for row in rows if not row.get("isInactive")}
        return self._terms

    def _may_reload(self, table: str) -> bool:
        if table in self._reloaded:
            return False
        self._reloaded.add(table)
        return True


def id_of(reference: Any) -> str | None:
    """The internal id of a reference."""
    key = reference.get("internalId") if isinstance(reference, Mapping) else None
    return str(key) if key else None


def conversion_of(rate: Any) -> tuple[int, int] | None:
    """A conversion rate as an exact fraction; None when there is none or it is not above zero."""
    if not isinstance(rate, Decimal) or rate <= 0:
        return None
    return rate.as_integer_ratio()


def _units_of(row: Row) -> list[Unit]:
    group = str(row.get("internalId"))
    rows = (row.get("uomList") or {}).get("uom") or ()
    return [
        Unit(str(unit["internalId"]), str(unit["unitName"]), group, bool(unit.get("baseUnit")))
        for unit in rows
        if unit.get("internalId") and unit.get("unitName")
    ]


def _currency_of(row: Row) -> Currency:
    key, code = row.get("internalId"), row.get("symbol")
    if not key or not code:
        raise ProtocolViolation("a currency without id or symbol", operation="getAll")
    return Currency(
        str(key), str(code), str(row.get("name") or code), bool(row.get("isBaseCurrency")), bool(row.get("isInactive"))
    )
