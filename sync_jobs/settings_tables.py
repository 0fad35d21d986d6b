"""Reading the tables of counterfoil.toml: every value of the wrong kind is named with its place and key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType

MAIL_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


def texts(table: Any, place: str, what: str) -> dict[str, str]:
    """A table of texts. Raises ConfigurationFault that names the key."""
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} must be a table of {what}, not {table!r}")
    for key, value in table.items():
        if not isinstance(value, str):
            raise ConfigurationFault(f"{place}: {key} must be a text, not {value!r}")
    return table


def entity_named(name: Any, place: str) -> EntityType:
    """Raises ConfigurationFault that names the nearest one."""
    try:
        return EntityType(name)
    except ValueError:
        known = [entity.value for entity in EntityType]
        raise ConfigurationFault(f"{place}: there is no entity {name!r}{did_you_mean(str(name), known)}") from None


def table_of(data: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    """A table within a table; empty when it is left out. Raises ConfigurationFault."""
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationFault(f"{place}: [{key}] is not a table")
    return value


def only(data: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], place: str) -> None:
    """Raises ConfigurationFault for a key that is not known, naming the nearest one."""
    for key in data:
        if key not in known:
            raise ConfigurationFault(f"{place}: unknown key {key!r}{did_you_mean(key, known)}")
