"""What an entity set is: properties, key, navigations, and what may be written of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulators.sap_s4hana.values import Kind, Property, Value, Values

Key = tuple[object, ...]
"""The values of an entity's key in the order of its properties, as they are compared."""


@dataclass(frozen=True, slots=True)
class Navigation:
    """From a row to the rows of `target` whose properties hold its own: {theirs: ours}. many: a list, else one or
    nothing.
    """

    target: str
    link: Mapping[str, str]
    many: bool


@dataclass(frozen=True, slots=True)
class EntitySet:
    """read_only: properties that a client never writes; the keys of parents are in the address. may: the methods that
    it takes beside GET. etag: the property that versions are made of. indexed: properties that are often searched for.
    """

    service: str
    name: str
    properties: Mapping[str, Property]
    key: tuple[str, ...]
    navigations: Mapping[str, Navigation] = field(default_factory=dict)
    read_only: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    etag: str | None = None
    indexed: tuple[tuple[str, ...], ...] = ()

    @property
    def entity_type(self) -> str:
        """With its namespace, as `__metadata` tells it."""
        return f"{self.service}.{self.name}Type"

    def blank(self) -> dict[str, Value]:
        """All properties with nothing in them."""
        return {name: one.blank for name, one in self.properties.items()}

    def key_of(self, values: Values) -> Key:
        """The key of a row."""
        properties = self.properties
        return tuple([properties[name].sort_value(values[name]) for name in self.key])


_WORDS = {"flag": Kind.FLAG, "day": Kind.DAY, "moment": Kind.MOMENT, "time": Kind.TIME, "text": Kind.TEXT}


def properties(text: str, *, alpha: str = "") -> dict[str, Property]:
    """`Product:40 GrossWeight:13.3 LastChangeDateTime:moment`: a length, precision.scale, or a word. alpha: names of
    those that are stored with leading zeros.
    """
    padded = set(alpha.split())
    found: dict[str, Property] = {}
    for entry in text.split():
        name, _, word = entry.partition(":")
        if word in _WORDS:
            found[name] = Property(_WORDS[word])
        elif "." in word:
            precision, scale = word.split(".")
            found[name] = Property(Kind.NUMBER, precision=int(precision), scale=int(scale))
        else:
            found[name] = Property(Kind.TEXT, length=int(word), is_alpha=name in padded)
    return found


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def many(target: str, *link: str) -> Navigation:
    """A list of rows with the same values; `their=our` where the names differ."""
    return Navigation(target, _link(link), many=True)


def one(target: str, *link: str) -> Navigation:
    """One row with the same values, or nothing."""
    return Navigation(target, _link(link), many=False)


def _link(link: Iterable[str]) -> dict[str, str]:
    return {theirs: ours or theirs for theirs, _, ours in (entry.partition("=") for entry in link)}
