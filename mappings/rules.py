"""A rule of a mapping document: where one field's value comes from, and what is done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

from crm_core.errors import MappingDocumentFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.model.schema import Kind
from mappings.paths import Path, parse_path
from mappings.yaml_nodes import Node

Owner = Literal["back_office", "crm", "shared"]
"""The system of record of a field. back_office: theirs always. crm: ours, theirs counts when a record is created.
shared: either side changes it."""
SOURCES = ("from", "value", "expr", "document", "each")
OPTIONS = (
    *SOURCES,
    *("fields", "where", "empty", "default", "missing", "map", "otherwise", "reference", "by", "as", "decimals"),
    *("currency", "unit", "zone", "format", "required", "owner", "when_unknown", "when_null", "note"),
)
AS_WORDS = (Kind.TEXT, Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.INSTANT, Kind.DATE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; `line` is 1-based."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def fault(self, message: str) -> MappingDocumentFault:
        return MappingDocumentFault(message, file=self.file, line=self.line)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Exactly one of `paths`, `value`, `expression`, `document`, `each` is the source.

    codes: an inline value map (code -> constant), or the name of one in `value_maps`.
    """

    field: str
    place: Place
    text: str
    paths: tuple[Path, ...] = ()
    value: Node | None = None
    expression: str | None = None
    document: Mapping[str, Rule] | None = None
    each: Path | None = None
    fields: Mapping[str, Rule] = dataclass_field(default_factory=dict)
    where: str | None = None
    empty: frozenset[str] = frozenset()
    default: Node | None = None
    missing: Literal["error", "null"] | None = None
    codes: Mapping[str, Node] | str | None = None
    otherwise: Node | None = None
    reference: EntityType | None = None
    by: str | None = None
    kind: Kind | None = None
    decimals: int | None = None
    currency: str | None = None
    unit: str | None = None
    zone: str | None = None
    format: str | None = None
    is_required: bool = False
    owner: Owner | None = None
    """None = not said: `back_office` for what is pulled, `crm` for what is pushed."""
    unknown_is_null: bool = False
    """A reference to a record that is not here is null instead of waiting for it."""
    null_is_sent: bool = False
    """For a push: null is sent as null instead of being left out."""

    def content(self) -> dict[str, Any]:
        """What the rule says, without where: the mapping's version is taken from it."""
        said: dict[str, Any] = {
            "from": [path.text for path in self.paths],
            "value": self.value and self.value.as_data(),
            "has_value": self.value is not None,
            "expr": self.expression,
            "document": self.document and {key: rule.content() for key, rule in self.document.items()},
            "each": self.each and self.each.text,
            "fields": {key: rule.content() for key, rule in self.fields.items()},
            "where": self.where,
            "empty": sorted(self.empty),
            "default": self.default and [self.default.as_data(), self.default.as_text()],
            "missing": self.missing,
            "map": self.codes if self.codes is None or isinstance(self.codes, str) else map_content(self.codes),
            "otherwise": self.otherwise and [self.otherwise.as_data(), self.otherwise.as_text()],
            "options": [self.reference, self.by, self.kind, self.decimals, self.currency, self.unit],
            "time": [self.zone, self.format],
            "is_required": self.is_required,
            "owner": self.owner or "back_office",
            "when": [word for word in ("unknown_is_null", "null_is_sent") if getattr(self, word)],
        }
        return {key: value for key, value in said.items() if value}


def map_content(codes: Mapping[str, Node]) -> list[list[Any]]:
    """A value map as plain data, in the order of its codes."""
    return [[code, codes[code].as_data(), codes[code].as_text()] for code in sorted(codes)]


def parse_rule(name: str, node: Node, place: Place) -> Rule:
    """A rule from its node. Raises MappingDocumentFault with the line of what is wrong."""
    if isinstance(node.content, str):
        if node.is_null:
            raise place.fault(f"{name}: no rule; write a path, or `value: null` for a constant null")
        return Rule(name, place, node.source, paths=(_path(node, place.file, name),))
    if isinstance(node.content, list):
        return Rule(name, place, node.source, paths=_paths(node, place.file, name))
    return _Reader(name, node, place).rule()


def _path(node: Node, file: str, name: str) -> Path:
    text = node.as_text()
    if text is None:
        raise Place(file, node.line).fault(f"{name}: a path must be text")
    try:
        return parse_path(text)
    except ValueError as error:
        raise Place(file, node.line).fault(f"{name}: {error}") from error


def _paths(node: Node, file: str, name: str) -> tuple[Path, ...]:
    if not isinstance(node.content, list):
        return (_path(node, file, name),)
    if not node.content:
        raise Place(file, node.line).fault(f"{name}: a list of paths must hold at least one")
    return tuple(_path(item, file, name) for item in node.content)


class _Reader:
    """Reads the long form of one rule."""

    def __init__(self, name: str, node: Node, place: Place) -> None:
        assert isinstance(node.content, dict)
        self.name, self.node, self.place, self.options = name, node, place, node.content

    def rule(self) -> Rule:
        for key in self.options:
            if key not in OPTIONS:
                raise self.fault(key, f"unknown key {key!r} in a rule{did_you_mean(key, OPTIONS)}")
        sources = [key for key in SOURCES if key in self.options]
        if len(sources) != 1:
            said = f"has {' and '.join(sources)}" if sources else "has none"
            raise self.place.fault(f"{self.name}: a rule has exactly one of {', '.join(SOURCES)}; this one {said}")
        self.pair("fields", "each", both_ways=True)
        self.pair("where", "each")
        self.pair("otherwise", "map")
        self.pair("by", "reference")
        self.pair("when_unknown", "reference")
        options, file = self.options, self.place.file
        return Rule(
            self.name,
            self.place,
            self.node.source,
            paths=_paths(options["from"], file, self.name) if "from" in options else (),
            value=options.get("value"),
            expression=self.text("expr"),
            document=self.rules("document") if "document" in options else None,
            each=_path(options["each"], file, self.name) if "each" in options else None,
            fields=self.rules("fields") if "fields" in options else {},
            where=self.text("where"),
            empty=self.texts("empty"),
            default=options.get("default"),
            missing=self.word("missing", ("error", "null")),  # type: ignore[arg-type]
            codes=self.codes(),
            otherwise=options.get("otherwise"),
            reference=self.entity(),
            by=self.text("by"),
            kind=Kind(word) if (word := self.word("as", AS_WORDS)) else None,
            decimals=self.decimals(),
            currency=self.text("currency"),
            unit=self.text("unit"),
            zone=self.text("zone"),
            format=self.text("format"),
            is_required=self.word("required", ("true", "false")) == "true",
            owner=self.word("owner", ("back_office", "crm", "shared")),  # type: ignore[arg-type]
            unknown_is_null=self.word("when_unknown", ("wait", "null")) == "null",
            null_is_sent=self.word("when_null", ("leave_out", "send")) == "send",
        )

    def fault(self, key: str, message: str) -> MappingDocumentFault:
        return Place(self.place.file, self.node.line_of(key)).fault(f"{self.name}: {message}")

    def pair(self, key: str, other: str, *, both_ways: bool = False) -> None:
        if key in self.options and other not in self.options:
            raise self.fault(key, f"{key!r} goes with {other!r}")
        if both_ways and other in self.options and key not in self.options:
            raise self.fault(other, f"{other!r} goes with {key!r}")

    def text(self, key: str) -> str | None:
        if key not in self.options:
            return None
        text = self.options[key].as_text()
        if not text:
            raise self.fault(key, f"{key!r} must be text")
        return text

    def word(self, key: str, known: tuple[str, ...]) -> str | None:
        if key not in self.options:
            return None
        node = self.options[key]
        word = "null" if node.is_null else node.as_text()
        if word not in known:
            raise self.fault(key, f"{key!r} is one of {', '.join(known)}, not {word!r}")
        return word

    def texts(self, key: str) -> frozenset[str]:
        if key not in self.options:
            return frozenset()
        content = self.options[key].content
        if not isinstance(content, list) or any(item.as_text() is None for item in content):
            raise self.fault(key, f"{key!r} must be a list of texts")
        return frozenset(item.as_text() or "" for item in content)

    def rules(self, key: str) -> dict[str, Rule]:
        node = self.options[key]
        if not isinstance(node.content, dict) or not node.content:
            raise self.fault(key, f"{key!r} must be a mapping of names to rules")
        return {
            name: parse_rule(f"{self.name}.{name}", child, Place(self.place.file, node.line_of(name)))
            for name, child in node.content.items()
        }

    def codes(self) -> Mapping[str, Node] | str | None:
        if "map" not in self.options:
            return None
        node = self.options["map"]
        if isinstance(node.content, dict):
            return read_codes(self.name, node, self.place.file)
        return self.text("map")

    def entity(self) -> EntityType | None:
        word = self.text("reference")
        if word is None:
            return None
        if word not in tuple(EntityType):
            raise self.fault(
                "reference", f"there is no entity {word!r}{did_you_mean(word, [entity.value for entity in EntityType])}"
            )
        return EntityType(word)

    def decimals(self) -> int | None:
        if "decimals" not in self.options:
            return None
        places = self.options["decimals"].as_data()
        if type(places) is not int or not 0 <= places <= 12:
            raise self.fault("decimals", "'decimals' is a whole number from 0 to 12")
        return places


def read_codes(name: str, node: Node, file: str) -> Mapping[str, Node]:
    """The lines of a value map. Raises MappingDocumentFault when it is none."""
    if not isinstance(node.content, dict) or not node.content:
        raise Place(file, node.line).fault(f"{name}: a value map has lines `code: value`")
    for code, child in node.content.items():
        if not child.is_scalar:
            raise Place(file, node.line_of(code)).fault(f"{name}: code {code!r} must become one plain value")
    return node.content
