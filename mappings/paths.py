"""Paths into a record: `a.b.c`, `a[0].b`, `a["@odata.etag"]`, `a[type=email].value`, `^.a`, `.`, `#`.

A path is text in a document, checked against the shape of the stream, and then an expression of plain Python.
A name that is missing, and a null on the way, give None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from connectors.shapes import Shape
from crm_core.errors import did_you_mean


class Origin(Enum):
    """Where a path begins."""

    ITEM = "item"
    """The record, or within parts the item."""
    RECORD = "record"
    """`^.`: the outer record."""
    POSITION = "position"
    """`#`: the item's place in its list, from 1."""


@dataclass(frozen=True, slots=True)
class Name:
    """`.key` or `["key"]`."""

    key: str


@dataclass(frozen=True, slots=True)
class Index:
    """`[0]`."""

    number: int


@dataclass(frozen=True, slots=True)
class Where:
    """`[key=value]`: the first item whose field has this text."""

    key: str
    value: str


Step = Name | Index | Where


@dataclass(frozen=True, slots=True)
class Path:
    """A path; its text as written."""

    text: str
    origin: Origin
    steps: tuple[Step, ...]

    def find_in(self, record: Any, item: Any = None, position: int = 0) -> Any:
        """The value there, or None. Shows a person what a rule saw; never raises."""
        if self.origin is Origin.POSITION:
            return position
        value = record if self.origin is Origin.RECORD or item is None else item
        for step in self.steps:
            match step:
                case Name(key):
                    value = value.get(key) if isinstance(value, dict) else None
                case Index(number):
                    value = value[number] if isinstance(value, list) and -len(value) <= number < len(value) else None
                case Where(key, wanted):
                    value = first_where(value, key, wanted) if isinstance(value, list) else None
        return value

    def code(self, *, item: str, must_be_there: bool = False) -> str:
        """This path as a Python expression over the variables `record` and `item` (named so by the caller).

        must_be_there: the expression raises KeyError when the last name is not in the record at all.
        """
        if self.origin is Origin.POSITION:
            return "position"
        text = "record" if self.origin is Origin.RECORD else item
        for place, step in enumerate(self.steps):
            is_last = place == len(self.steps) - 1
            match step:
                case Name(key):
                    holder = text if place == 0 else f"({text} or EMPTY)"
                    text = f"{holder}[{key!r}]" if is_last and must_be_there else f"{holder}.get({key!r})"
                case Index(number):
                    text = f"item_at({text}, {number})"
                case Where(key, value):
                    text = f"first_where({text}, {key!r}, {value!r})"
        if must_be_there and not (self.steps and isinstance(self.steps[-1], Name)):
            text = f"told({text})"
        return text


_NAME = re.compile(r"[^\W\d][\w$-]*|[$@][\w$@-]*")
_BRACKET = re.compile(
    r"""\[\s*(?:
        (?P<index>-?\d{1,6})
        | (?P<quote>["'])(?P<key>.*?)(?P=quote)
        | (?P<name>[^\W\d][\w$-]*)\s*=\s*(?:(?P<q2>["'])(?P<quoted>.*?)(?P=q2)|(?P<bare>[^\]"']*?))
    )\s*\]""",
    re.VERBOSE,
)


def parse_path(text: str) -> Path:
    """Raises ValueError with the place where it stops making sense."""
    if text == "#":
        return Path(text, Origin.POSITION, ())
    if text == ".":
        return Path(text, Origin.ITEM, ())
    origin, at = (Origin.RECORD, 2) if text.startswith("^.") else (Origin.ITEM, 0)
    steps: list[Step] = []
    wants_name = True
    while at < len(text):
        if text[at] == "[":
            found = _BRACKET.match(text, at)
            if found is None:
                raise ValueError(f"path {text!r} makes no sense at {text[at:]!r}")
            steps.append(_bracket(found))
            wants_name = False
        elif text[at] == "." and not wants_name:
            at, wants_name = at + 1, True
            continue
        else:
            found = _NAME.match(text, at) if wants_name else None
            if found is None:
                raise ValueError(f"path {text!r} makes no sense at {text[at:]!r}")
            steps.append(Name(found[0]))
            wants_name = False
        at = found.end()
    if wants_name:
        raise ValueError(f"path {text!r} ends too early" if text else "a path is empty")
    return Path(text, origin, tuple(steps))


def _bracket(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return Index(int(found["index"]))
    if found["key"] is not None:
        return Name(found["key"])
    return Where(found["name"], found["quoted"] if found["quoted"] is not None else found["bare"])


# ------------------------------------------------------------------------------------------------ against a shape

AnyShape = "str | Shape | Sequence[Shape]"
Known = Any
"""What a shape says of one value: a type word, a Shape, or a list of one Shape. Any, since Shape is recursive."""


def shape_at(path: Path, record: Known, item: Known) -> Known:
    """What the shape says about this place. Raises ValueError with the nearest name at the level where it fails."""
    if path.origin is Origin.POSITION:
        return "integer"
    here: Known = record if path.origin is Origin.RECORD else item
    walked = ""
    for step in path.steps:
        if here == "any":
            return "any"
        match step:
            case Name(key):
                if not isinstance(here, Mapping):
                    raise ValueError(  # noqa: TRY004 - the document is wrong, not a type in our code
                        f"path {path.text!r}: {walked or 'this'} is {describe(here)}, it has no {key!r}"
                    )
                if key not in here:
                    where = f" in {walked}" if walked else ""
                    raise ValueError(f"the record has no {key!r}{where}{did_you_mean(key, here)}")
                here, walked = here[key], f"{walked}.{key}" if walked else key
            case Index() | Where():
                if not is_list(here):
                    raise ValueError(f"path {path.text!r}: {walked or 'this'} is {describe(here)}, not a list")
                here = item_shape(here)
                walked += "[]"
                if isinstance(step, Where) and isinstance(here, Mapping) and step.key not in here:
                    raise ValueError(f"the record has no {step.key!r} in {walked}{did_you_mean(step.key, here)}")
    return here


def is_list(known: Known) -> bool:
    return isinstance(known, Sequence) and not isinstance(known, str)


def item_shape(known: Known) -> Known:
    """The shape of a list's items; "any" for a list that says nothing of them."""
    return known[0] if is_list(known) and known else "any"


def describe(known: Known) -> str:
    """`text`, `an object`, `a list`."""
    return known if isinstance(known, str) else "an object" if isinstance(known, Mapping) else "a list"


def with_extra_fields(shape: Shape, extra: Mapping[str, str]) -> Shape:
    """The shape with an integrator's own fields (`ConnectionConfig.extra_fields`: path -> type word) put in.

    Raises ValueError for a path that goes through something that is not an object (or a list of them, `a[0].b`).
    """
    merged: Known = shape
    for text, word in extra.items():
        merged = _put(merged, parse_path(text).steps, word, text)
    result: Shape = merged
    return result


def _put(known: Known, steps: Sequence[Step], word: str, text: str) -> Known:
    if not steps:
        return word
    if known == "any":
        return known
    step, rest = steps[0], steps[1:]
    if isinstance(step, Name):
        if not isinstance(known, Mapping):
            raise ValueError(f"extra field {text!r} goes through {describe(known)}")  # noqa: TRY004 - as above
        return {**known, step.key: _put(known.get(step.key, {}), rest, word, text)}
    if known and not is_list(known):
        raise ValueError(f"extra field {text!r} goes through {describe(known)}")
    return [_put(item_shape(known) if known else {}, rest, word, text)]


# ---------------------------------------------------------------------------------------- when a record is mapped

EMPTY: Mapping[str, Any] = {}


def item_at(value: Any, number: int) -> Any:
    """One item of a list, or None beyond its end. Raises TypeError when it is no list."""
    if value is None:
        return None
    if type(value) is not list:
        raise TypeError("is not a list")
    return value[number] if -len(value) <= number < len(value) else None


def first_where(value: Any, key: str, wanted: str) -> Any:
    """The first item whose field has this text, or None. Raises TypeError when it is no list."""
    if value is None:
        return None
    if type(value) is not list:
        raise TypeError("is not a list")
    for item in value:
        if isinstance(item, dict) and text_of(item.get(key)) == wanted:
            return item
    return None


def first_told(*values: Any) -> Any:
    """The first value that is neither null nor empty text; else the last one."""
    for value in values:
        if value is not None and value != "":
            return value
    return values[-1]


def told(value: Any) -> Any:
    """The value itself. Raises KeyError for None."""
    if value is None:
        raise KeyError
    return value


def text_of(value: Any) -> str | None:
    """The text by which codes are compared: JSON's own words for true, false and numbers; None for null and objects."""
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if value is None or isinstance(value, (dict, list)):
        return None
    return str(value)
