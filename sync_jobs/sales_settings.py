"""`[sales]` in counterfoil.toml: what an uncertain answer means for an order, and who tells what about credit.

[sales]
unknown = "block"             # what is not known: block, warn or allow
max_age_seconds = 900         # a kept reading that an order may lean on when the back office does not answer
deadline_seconds = 3          # nobody waits longer for a back office
reservation_minutes = 15
stock = "warn"                # more ordered than can be had
overdue = "warn"
overdue_tolerance = 0         # in the credit's currency
tax_percent = 0               # what taxes add to an order at most: a limit is one of amounts with tax
rates = "rates.toml"          # "USD-EUR" = "0.92": without a rate, two currencies are never set off

[sales.credit]                # where an account is known in several back offices
limit = "erp"                 # this connection tells limit and hold
balance = "books"             # this one what is owed and overdue
orders = "erp"                # this one what is ordered and not invoiced
counted = ["erp"]             # these tell no open orders: those that were pulled from them are counted
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from crm_core.credit import ExchangeRate, Policy
from crm_core.errors import ConfigurationFault, RuleFault, did_you_mean
from crm_core.ids import ConnectionName
from crm_core.money import Money

CREDIT_ROLES = ("limit", "balance", "orders")


@dataclass(frozen=True, slots=True)
class CreditJoin:
    """Which connection tells what; None = whichever knows the account, as long as it is only one.

    counted: connections whose open orders are counted from the orders that were pulled from them.
    """

    limit: ConnectionName | None = None
    balance: ConnectionName | None = None
    orders: ConnectionName | None = None
    counted: frozenset[ConnectionName] = frozenset()


@dataclass(frozen=True, slots=True)
class SalesSettings:
    """The policies of sales; every one has a default."""

    unknown: Policy = Policy.BLOCK
    stock: Policy = Policy.WARN
    overdue: Policy = Policy.WARN
    overdue_tolerance: Decimal = Decimal(0)
    tax_percent: Decimal = Decimal(0)
    max_age_seconds: float = 900
    deadline_seconds: float = 3
    reservation_minutes: float = 15
    breaker_failures: int = 5
    breaker_seconds: float = 10
    stock_from: ConnectionName | None = None
    join: CreditJoin = CreditJoin()
    rates: Mapping[tuple[str, str], ExchangeRate] = field(default_factory=dict)

    def with_tax(self, amount: Decimal, currency: str) -> Decimal:
        """An amount of an order whose taxes nobody has told, as the credit has to bear it; in minor units."""
        return Money(amount * (100 + self.tax_percent) / 100, currency).rounded().amount

    def rate(self, source: str, target: str) -> ExchangeRate | None:
        """From one currency to another; None when the file does not have it."""
        return self.rates.get((source, target))


_NUMBERS = {
    "max_age_seconds": (0, 86_400 * 366),
    "deadline_seconds": (0.05, 300),
    "reservation_minutes": (0.1, 60 * 24 * 7),
    "breaker_seconds": (0.05, 3600),
}
_POLICIES = ("unknown", "stock", "overdue")
_AMOUNTS = ("overdue_tolerance", "tax_percent")
_KEYS = (*_POLICIES, *_NUMBERS, *_AMOUNTS, "breaker_failures", "stock_from", "rates", "credit")


def sales_settings(table: Any, connections: Collection[str], file: Path) -> SalesSettings:
    """Read and check the table. Raises ConfigurationFault that names the key and the nearest choice."""
    place = f"{file.name} [sales]"
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    _only(table, _KEYS, place)
    made: dict[str, Any] = {key: _policy(table[key], f"{place}: {key}") for key in _POLICIES if key in table}
    for key, (lowest, highest) in _NUMBERS.items():
        if key in table:
            made[key] = _number(table[key], lowest, highest, f"{place}: {key}")
    if "breaker_failures" in table:
        failures = table["breaker_failures"]
        if not isinstance(failures, int) or isinstance(failures, bool) or not 1 <= failures <= 1000:
            raise ConfigurationFault(f"{place}: breaker_failures must be a whole number from 1 to 1000")
        made["breaker_failures"] = failures
    for key in _AMOUNTS:
        if key in table:
            made[key] = _decimal(table[key], f"{place}: {key}", zero=True)
    if "stock_from" in table:
        made["stock_from"] = _connection(table["stock_from"], connections, f"{place}: stock_from")
    if "credit" in table:
        made["join"] = _join(table["credit"], connections, f"{file.name} [sales.credit]")
    if "rates" in table:
        made["rates"] = _rates(table["rates"], file, place)
    return SalesSettings(**made)


def _policy(value: Any, place: str) -> Policy:
    try:
        return Policy(value)
    except ValueError:
        raise ConfigurationFault(f"{place} must be block, warn or allow, not {value!r}") from None


def _number(value: Any, lowest: float, highest: float, place: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not lowest <= value <= highest:
        raise ConfigurationFault(f"{place} must be a number from {lowest:g} to {highest:g}, not {value!r}")
    return float(value)


def _decimal(value: Any, place: str, *, zero: bool = False) -> Decimal:
    """From a text or a whole number: a float of a TOML file has lost its last digits."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise InvalidOperation
        made = Decimal(value)
        if not made.is_finite() or made < 0 or (made == 0 and not zero):
            raise InvalidOperation
    except InvalidOperation:
        least = "from 0 up" if zero else "above 0"
        raise ConfigurationFault(f'{place} must be a number {least}, in quotes: "12.50", not {value!r}') from None
    return made


def _join(table: Any, connections: Collection[str], place: str) -> CreditJoin:
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    _only(table, (*CREDIT_ROLES, "counted"), place)
    roles = {role: _connection(table[role], connections, f"{place}: {role}") for role in CREDIT_ROLES if role in table}
    counted = table.get("counted", [])
    if not isinstance(counted, list):
        raise ConfigurationFault(f"{place}: counted must be a list of connections, not {counted!r}")
    return CreditJoin(**roles, counted=frozenset(_connection(one, connections, f"{place}: counted") for one in counted))


def _connection(name: Any, connections: Collection[str], place: str) -> ConnectionName:
    if not isinstance(name, str) or name not in connections:
        hint = did_you_mean(name, connections) if isinstance(name, str) else ""
        raise ConfigurationFault(f"{place}: there is no connection {name!r}{hint}")
    return ConnectionName(name)


def _rates(name: Any, file: Path, place: str) -> dict[tuple[str, str], ExchangeRate]:
    if not isinstance(name, str):
        raise ConfigurationFault(f"{place}: rates must be the name of a file, not {name!r}")
    path = (file.parent / name).resolve()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationFault(f"{place}: rates: {name}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{path.name}: {error}") from error
    found = {}
    for pair, value in table.items():
        source, dash, target = pair.partition("-")
        try:
            if not dash:
                raise RuleFault(f"{pair!r} is no pair of currencies: write USD-EUR")
            found[source, target] = ExchangeRate(source, target, _decimal(value, f"{path.name}: {pair}"))
        except RuleFault as fault:
            raise ConfigurationFault(f"{path.name}: {pair}: {fault}") from fault
    return found


def _only(data: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in data:
        if key not in known:
            raise ConfigurationFault(f"{place}: unknown key {key!r}{did_you_mean(key, known)}")
