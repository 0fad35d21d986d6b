"""An account or an order as people and programs write it down: JSON or YAML, with numbers as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_core.errors import ConfigurationFault
from mappings.yaml_nodes import Node, read_yaml

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


class Numeral(str):
    """A number without quotes, as it is written: where a text belongs, an article number 1e5 stays 1e5."""

    __slots__ = ()


def read_entry(text: str, name: str) -> dict[str, Any]:
    """One document as data, its numbers as Numeral. name: what the text is called in errors.

    Raises ConfigurationFault when it is neither JSON nor YAML, no object, or has a key twice.
    """
    is_json, found = _from_json(text, name)
    if not is_json:
        found = _from_yaml(read_yaml(text, name))
    if not isinstance(found, dict):
        raise ConfigurationFault(f"{name}: write one object, e.g. number: WEB-1")
    return found


def _from_json(text: str, name: str) -> tuple[bool, Any]:
    """(whether it is JSON, its data)."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            raise ConfigurationFault(f"{name}: {twice!r} is here twice")
        return dict(pairs)

    def refuse(word: str) -> Any:
        raise ConfigurationFault(f"{name}: {word} is no number")

    try:
        made = json.loads(text, parse_int=Numeral, parse_float=Numeral, parse_constant=refuse, object_pairs_hook=once)
    except RecursionError:
        raise ConfigurationFault(f"{name}: nested too deeply") from None
    except ValueError as error:
        if name.endswith(".json"):
            raise ConfigurationFault(f"{name}: not JSON: {error}") from None
        return False, None
    return True, made


def _from_yaml(node: Node) -> Any:
    content = node.content
    if isinstance(content, dict):
        return {key: _from_yaml(one) for key, one in content.items()}
    if isinstance(content, list):
        return [_from_yaml(one) for one in content]
    if node.is_plain and _NUMBER.fullmatch(content):
        return Numeral(content)
    return node.as_data()


def plain_data(value: Any) -> Any:
    """The same with numbers as int and Decimal, for fields that take any data."""
    if isinstance(value, Numeral):
        return int(value) if value.lstrip("-").isdigit() else Decimal(value)
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    return value
