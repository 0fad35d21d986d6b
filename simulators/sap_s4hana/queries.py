"""What a GET asks for: the query options, which rows they mean, and how a row is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote

from simulators.sap_s4hana.books import ENTITY_SETS, Books, Row, Table
from simulators.sap_s4hana.filters import Condition, compile_filter
from simulators.sap_s4hana.schema import EntitySet, Key
from simulators.sap_s4hana.values import Fault, bad_request, etag_of, json_text, key_text

_OPTIONS = frozenset(
    {"$filter", "$select", "$expand", "$orderby", "$top", "$skip", "$skiptoken", "$inlinecount", "$format"}
)
_MOST_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Projection:
    """What is told of a row: properties, navigations that are followed, and those of which only the address is."""

    fields: tuple[str, ...]
    expanded: Mapping[str, Projection] = field(default_factory=dict)
    deferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """The options of one request, checked against its entity set."""

    projection: Projection
    condition: Condition | None = None
    order: tuple[tuple[str, bool], ...] = ()  # (property, is descending)
    top: int | None = None
    skip: int = 0
    wants_count: bool = False


def parse_query(text: str, schema: EntitySet) -> Query:
    """Raises Fault (400) for an option that is malformed, unknown, or names what is not there."""
    options = dict(parse_qsl(text, keep_blank_values=True))
    for name in options:
        if name.startswith("$") and name not in _OPTIONS:
            raise bad_request(f"Invalid query option '{name}'")
    if options.get("$format", "json") != "json":
        raise bad_request("Only $format=json is simulated")
    if options.get("$inlinecount", "none") not in ("allpages", "none"):
        raise bad_request("Invalid value for $inlinecount")
    condition = options.get("$filter")
    token = _natural(options, "$skiptoken")
    return Query(
        projection=_projection(schema, options.get("$select", ""), options.get("$expand", "")),
        condition=compile_filter(condition, schema) if condition else None,
        order=tuple(_order_term(term, schema) for term in _names(options.get("$orderby", ""))),
        top=_natural(options, "$top"),
        skip=token if token is not None else _natural(options, "$skip") or 0,
        wants_count=options.get("$inlinecount") == "allpages",
    )


def _natural(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise bad_request(f"Invalid value '{text[:20]}' for {name}")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _order_term(term: str, schema: EntitySet) -> tuple[str, bool]:
    name, _, direction = term.partition(" ")
    if direction.strip() not in ("", "asc", "desc"):
        raise bad_request(f"Invalid direction in $orderby '{term[:60]}'")
    if name not in schema.properties:
        raise _unknown(schema, name)
    return name, direction.strip() == "desc"


def _unknown(schema: EntitySet, name: str) -> Fault:
    return bad_request(f"Property {name[:60]} not found in type {schema.entity_type}", "/IWFND/CM_MGW/094", name[:60])


# -- $select and $expand ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=200)
def _projection_of(name: str, select: str, expand: str) -> Projection:
    schema = ENTITY_SETS[name]
    tree: dict[str, Any] = {}
    for path in _names(expand):
        _check_path(schema, path)
        _walk(tree, path.split("/"))
    return _made(schema, [path.split("/") for path in _names(select)], tree)


def _projection(schema: EntitySet, select: str, expand: str) -> Projection:
    return _projection_of(schema.name, select, expand)


def _check_path(schema: EntitySet, path: str) -> None:
    parts = path.split("/")
    if len(parts) > _MOST_LEVELS:
        raise bad_request(f"Too many levels in $expand '{path[:60]}'")
    for part in parts:
        if part not in schema.navigations:
            raise _unknown(schema, part)
        schema = ENTITY_SETS[schema.navigations[part].target]


def _walk(tree: dict[str, Any], parts: Sequence[str]) -> None:
    for part in parts:
        tree = tree.setdefault(part, {})


def _made(schema: EntitySet, paths: Sequence[Sequence[str]], tree: Mapping[str, Any]) -> Projection:
    """paths: of $select, relative to this set; none, `*` or a navigation's bare name mean everything."""
    wants_all = not paths or ["*"] in paths
    fields: list[str] = []
    below: dict[str, list[Sequence[str]]] = {name: [] for name in tree}
    deferred: list[str] = []
    for path in paths:
        head, rest = path[0], path[1:]
        if head in schema.navigations:
            if head in tree and rest:
                below[head].append(rest)
            elif head not in tree and not rest:
                deferred.append(head)
            elif head not in tree:
                raise bad_request(f"'{head}' is selected from and not expanded")
        elif rest or (head not in schema.properties and head != "*"):
            raise _unknown(schema, head)
        elif head != "*":
            fields.append(head)
    if wants_all:
        fields, deferred = list(schema.properties), [name for name in schema.navigations if name not in tree]
    expanded = {
        name: _made(ENTITY_SETS[schema.navigations[name].target], below[name], inner) for name, inner in tree.items()
    }
    return Projection(tuple(dict.fromkeys(fields)), expanded, tuple(dict.fromkeys(deferred)))


# -- which rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of a page. following: the offset of the next one, None when this is the last. count: of all pages."""

    rows: Sequence[Row]
    following: int | None
    count: int | None


def choose(table: Table, query: Query, page_size: int, among: Sequence[Row] | None = None) -> Chosen:
    """The rows that a query means, of the table or of a navigation's rows."""
    matching = _matching(table, query, among)
    if query.order and query.order != ((table.schema.key[0], False),):
        matching = iter(_sorted(list(matching), query.order, table.schema))
    count = None
    if query.wants_count:
        found = list(matching)
        count, matching = len(found), iter(found)
    limit = page_size if query.top is None else min(query.top, page_size)
    page = list(islice(matching, query.skip, query.skip + limit))
    is_cut = limit < (query.top if query.top is not None else page_size + 1)
    has_more = is_cut and next(matching, None) is not None
    return Chosen(page, query.skip + len(page) if has_more else None, count)


def _matching(table: Table, query: Query, among: Sequence[Row] | None) -> Iterator[Row]:
    condition = query.condition
    rows: Iterable[Row] = table.in_order() if among is None else among
    if condition is None:
        return iter(rows)
    if among is None:
        keys = candidates(table, condition)
        if keys is not None:
            rows = [table.rows[key] for key in sorted(keys)]
        elif (first := _first_key(table, condition)) is not None:
            rows = table.from_key(first, strictly=True)
    test = condition.test
    return (row for row in rows if test(row.values))


def candidates(table: Table, condition: Condition) -> set[Key] | None:
    """The keys that indexes leave to look at; None = all of them."""
    if condition.equals is not None:
        name, value = condition.equals
        return set(table.having((name,), (value,))) if table.is_indexed((name,)) else None
    if condition.all_of:
        equals = dict(part.equals for part in condition.all_of if part.equals is not None)
        if all(name in equals for name in table.schema.key):
            key = tuple([equals[name] for name in table.schema.key])
            return {key} if key in table.rows else set()
        found = [keys for part in condition.all_of if (keys := candidates(table, part)) is not None]
        return min(found, key=len) if found else None
    if condition.any_of:
        parts = [candidates(table, part) for part in condition.any_of]
        return None if any(part is None for part in parts) else set().union(*(part for part in parts if part))
    return None


def _first_key(table: Table, condition: Condition) -> Any:
    """Behind which value of the key's first property all rows must be."""
    for part in condition.all_of or (condition,):
        if part.behind is not None and part.behind[0] == table.schema.key[0]:
            return part.behind[1]
    return None


def _sorted(rows: list[Row], order: Sequence[tuple[str, bool]], schema: EntitySet) -> list[Row]:
    """By each property in turn, the last one first; rows that are alike stay in the order of their keys."""
    for name, falls in reversed(order):
        sort_value = schema.properties[name].sort_value

        def place(row: Row, name: str = name, sort_value: Any = sort_value) -> tuple[bool, Any]:
            value = sort_value(row.values[name])
            return (False, "") if value is None else (True, value)

        # A stable sort with `reverse` keeps the order of what is alike.
        rows.sort(key=place, reverse=falls)
    return rows


# -- how a row is told ------------------------------------------------------------------------------------------------


class Teller:
    """Writes rows as V2 JSON. base_url: what the service's name is appended to."""

    def __init__(self, books: Books, base_url: str) -> None:
        self._books, self._base_url = books, base_url

    def address(self, schema: EntitySet, row: Row) -> str:
        """Where a row is."""
        if len(schema.key) == 1:
            key = key_text(row.values[schema.key[0]])
        else:
            key = ",".join(f"{name}={key_text(row.values[name])}" for name in schema.key)
        inside = quote(key, safe="',=")
        return f"{self._base_url}/{schema.service}/{schema.name}({inside})"

    def text(self, schema: EntitySet, row: Row, projection: Projection) -> str:
        """The JSON object of a row."""
        own = self._own_text(schema, row, projection)
        if not projection.expanded:
            return own
        parts = [own[:-1]]
        for name, inner in projection.expanded.items():
            navigation = schema.navigations[name]
            target = ENTITY_SETS[navigation.target]
            texts = [self.text(target, other, inner) for other in self._books.related(row, navigation)]
            if navigation.many:
                parts.append(f',"{name}":{{"results":[{",".join(texts)}]}}')
            else:
                parts.append(f',"{name}":{texts[0] if texts else "null"}')
        return "".join(parts) + "}"

    def _own_text(self, schema: EntitySet, row: Row, projection: Projection) -> str:
        wanted = (self._base_url, projection.fields, projection.deferred)
        text = row.texts.get(wanted)
        if text is None:
            address = self.address(schema, row)
            etag = f',"etag":{json_text(etag_of(row[schema.etag]))}' if schema.etag else ""
            members = [
                f'"__metadata":{{"id":"{address}","uri":"{address}","type":"{schema.entity_type}"{etag}}}',
                *(f'"{name}":{json_text(row.values[name])}' for name in projection.fields),
                *(f'"{name}":{{"__deferred":{{"uri":"{address}/{name}"}}}}' for name in projection.deferred),
            ]
            text = row.texts[wanted] = "{" + ",".join(members) + "}"
        return text


def everything_of(schema: EntitySet, given: Mapping[str, Any]) -> Projection:
    """All properties, and the navigations that a deep insert had in it: what its answer tells."""
    expanded = {}
    for name, value in given.items():
        if name in schema.navigations:
            inner = value.get("results", value) if isinstance(value, Mapping) else value
            first = (inner[0] if inner else {}) if isinstance(inner, list) else inner
            expanded[name] = everything_of(ENTITY_SETS[schema.navigations[name].target], first or {})
    deferred = tuple(name for name in schema.navigations if name not in expanded)
    return Projection(tuple(schema.properties), expanded, deferred)
