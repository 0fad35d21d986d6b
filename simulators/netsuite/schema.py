"""The contract in `suitetalk.wsdl` as tables: requests are checked and read by them, answers are written by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from simulators.json_text import number_text
from simulators.netsuite.xml_text import Name, Node, escape, parse, quoteattr

WSDL = Path(__file__).with_name("suitetalk.wsdl")

_XS = "http://www.w3.org/2001/XMLSchema"
_PACIFIC = timezone(timedelta(hours=-8))
"""NetSuite writes moments with the offset of Pacific time; a fixed one is as good for a reader."""

Value = Any
"""Text, bool, int, Decimal, aware datetime; a dict of fields and attributes for an element of a complex type (`@type`
names an `xsi:type`, as `sales:SalesOrder`); a list where an element may come more than once."""


class Written(str):
    """An element that is text already."""

    __slots__ = ()


class SchemaError(ValueError):
    """A request that does not fit the contract."""


@dataclass(frozen=True, slots=True)
class Field:
    """An element of a complex type. prefixed: as it is written, `sales:entity`."""

    name: str
    qualified: Name
    prefixed: str
    type: str
    is_required: bool
    is_list: bool


@dataclass(frozen=True, slots=True)
class ComplexType:
    """Fields and attributes in the contract's order, inherited ones first. text: the type of simple content."""

    name: str
    fields: tuple[Field, ...]
    attributes: tuple[tuple[str, str], ...]
    is_abstract: bool
    bases: frozenset[str]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SimpleType:
    """A text with a choice of values."""

    name: str
    values: frozenset[str]


class Schema:
    """The types of one WSDL, by prefixed name (`core:RecordRef`; prefixes as the document declares them)."""

    def __init__(self, text: bytes) -> None:
        declared = re.findall(r'xmlns:(\w+)="([^"]+)"', text.decode())
        self.namespaces: Mapping[str, str] = {prefix: uri for prefix, uri in declared if uri.startswith("urn:")}
        self._prefixes = {uri: prefix for prefix, uri in self.namespaces.items()} | {_XS: "xs"}
        self.types: dict[str, ComplexType | SimpleType] = {}
        self.elements: dict[str, str] = {}
        self._nodes: dict[str, tuple[Node, str]] = {}
        types = parse(text).find("types")
        assert types is not None
        for schema in types.children:
            prefix = self._prefixes[schema.attributes["targetNamespace"]]
            for node in schema.children:
                name = f"{prefix}:{node.attributes.get('name', '')}"
                if node.name[1] == "element":
                    self.elements[name] = node.attributes["type"]
                elif node.name[1] in ("complexType", "simpleType"):
                    self._nodes[name] = (node, prefix)
        for name in self._nodes:
            self._make(name)

    @property
    def declarations(self) -> str:
        """The namespaces as attributes of a root element."""
        return " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in self.namespaces.items())

    def complex_type(self, name: str) -> ComplexType:
        """Raises KeyError for a name that is none of a complex type."""
        found = self.types[name]
        if not isinstance(found, ComplexType):
            raise KeyError(name)
        return found

    def prefixed(self, name: Name) -> str:
        """`{uri}local` as `prefix:local`; for a foreign namespace the local name alone."""
        prefix = self._prefixes.get(name[0])
        return f"{prefix}:{name[1]}" if prefix else name[1]

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, node: Node, declared: str) -> Value:
        """The value of an element of a declared type. Raises SchemaError that names the element."""
        name = declared
        if node.type is not None:
            name = self.prefixed(node.type)
            if not name.startswith("xs:") and name not in self.types:
                raise SchemaError(f"there is no type {node.type[1]}")
        if node.is_nil:
            return None
        found = self.types.get(name)
        if not isinstance(found, ComplexType):
            return self._simple(name if name in self.types else declared, node.text, node.name[1])
        if found.is_abstract:
            raise SchemaError(f"{found.name} is abstract: say which type {node.name[1]} is")
        if name != declared and declared not in found.bases:
            raise SchemaError(f"{name} does not extend {declared}")
        return self._complex(found, node, is_named=node.type is not None)

    def _complex(self, found: ComplexType, node: Node, *, is_named: bool) -> dict[str, Value]:
        value: dict[str, Value] = {"@type": found.name} if is_named else {}
        known = dict(found.attributes)
        for name, text in node.attributes.items():
            if name not in known:
                raise SchemaError(f"{node.name[1]} has no attribute {name}")
            value[name] = self._simple(known[name], text, name)
        if found.text is not None:
            value["text"] = self._simple(found.text, node.text, node.name[1])
            return value
        place, fields = 0, found.fields
        for child in node.children:
            while place < len(fields) and fields[place].qualified != child.name:
                place += 1
            if place == len(fields):
                raise SchemaError(f"{child.name[1]} is not expected in {node.name[1]} here")
            field = fields[place]
            read = self.read(child, field.type)
            if field.is_list:
                value.setdefault(field.name, []).append(read)
            else:
                value[field.name] = read
                place += 1
        for field in fields:
            if field.is_required and field.name not in value:
                raise SchemaError(f"{node.name[1]} needs {field.name}")
        return value

    def _simple(self, name: str, text: str, what: str) -> Value:
        found = self.types.get(name)
        if isinstance(found, SimpleType):
            if text not in found.values:
                raise SchemaError(f"{text[:40]!r} is no {name.partition(':')[2]} ({what})")
            return text
        try:
            match name:
                case "xs:string":
                    return text
                case "xs:boolean":
                    return {"true": True, "1": True, "false": False, "0": False}[text.strip()]
                case "xs:int" | "xs:long":
                    return int(text)
                case "xs:double":
                    number = Decimal(text.strip())
                    if not number.is_finite():
                        raise ValueError(text)
                    return number
                case "xs:dateTime":
                    moment = datetime.fromisoformat(text.strip())
                    # Without a zone it is Pacific time ("SOAP Web Services and Dates").
                    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=_PACIFIC).astimezone(UTC)
        except (ValueError, KeyError, InvalidOperation):
            raise SchemaError(f"{text[:40]!r} is no {name.partition(':')[2]} ({what})") from None
        raise SchemaError(f"{what} is of the type {name}, which is not read here")

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(self, prefixed: str, declared: str, value: Value) -> str:
        """The element as text; None gives nothing."""
        if value is None:
            return ""
        if isinstance(value, Written):
            return value
        found = self.types.get(declared)
        if not isinstance(found, ComplexType):
            return f"<{prefixed}>{_text(value)}</{prefixed}>"
        head = f"<{prefixed}"
        named = value.get("@type")
        if named is not None:
            found = self.complex_type(named)
            head += f' xsi:type="{named}"'
        for name, _ in found.attributes:
            if value.get(name) is not None:
                head += f" {name}={quoteattr(_text(value[name], is_raw=True))}"
        parts: list[str] = []
        for field in found.fields:
            part = value.get(field.name)
            if part is None:
                continue
            if field.is_list:
                parts += [self.write(field.prefixed, field.type, item) for item in part]
            else:
                parts.append(self.write(field.prefixed, field.type, part))
        return f"{head}>{''.join(parts)}</{prefixed}>" if parts else f"{head}/>"

    # -- the tables --------------------------------------------------------------------------------------------------

    def _make(self, name: str) -> ComplexType | SimpleType:
        if name in self.types:
            return self.types[name]
        node, prefix = self._nodes[name]
        if node.name[1] == "simpleType":
            restriction = node.find("restriction")
            assert restriction is not None
            values = frozenset(one.attributes["value"] for one in restriction.children)
            self.types[name] = SimpleType(name, values)
            return self.types[name]
        content = node.find("complexContent") or node.find("simpleContent")
        extension = None if content is None else content.find("extension")
        inherited: tuple[Field, ...] = ()
        attributes: tuple[tuple[str, str], ...] = ()
        bases: frozenset[str] = frozenset()
        text = None
        if extension is not None:
            base = extension.attributes["base"]
            if base.startswith("xs:"):
                text = base
            else:
                parent = self._make(base)
                assert isinstance(parent, ComplexType)
                inherited, attributes, bases = parent.fields, parent.attributes, parent.bases | {base}
        inside = extension or node
        sequence = inside.find("sequence")
        own = () if sequence is None else tuple(self._field(one, prefix) for one in sequence.children)
        attributes += tuple(
            (one.attributes["name"], one.attributes["type"]) for one in inside.children if one.name[1] == "attribute"
        )
        is_abstract = node.attributes.get("abstract") == "true"
        made = ComplexType(name, inherited + own, attributes, is_abstract, bases, text)
        self.types[name] = made
        return made

    def _field(self, node: Node, prefix: str) -> Field:
        given = node.attributes
        if "ref" in given:
            prefix, _, name = given["ref"].partition(":")
            type_name = self.elements[given["ref"]]
        else:
            name, type_name = given["name"], given["type"]
        return Field(
            name,
            (self.namespaces[prefix], name),
            f"{prefix}:{name}",
            type_name,
            given.get("minOccurs") != "0",
            given.get("maxOccurs") == "unbounded",
        )


def _text(value: Value, *, is_raw: bool = False) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return double_text(value)
    if isinstance(value, datetime):
        return moment_text(value)
    text = str(value)
    return text if is_raw else escape(text)


def double_text(value: Decimal) -> str:
    """As Java writes a double: at least one decimal, an exponent for large and for small ones (`5.0`, `1.25E7`)."""
    text = number_text(value)
    if value and not Decimal("0.001") <= abs(value) < 10_000_000:
        digits, exponent = value.normalize().as_tuple().digits, value.adjusted()
        head, tail = str(digits[0]), "".join(map(str, digits[1:])) or "0"
        return f"{'-' if value < 0 else ''}{head}.{tail}E{exponent}"
    return text if "." in text else f"{text}.0"


def moment_text(value: datetime) -> str:
    """With milliseconds and the offset of Pacific standard time: `2026-03-01T04:00:00.000-08:00`."""
    return value.astimezone(_PACIFIC).isoformat(timespec="milliseconds")


def load() -> Schema:
    """The contract of this package. Raises ValueError when the file is damaged."""
    return Schema(WSDL.read_bytes())
