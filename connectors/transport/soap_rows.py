"""Large SOAP list replies, read by a table made once from the WSDL's types.

zeep describes the types; this module turns a type into a table of field -> conversion and reads the rows of a reply
with lxml directly, several times as fast as zeep's own objects. The values are those of zeep's `serialize_object`,
with three differences, all on the side of not guessing: xsd:double and xsd:float become Decimal (never float); a value
that its type does not allow makes the row unreadable (zeep makes it None, and an unknown boolean False); an element
that may come once and comes twice makes the row unreadable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import zeep.exceptions
from lxml import etree
from zeep.helpers import serialize_object
from zeep.xsd import ComplexType, Element
from zeep.xsd.elements import All, Choice, Sequence
from zeep.xsd.types import builtins
from zeep.xsd.types.simple import AnySimpleType

from connectors.envelopes import UnreadableRecord
from crm_core.errors import ConfigurationFault, ProtocolViolation

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

# zeep says that it is typed, and is not where it matters.
_serialize: Any = serialize_object

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
UNKNOWN_TYPE = (zeep.exceptions.LookupError, zeep.exceptions.NamespaceError)
"""What zeep raises for a type that the WSDL has not got: the name, or its whole namespace, is unknown."""

_STRICTER = (ValueError, TypeError, ArithmeticError, KeyError)


def safe_parser() -> etree.XMLParser:
    """A parser that resolves no entities and fetches nothing. Its input is bounded by the transport's size bound."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )


def parse_safely(body: bytes) -> etree._Element:
    """The root element. Raises ProtocolViolation for what is no XML, and for any document type declaration."""
    try:
        root = etree.fromstring(body, safe_parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ProtocolViolation(f"the answer is not XML: {line[:200]}") from None
    if _docinfo(root).doctype:
        raise ProtocolViolation("the answer has a document type declaration, which is not allowed")
    return root


def _docinfo(root: etree._Element) -> Any:
    return root.getroottree().docinfo


@dataclass(frozen=True, slots=True)
class TypedRows:
    """The rows of a reply, and the reply without them (for zeep: status, totals, faults)."""

    rows: list[Any]
    unreadable: list[UnreadableRecord]
    rest: etree._Element


Read = Callable[[etree._Element, bool], Any]


class RowReader:
    """Reads elements of one declared type, and of types that xsi:type names in their place.

    schema: of a zeep client (`client.wsdl.types`). type_name: `{namespace}Name`. type_key: a field that shall hold the
    name of a row's xsi:type (without namespace) where it has one; None = no such field.
    """

    def __init__(self, schema: Any, type_name: str, *, type_key: str | None = None) -> None:
        self._schema, self._type_key = schema, type_key
        self._readers: dict[int, Read] = {}
        self._named: dict[str, Read | None] = {}
        try:
            self._declared_type = schema.get_type(etree.QName(type_name))
        except (*UNKNOWN_TYPE, ValueError) as error:
            raise ConfigurationFault(f"the WSDL has no type {type_name!r}") from error
        self._declared = self._reader(self._declared_type)

    def row(self, node: etree._Element, *, has_types: bool = True) -> Any:
        """The value of one row. has_types: False promises that no xsi:type is in it. Raises ValueError."""
        try:
            named = node.get(XSI_TYPE) if has_types else None
            read = self._declared if named is None else self._of_xsi_type(node, named) or self._declared
            value = read(node, has_types)
        except _STRICTER as error:
            raise ValueError(f"a value that its type does not allow: {error!r}") from error
        if self._type_key is not None and named is not None and isinstance(value, dict):
            value[self._type_key] = str(named).rpartition(":")[2]
        return value

    def _of_xsi_type(self, node: etree._Element, named: str) -> Read | None:
        prefix, _, local = named.rpartition(":")
        qualified = f"{{{node.nsmap.get(prefix or None)}}}{local}"
        if qualified not in self._named:
            try:
                found = self._schema.get_type(etree.QName(qualified), fail_silently=True)
            except UNKNOWN_TYPE as error:
                raise ValueError(f"the WSDL has no type {local!r}") from error
            self._named[qualified] = None if found is None else self._reader(found)
        return self._named[qualified]

    def _reader(self, xsd_type: Any) -> Read:
        """The reader of a type; made once, so that a type may hold itself."""
        key = id(xsd_type)
        if key not in self._readers:
            self._readers[key] = lambda node, typed: self._readers[key](node, typed)
            self._readers[key] = self._made(xsd_type)
        return self._readers[key]

    def _made(self, xsd_type: Any) -> Read:
        if isinstance(xsd_type, AnySimpleType):
            convert = converter(xsd_type)
            return lambda node, typed: None if node.text is None else convert(node.text)
        if isinstance(xsd_type, ComplexType) and _is_plain(xsd_type):
            return self._complex_reader(xsd_type)
        # Wildcards, arrays, simple content, repeated groups: rare enough to be left to zeep.
        schema = self._schema
        return lambda node, typed: _serialize(xsd_type.parse_xmlelement(node, schema, allow_none=True), target_cls=dict)

    def _complex_reader(self, xsd_type: Any) -> Read:
        template: dict[str, Any] = {}
        lists: list[str] = []
        table: dict[str, _Field] = {}
        by_local_name: dict[str, _Field] = {}
        for name, element in xsd_type.elements:
            template[name] = None
            # An xsi:type on a simple type can only name a restriction of it, which reads the same.
            is_simple = isinstance(element.type, AnySimpleType) and type(element.type) is not AnySimpleType
            if element.accepts_multiple:
                lists.append(name)
            if is_simple and not element.accepts_multiple:
                convert = converter(element.type)
                field: _Field = (name, None if convert is str else convert, None, False)
            else:
                field = (name, None, self._reader(element.type), bool(element.accepts_multiple))
            table[element.qname.text] = by_local_name[element.qname.localname] = field
        attributes = [(a.qname.text, name, converter(a.type)) for name, a in xsd_type.attributes]
        for _, name, _ in attributes:
            template[name] = None
        is_empty = not template
        of_xsi_type = self._of_xsi_type

        def read_complex(node: etree._Element, typed: bool) -> Any:
            if is_empty:
                return None
            row = template.copy()
            for name in lists:
                row[name] = []
            child = None
            for child in node:
                try:
                    name, convert, read, is_list = table[child.tag]
                except KeyError:
                    # zeep compares local names alone: some servers forget the namespace.
                    field = by_local_name.get(_local_name(child), _UNKNOWN)
                    name, convert, read, is_list = table[child.tag] = field
                if read is None:
                    text = child.text
                    if text is not None and name:
                        if row[name] is not None:
                            raise ValueError(f"{name} comes twice")
                        row[name] = text if convert is None else convert(text)
                    continue
                if typed and (named := child.get(XSI_TYPE)) is not None:
                    read = of_xsi_type(child, named) or read
                value = read(child, typed)
                if is_list:
                    row[name].append(value)
                elif row[name] is None:
                    row[name] = value
                else:
                    raise ValueError(f"{name} comes twice")
            if child is None and not node.attrib:
                return None
            for attribute, name, convert in attributes:
                text = node.get(attribute)
                if text is not None:
                    row[name] = convert(text)
            return row

        return read_complex


_Field = tuple[str, Callable[[str], Any] | None, "Read | None", bool]
"""(our name, conversion of its text or None = as it is, reader where it is no single simple value, comes as a list)."""

_UNKNOWN: _Field = ("", None, None, False)


def typed_rows(body: bytes, path: str, reader: RowReader) -> TypedRows:
    """The rows of a reply.

    path: local names from the SOAP body down to the row, e.g. `searchResponse/searchResult/recordList/record`.
    Raises ProtocolViolation when the body is no XML; a row that cannot be read comes out as UnreadableRecord.
    """
    return cut_rows(parse_safely(body), path, reader, has_types=b":type=" in body)


def cut_rows(root: etree._Element, path: str, reader: RowReader, *, has_types: bool) -> TypedRows:
    """The same for a parsed reply; takes the rows out of the tree."""
    *steps, row_name = ["Body", *path.split("/")]
    parents = [root]
    for step in steps:
        parents = [child for parent in parents for child in parent if _local_name(child) == step]
    rows: list[Any] = []
    unreadable: list[UnreadableRecord] = []
    read = reader.row
    for parent in parents:
        nodes = [child for child in parent if _local_name(child) == row_name]
        for node in nodes:
            try:
                rows.append(read(node, has_types=has_types))
            except ValueError as error:
                unreadable.append(UnreadableRecord(etree.tostring(node), str(error)))
        if len(nodes) == len(parent):
            del parent[:]
        else:
            for node in nodes:
                parent.remove(node)
    return TypedRows(rows, unreadable, root)


def converter(xsd_type: Any) -> Callable[[str], Any]:
    """The conversion of a simple type's text; it raises one of _STRICTER for what the type does not allow."""
    slow: Callable[[str], Any] = xsd_type.pythonvalue
    if isinstance(xsd_type, builtins.Boolean):
        return _boolean
    if isinstance(xsd_type, builtins.Integer):  # a kind of Decimal in zeep, as in XSD
        return int
    if isinstance(xsd_type, builtins.Decimal | builtins.Double | builtins.Float):
        return _number
    if isinstance(xsd_type, builtins.DateTime):
        return _fast_or_slow(datetime.fromisoformat, slow)
    if isinstance(xsd_type, builtins.Date):
        return _fast_or_slow(date.fromisoformat, slow)
    if type(xsd_type).pythonvalue is builtins.String.pythonvalue:
        return str
    return slow


def _boolean(text: str) -> bool:
    found = _BOOLEANS.get(text)
    return _BOOLEANS[text.strip()] if found is None else found


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is no number")
    return value


def _fast_or_slow(fast: Callable[[str], Any], slow: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return fast(text)
        except ValueError:
            return slow(text)

    return convert


def _is_plain(xsd_type: Any) -> bool:
    """Only single groups of named elements with different names, and named attributes of simple types."""
    if xsd_type._array_type is not None:
        return False
    if any(attribute.name is None for _, attribute in xsd_type.attributes):
        return False
    if not all(_is_plain_group(group) for _, group in xsd_type.elements_nested):
        return False
    names = [element.qname.localname for _, element in xsd_type.elements]
    return len(set(names)) == len(names)


def _is_plain_group(group: Any) -> bool:
    if not isinstance(group, Sequence | All | Choice) or group.accepts_multiple:
        return False
    return all(isinstance(part, Element) or _is_plain_group(part) for part in group)


def _local_name(node: etree._Element) -> str:
    return node.tag.rpartition("}")[2]
