"""The `where` of a list: `Type=="ACCREC" AND (Reference=="A" OR Reference.Contains("B"))`.

What the documentation shows of it, no more: comparisons with texts, numbers, booleans, `Guid("...")` and
`DateTime(2026, 1, 31)`, the methods Contains, StartsWith and EndsWith, AND and OR in both spellings, parentheses.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from simulators.xero.wire import bad_request, folded

Values = Mapping[str, Any]
Index = Mapping[str, Mapping[str, Mapping[str, None]]]
"""Field -> folded text -> the ids that have it."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|(?P<mark>==|!=|>=|<=|&&|\|\||[=<>(),]))"""
)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_METHODS: Mapping[str, Callable[[str, str], bool]] = {
    "Contains": lambda text, part: part in text,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op literal`."""

    path: tuple[str, ...]
    sign: str
    literal: Any

    def matches(self, values: Values) -> bool:
        found = _value_at(values, self.path)
        if found is None or self.literal is None:
            is_same = found is self.literal
            return is_same if self.sign in ("==", "=") else self.sign == "!=" and not is_same
        if isinstance(found, str):
            found = folded(found)
        try:
            return bool(_OPERATORS[self.sign](found, self.literal))
        except TypeError:
            return False

    def candidates(self, index: Index) -> Mapping[str, None] | None:
        if self.sign not in ("==", "=") or not isinstance(self.literal, str) or len(self.path) != 1:
            return None
        by_text = index.get(self.path[0])
        return None if by_text is None else by_text.get(self.literal, {})


@dataclass(frozen=True, slots=True)
class Method:
    """`path.Contains("...")` and its like."""

    path: tuple[str, ...]
    name: str
    literal: str

    def matches(self, values: Values) -> bool:
        found = _value_at(values, self.path)
        return isinstance(found, str) and _METHODS[self.name](folded(found), self.literal)

    def candidates(self, index: Index) -> Mapping[str, None] | None:
        by_text = index.get(self.path[0]) if len(self.path) == 1 else None
        if by_text is None:
            return None
        method = _METHODS[self.name]
        return {row_id: None for text, ids in by_text.items() if method(text, self.literal) for row_id in ids}


@dataclass(frozen=True, slots=True)
class Both:
    """AND."""

    parts: tuple[Condition, ...]

    def matches(self, values: Values) -> bool:
        return all(part.matches(values) for part in self.parts)

    def candidates(self, index: Index) -> Mapping[str, None] | None:
        known = [found for part in self.parts if (found := part.candidates(index)) is not None]
        return min(known, key=len, default=None)


@dataclass(frozen=True, slots=True)
class Either:
    """OR."""

    parts: tuple[Condition, ...]

    def matches(self, values: Values) -> bool:
        return any(part.matches(values) for part in self.parts)

    def candidates(self, index: Index) -> Mapping[str, None] | None:
        together: dict[str, None] = {}
        for part in self.parts:
            found = part.candidates(index)
            if found is None:
                return None
            together.update(found)
        return together


Condition = Compare | Method | Both | Either


def search(fields: Sequence[str], term: str) -> Condition:
    """What `searchTerm` asks for: one of the fields contains it."""
    return Either(tuple(Method((name,), "Contains", folded(term)) for name in fields))


@lru_cache(maxsize=256)
def compile_where(text: str) -> Condition:
    """The condition of a `where`. Raises Problem (400) for what is none."""
    parser = _Parser(text)
    condition = parser.either()
    if parser.peek() is not None:
        raise parser.fault()
    return condition


def _value_at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.place = text, list[tuple[str, str]](), 0
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None:
                raise self.fault()
            self.tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            position = found.end()

    def fault(self) -> Exception:
        return bad_request(16, "QueryParseException", f"The query string {self.text[:60]!r} cannot be parsed")

    def peek(self) -> tuple[str, str] | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise self.fault()
        self.place += 1
        return token

    def takes(self, *wanted: str) -> bool:
        token = self.peek()
        if token is None or token[0] == "text" or token[1].upper() not in wanted:
            return False
        self.place += 1
        return True

    def either(self) -> Condition:
        parts = [self.both()]
        while self.takes("OR", "||"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self) -> Condition:
        parts = [self.one()]
        while self.takes("AND", "&&"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def one(self) -> Condition:
        if self.takes("("):
            inner = self.either()
            if not self.takes(")"):
                raise self.fault()
            return inner
        kind, name = self.take()
        if kind != "name":
            raise self.fault()
        path = tuple(name.split("."))
        if path[-1] in _METHODS and self.takes("("):
            kind, text = self.take()
            if kind != "text" or not self.takes(")"):
                raise self.fault()
            return Method(path[:-1], path[-1], _text(text))
        kind, sign = self.take()
        if sign not in _OPERATORS:
            raise self.fault()
        return Compare(path, sign, self.literal())

    def literal(self) -> Any:
        kind, text = self.take()
        if kind == "text":
            return _text(text)
        if kind == "number":
            return Decimal(text)
        lowered = text.lower()
        if lowered in ("true", "false"):
            return lowered == "true"
        if lowered == "null":
            return None
        if lowered not in ("guid", "datetime") or not self.takes("("):
            raise self.fault()
        arguments = []
        while not self.takes(")"):
            arguments.append(self.take()[1])
            self.takes(",")
        try:
            if lowered == "guid":
                return _text(arguments[0])
            numbers = [int(argument) for argument in arguments]
            return date(*numbers) if len(numbers) == 3 else datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]
        except (ValueError, TypeError, IndexError):
            raise self.fault() from None


def _text(token: str) -> str:
    return folded(re.sub(r"\\(.)", r"\1", token[1:-1]))
