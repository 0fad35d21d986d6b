"""XML in and out, by the standard library alone: a tree that keeps what an `xsi:type` means, and escaped text."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

XSI = "http://www.w3.org/2001/XMLSchema-instance"

Name = tuple[str, str]
"""(namespace, local name); the namespace is empty where there is none."""

__all__ = ["XSI", "BadXml", "Name", "Node", "escape", "parse", "quoteattr"]


class BadXml(ValueError):
    """The text is no well-formed XML, or has a document type declaration."""


@dataclass(slots=True)
class Node:
    """One element. type: what its `xsi:type` names, resolved where it stands. attributes: without a namespace only."""

    name: Name
    attributes: dict[str, str]
    type: Name | None = None
    is_nil: bool = False
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def find(self, local: str) -> Node | None:
        """The first child of that local name."""
        return next((child for child in self.children if child.name[1] == local), None)


def parse(body: bytes) -> Node:
    """The root element. Raises BadXml."""
    return _Builder().build(body)


class _Builder:
    def __init__(self) -> None:
        self._scopes: list[dict[str, str]] = [{"": "", "xml": "http://www.w3.org/XML/1998/namespace"}]
        self._open: list[Node] = []
        self._texts: list[list[str]] = []
        self._root: Node | None = None

    def build(self, body: bytes) -> Node:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(body, True)
        except expat.ExpatError as problem:
            raise BadXml(str(problem)) from problem
        assert self._root is not None
        return self._root

    def _start(self, tag: str, given: dict[str, str]) -> None:
        scope = self._scopes[-1]
        declared = {key[6:]: uri for key, uri in given.items() if key == "xmlns" or key.startswith("xmlns:")}
        if declared:
            scope = {**scope, **declared}
        self._scopes.append(scope)
        node = Node(_resolved(tag, scope), {})
        for key, text in given.items():
            if key == "xmlns" or key.startswith("xmlns:"):
                continue
            prefix, colon, local = key.rpartition(":")
            if not colon:
                node.attributes[key] = text
            elif scope.get(prefix) == XSI:
                if local == "type":
                    node.type = _resolved(text.strip(), scope)
                elif local == "nil":
                    node.is_nil = text.strip() in ("true", "1")
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node
        self._open.append(node)
        self._texts.append([])

    def _end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())
        self._scopes.pop()

    def _characters(self, text: str) -> None:
        self._texts[-1].append(text)

    def _refuse(self, *_: object) -> None:
        raise BadXml("a document type declaration is not allowed")


def _resolved(name: str, scope: dict[str, str]) -> Name:
    prefix, _, local = name.rpartition(":")
    if prefix not in scope:
        raise BadXml(f"the prefix {prefix!r} is not declared")
    return scope[prefix], local
