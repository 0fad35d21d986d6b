"""The query language, as far as it is documented. What is not known is refused, never passed over.

SELECT * | count(*) FROM Entity [WHERE condition [AND condition]] [ORDERBY property [ASC|DESC] [, ...]]
    [STARTPOSITION number] [MAXRESULTS number]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from simulators.quickbooks.data import ENTITIES, NAMES, TRANSACTIONS, Company, Row
from simulators.quickbooks.wire import PACIFIC

USUAL, MOST = 100, 1000
"""Records of an answer: unless MAXRESULTS says otherwise, and at most."""

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<op><=|>=|=|<|>)|(?P<mark>[(),*])|(?P<word>[^\s'(),*=<>]+))", re.DOTALL
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}

_EVERYWHERE = ("Id", "MetaData.LastUpdatedTime", "MetaData.CreateTime")
FILTERABLE: dict[str, tuple[str, ...]] = {
    "Customer": ("Active", "DisplayName", "FullyQualifiedName", "CompanyName", "GivenName", "FamilyName", "Balance"),
    "Item": ("Active", "Name", "FullyQualifiedName", "Type", "Taxable"),
    "Estimate": ("TxnDate", "DocNumber", "CustomerRef", "DueDate"),
    "Invoice": ("TxnDate", "DocNumber", "CustomerRef", "DueDate", "Balance"),
    "CreditMemo": ("TxnDate", "DocNumber", "CustomerRef"),
    "Payment": ("TxnDate", "CustomerRef", "TotalAmt", "PaymentRefNum"),
}
"""Those that Intuit's reference calls filterable; the status of an estimate, say, is not."""


class BadQuery(Exception):
    """code: that of the fault."""

    def __init__(self, message: str, code: str = "4001") -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Condition:
    """values: one, or those of IN."""

    name: str
    operator: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked. order: names, each with whether it descends."""

    entity: str
    is_count: bool = False
    conditions: Sequence[Condition] = ()
    order: Sequence[tuple[str, bool]] = ()
    start: int = 1
    most: int = USUAL


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise BadQuery(f"QueryParserError: Encountered {text[at : at + 10]!r}", "4000")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._at = 0

    def peek(self) -> str:
        """The next token in capitals; empty at the end, and for a text."""
        if self._at >= len(self._tokens) or self._tokens[self._at][0] == "text":
            return ""
        return self._tokens[self._at][1].upper()

    def take(self, *kinds: str) -> str:
        """The next token, of one of these kinds. Raises BadQuery."""
        kind, token = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "<EOF>")
        if kind not in kinds:
            raise BadQuery(f"QueryParserError: Encountered {token!r}", "4000")
        self._at += 1
        return token

    def expect(self, word: str) -> None:
        if self.peek() != word:
            self.take("nothing")
        self._at += 1

    def has(self, word: str) -> bool:
        """Takes the word where it comes next."""
        found = self.peek() == word
        self._at += found
        return found

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._tokens)


def parse(text: str) -> Query:
    """Raises BadQuery for what is not understood."""
    reader = _Reader(text)
    reader.expect("SELECT")
    is_count = reader.has("COUNT")
    if is_count:
        reader.expect("(")
    reader.expect("*")
    if is_count:
        reader.expect(")")
    reader.expect("FROM")
    entity = reader.take("word")
    if entity not in ENTITIES:
        raise BadQuery(f"QueryValidationError: invalid context declaration: {entity}")
    conditions = []
    if reader.has("WHERE"):
        conditions.append(_condition(reader, entity))
        while reader.has("AND"):
            conditions.append(_condition(reader, entity))
    order = []
    if reader.has("ORDERBY"):
        order.append(_order(reader, entity))
        while reader.has(","):
            order.append(_order(reader, entity))
    start = _number(reader) if reader.has("STARTPOSITION") else 1
    most = _number(reader) if reader.has("MAXRESULTS") else USUAL
    if not reader.is_over:
        reader.take("nothing")
    if most > MOST:
        raise BadQuery(f"QueryValidationError: value {most} is too large. Max allowed value is {MOST}.")
    if start < 1 or most < 1:
        raise BadQuery("QueryValidationError: a position begins with 1")
    return Query(entity, is_count, tuple(conditions), tuple(order), start, most)


def select(company: Company, query: Query) -> list[Row]:
    """All that fulfil the conditions, in the order; positions are not looked at yet. Raises BadQuery for values."""
    rows = list(company.rows(query.entity))
    if query.entity in NAMES and all(one.name != "Active" for one in query.conditions):
        rows = [row for row in rows if row.values["Active"]]
    for condition in query.conditions:
        rows = [row for row in rows if _fulfils(row, condition)]
    for name, descends in reversed(query.order):
        rows.sort(key=lambda row, name=name: _sort_key(row, name), reverse=descends)  # type: ignore[misc]
    return rows


def _condition(reader: _Reader, entity: str) -> Condition:
    name = _property(reader, entity)
    if reader.has("IN"):
        reader.expect("(")
        values = [reader.take("text", "word")]
        while reader.has(","):
            values.append(reader.take("text", "word"))
        reader.expect(")")
        return Condition(name, "IN", [_bare(value) for value in values])
    if reader.has("LIKE"):
        return Condition(name, "LIKE", [_bare(reader.take("text"))])
    operator = reader.take("op")
    return Condition(name, operator, [_bare(reader.take("text", "word"))])


def _order(reader: _Reader, entity: str) -> tuple[str, bool]:
    name = _property(reader, entity)
    descends = reader.has("DESC")
    if not descends:
        reader.has("ASC")
    return name, descends


def _property(reader: _Reader, entity: str) -> str:
    name = reader.take("word")
    if name.lower().startswith("metadata."):
        name = "MetaData." + name.partition(".")[2]
    if name not in (*_EVERYWHERE, *FILTERABLE[entity]):
        raise BadQuery(f"QueryValidationError: Property {name} not found for Entity {entity}")
    return name


def _number(reader: _Reader) -> int:
    text = reader.take("word")
    if not text.isdecimal():
        raise BadQuery(f"QueryParserError: Encountered {text!r}", "4000")
    return int(text)


def _bare(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith("'") else token


def _fulfils(row: Row, condition: Condition) -> bool:
    mine = _value(row, condition.name)
    if condition.operator == "IN":
        return any(mine == _typed(condition.name, value) for value in condition.values)
    if condition.operator == "LIKE":
        pattern = ".*".join(re.escape(part) for part in condition.values[0].split("%"))
        return re.fullmatch(pattern, str(mine or ""), re.IGNORECASE | re.DOTALL) is not None
    if mine is None:
        return False
    return _OPERATORS[condition.operator](mine, _typed(condition.name, condition.values[0]))


def _value(row: Row, name: str) -> Any:
    match name:
        case "Id":
            return row.number
        case "MetaData.LastUpdatedTime":
            return row.changed_at
        case "MetaData.CreateTime":
            return datetime.fromisoformat(row.values["MetaData"]["CreateTime"])
        case "CustomerRef":
            return row.values["CustomerRef"]["value"]
    return row.values.get(name)


def _typed(name: str, text: str) -> Any:
    try:
        if name == "Id":
            return int(text)
        if name.startswith("MetaData."):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=PACIFIC)
        if name in ("Balance", "TotalAmt"):
            return Decimal(text)
    except (ValueError, InvalidOperation):
        raise BadQuery(f"QueryValidationError: {text[:40]!r} is no value of {name}") from None
    if name in ("Active", "Taxable"):
        if text.lower() not in ("true", "false"):
            raise BadQuery(f"QueryValidationError: {text[:40]!r} is no value of {name}")
        return text.lower() == "true"
    return text


def _sort_key(row: Row, name: str) -> tuple[bool, Any]:
    value = _value(row, name)
    return value is not None, value if value is not None else 0


assert set(FILTERABLE) == {*NAMES, *TRANSACTIONS}
