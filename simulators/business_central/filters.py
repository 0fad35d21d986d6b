"""OData's $filter: from text to a function over rows (the subset that Business Central's API pages understand)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from simulators.business_central.odata import Kind, ODataError, Row, Value, bad_request, choice_name, unknown_field

Predicate = Callable[[Row], bool]
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})
    | (?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<string>'(?:[^']|'')*')
    | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_DEEPEST = 100  # parentheses and `not`s: each is a level of recursion
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_LITERALS_OF: dict[Kind, frozenset[str]] = {
    Kind.GUID: frozenset({"guid"}),
    Kind.TEXT: frozenset({"string"}),
    Kind.CHOICE: frozenset({"string"}),
    Kind.DECIMAL: frozenset({"number"}),
    Kind.INTEGER: frozenset({"number"}),
    Kind.BOOLEAN: frozenset({"boolean"}),
    Kind.DATE: frozenset({"date"}),
    Kind.MOMENT: frozenset({"moment", "date"}),
}


def compile_filter(text: str, kinds: Mapping[str, Kind], entity: str) -> Predicate:
    """A function that tells whether a row matches.

    eq ne gt ge lt le, and or not, parentheses, contains startswith endswith; literals: string, guid, date, datetime
    with zone, number, true, false, null. Text compares with case.
    Raises ODataError (400) for a syntax error, an unknown field, a literal of another type than the field's or an `or`
    over several fields.
    """
    tokens = _tokens(text)
    if sum(token in (("mark", "("), ("word", "not")) for token in tokens) > _DEEPEST:
        raise bad_request("The $filter is nested too deeply.")
    return _Parser(tokens, kinds, entity).whole()


class _Parser:
    """Recursive descent over the tokens of one $filter: or < and < not < comparison."""

    def __init__(self, tokens: Sequence[tuple[str, str]], kinds: Mapping[str, Kind], entity: str) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._at = 0
        self._kinds = kinds
        self._entity = entity
        self._named: list[str] = []  # the fields so far

    def whole(self) -> Predicate:
        predicate = self._either()
        if self._tokens[self._at][0] != "end":
            raise _syntax(self._tokens[self._at][1])
        return predicate

    def _either(self) -> Predicate:
        before = len(self._named)
        parts = [self._both()]
        while self._accept("word", "or"):
            parts.append(self._both())
        if len(parts) > 1 and len(set(self._named[before:])) > 1:
            # "Known limitations with Business Central OData"
            raise bad_request("The 'OR' operator is not supported on distinct fields on an OData filter.")
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._single()]
        while self._accept("word", "and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _single(self) -> Predicate:
        if self._accept("word", "not"):
            inner = self._single()
            return lambda row: not inner(row)
        if self._accept("mark", "("):
            inner = self._either()
            self._expect(")")
            return inner
        sort, word = self._take()
        if sort != "word":
            raise _syntax(word)
        return self._text_test(word) if word in _TEXT_TESTS else self._comparison(word)

    def _text_test(self, function: str) -> Predicate:
        self._expect("(")
        field = self._take()[1]
        if self._kind_of(field) is not Kind.TEXT:
            raise bad_request(f"The function '{function}' needs a text; '{field}' is none.")
        self._expect(",")
        sort, literal = self._take()
        if sort != "string":
            raise _syntax(literal)
        self._expect(")")
        test, part = _TEXT_TESTS[function], _unquote(literal)
        return lambda row: test(str(row[field] or ""), part)

    def _comparison(self, field: str) -> Predicate:
        kind = self._kind_of(field)
        verb = self._take()[1]
        if verb not in _COMPARE:
            raise _syntax(verb)
        sort, literal = self._take()
        compare = _COMPARE[verb]
        if (sort, literal) == ("word", "null"):
            if verb not in ("eq", "ne"):
                raise bad_request(f"'{verb}' does not work with null.")
            return lambda row: compare(row[field], None)
        value = self._literal(kind, field, sort, literal)
        if verb in ("eq", "ne"):
            return lambda row: compare(row[field], value)
        return lambda row: row[field] is not None and compare(row[field], value)

    def _literal(self, kind: Kind, field: str, sort: str, literal: str) -> Value:
        if sort == "word" and literal in ("true", "false"):
            sort = "boolean"
        if sort not in _LITERALS_OF[kind]:
            raise bad_request(
                f"A binary operator with incompatible types: '{field}' is {kind.value}, '{literal}' is not."
            )
        if kind is Kind.CHOICE:
            return choice_name(_unquote(literal)) if not literal.startswith("'_x") else _unquote(literal)
        return _read_literal(sort, literal, as_moment=kind is Kind.MOMENT)

    def _kind_of(self, field: str) -> Kind:
        if field not in self._kinds:
            raise unknown_field(field, self._entity)
        self._named.append(field)
        return self._kinds[field]

    def _take(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        if token[0] == "end":
            raise bad_request("Expression expected at the end of the $filter.")
        self._at += 1
        return token

    def _accept(self, sort: str, text: str) -> bool:
        if self._tokens[self._at] == (sort, text):
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._accept("mark", mark):
            raise _syntax(self._tokens[self._at][1] or "the end")


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise bad_request(f"Syntax error at position {at} in '{text}'.")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return tokens


def _read_literal(sort: str, literal: str, *, as_moment: bool) -> Value:
    try:
        match sort:
            case "string":
                return _unquote(literal)
            case "guid":
                return literal.lower()
            case "number":
                return Decimal(literal)
            case "boolean":
                return literal == "true"
            case "moment":
                return datetime.fromisoformat(literal).astimezone(UTC)
            case _:
                day = date.fromisoformat(literal)
                return datetime(day.year, day.month, day.day, tzinfo=UTC) if as_moment else day
    except (ValueError, OverflowError, InvalidOperation) as problem:
        raise bad_request(f"The literal '{literal}' is not a valid {sort}.") from problem


def _unquote(literal: str) -> str:
    return literal[1:-1].replace("''", "'")


def _syntax(text: str) -> ODataError:
    return bad_request(f"Syntax error near '{text}' in the $filter.")
