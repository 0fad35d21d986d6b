"""YAML text as a tree that still knows its lines.

Only what YAML 1.2 calls null, true and false is that: `NO`, `on`, `010` and `2026-01-01` are text, since a country code
must not become a boolean nor an article number a date. Numbers with a point are Decimal, as in a pull.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from crm_core.errors import MappingDocumentFault

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_MAX_DEPTH = 30
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document: text, a mapping or a list; `line` is 1-based."""

    content: str | dict[str, Node] | list[Node]
    line: int
    is_plain: bool = False
    """A scalar without quotes: only such a one can be null, true, false or a number."""
    source: str = ""
    """As written, in one line."""
    key_lines: dict[str, int] | None = None

    @property
    def is_null(self) -> bool:
        return self.is_plain and self.content in ("", "~", "null", "Null", "NULL")

    @property
    def is_scalar(self) -> bool:
        return isinstance(self.content, str)

    def line_of(self, key: str) -> int:
        return (self.key_lines or {}).get(key, self.line)

    def as_text(self) -> str | None:
        """The text of a scalar whatever it looks like, so that a code 010 stays 010; None for null."""
        return None if self.is_null or not isinstance(self.content, str) else self.content

    def as_data(self) -> Any:
        """The value as a pull would see it: str, int, Decimal, bool, None, dict, list."""
        content = self.content
        if isinstance(content, dict):
            return {key: node.as_data() for key, node in content.items()}
        if isinstance(content, list):
            return [node.as_data() for node in content]
        if not self.is_plain:
            return content
        if self.is_null:
            return None
        if content in ("true", "false"):
            return content == "true"
        if _INTEGER.fullmatch(content):
            return int(content) if len(content) <= 100 else Decimal(content)
        return Decimal(content) if _DECIMAL.fullmatch(content) else content


def read_yaml(text: str, file: str) -> Node:
    """The tree of one document. Raises MappingDocumentFault: not YAML, a key twice, too deep, several documents."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise MappingDocumentFault(f"not YAML: {error.problem or error.context}", file=file, line=line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise MappingDocumentFault(f"not YAML: {' '.join(str(error).split())}", file=file) from error
    if root is None:
        raise MappingDocumentFault("the document is empty", file=file, line=1)
    return _node(root, text.splitlines(), file, 0)


def _node(node: yaml.Node, lines: list[str], file: str, depth: int) -> Node:
    line = node.start_mark.line + 1
    if depth > _MAX_DEPTH:
        raise MappingDocumentFault("nested too deeply (or an alias that holds itself)", file=file, line=line)
    source = _source(node, lines)
    if isinstance(node, yaml.ScalarNode):
        return Node(str(node.value), line, not node.style, source)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(item, lines, file, depth + 1) for item in node.value], line, source=source)
    content: dict[str, Node] = {}
    key_lines: dict[str, int] = {}
    for key_node, value in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise MappingDocumentFault("a key must be plain text", file=file, line=key_line)
        key = str(key_node.value)
        if key in content:
            raise MappingDocumentFault(
                f"{key!r} is here twice (first in line {key_lines[key]})", file=file, line=key_line
            )
        content[key], key_lines[key] = _node(value, lines, file, depth + 1), key_line
    return Node(content, line, source=source, key_lines=key_lines)


def _source(node: yaml.Node, lines: list[str]) -> str:
    """What stands between the node's marks, in one line of at most 200 characters."""
    start, end = node.start_mark, node.end_mark
    chosen = lines[start.line : end.line + 1]
    if chosen and end.line < len(lines):
        chosen[-1] = chosen[-1][: end.column]
    if chosen:
        chosen[0] = chosen[0][start.column :]
    text = " ".join(" ".join(chosen).split())
    return text if len(text) <= 200 else text[:199] + "…"
