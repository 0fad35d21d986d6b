"""Mapping documents: read from YAML, `extends` resolved. The one file of this package that opens files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from connectors.registry import connector_names, get_connector
from crm_core.errors import ConfigurationFault, MappingDocumentFault, did_you_mean
from crm_core.ids import EntityType
from mappings.rules import Place, Rule, map_content, parse_rule, read_codes
from mappings.yaml_nodes import Node, read_yaml

SEMANTICS = 1
"""Raised when the compiler gives another result for the same document: every mapping's version changes with it."""

DEFAULTS = Path(__file__).parent / "defaults"
PUSH_FOLDER = "push"
_KEYS = ("entity", "connector", "direction", "extends", "match", "fields", "value_maps", "examples", "note")
_EXAMPLE_KEYS = ("name", "given", "references", "expect", "expect_error")
_MAX_BYTES = 2_000_000


class Direction(StrEnum):
    """Which way a document maps."""

    PULL = "pull"
    """Their record becomes our entity."""
    PUSH = "push"
    """Our entity becomes their record."""


@dataclass(frozen=True, slots=True)
class Example:
    """A record and what must come out of it (or which error).

    references: per entity, for a pull the external id (or `?field=value`) -> CRM id, for a push the CRM id -> external
    id, or an object of `id` and CRM fields. expect: field -> value, as data. expect_error: (field, text that the error
    contains).
    """

    name: str
    place: Place
    given: dict[str, Any]
    references: Mapping[EntityType, Mapping[str, Any]]
    expect: Mapping[str, Any] | None
    expect_error: tuple[str, str] | None


@dataclass(frozen=True)
class Document:
    """A mapping document with what it extends already in it. Every rule knows its own file and line."""

    entity: EntityType
    connector: str
    direction: Direction
    place: Place
    match: tuple[str, ...]
    match_place: Place
    rules: Mapping[str, Rule]
    value_maps: Mapping[str, Mapping[str, Node]]
    examples: tuple[Example, ...]
    files: tuple[str, ...]

    @cached_property
    def version(self) -> str:
        """12 hex digits of the resolved content: rules, value maps and match; not examples, notes or where it lies."""
        content = {
            "semantics": SEMANTICS,
            "entity": self.entity,
            "connector": self.connector,
            "match": self.match,
            "rules": {name: self.rules[name].content() for name in sorted(self.rules)},
            "value_maps": {name: map_content(self.value_maps[name]) for name in sorted(self.value_maps)},
        }
        if self.direction is Direction.PUSH:
            content["direction"] = self.direction
        encoded = msgspec.json.encode(content, order="deterministic")
        return hashlib.blake2b(encoded, digest_size=6).hexdigest()


def shipped_folder(connector: str) -> Path | None:
    """Where the mappings lie that come with a connector: here for ours, with it for a third party's; None for none."""
    if (DEFAULTS / connector).is_dir():
        return DEFAULTS / connector
    return get_connector(connector).manifest.mappings if connector in connector_names() else None


def default_document(connector: str, entity: EntityType, direction: Direction = Direction.PULL) -> Path:
    """The shipped mapping of a connector's entity. Raises ConfigurationFault when there is none."""
    folder = shipped_folder(connector)
    if folder is None:
        folders = sorted(path.name for path in DEFAULTS.iterdir() if path.is_dir())
        raise ConfigurationFault(
            f"no mappings are shipped for connector {connector!r}{did_you_mean(connector, folders)}"
        )
    if direction is Direction.PUSH:
        folder /= PUSH_FOLDER
    path = folder / f"{entity.value}.yaml"
    if path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    what = "push mapping" if direction is Direction.PUSH else "mapping"
    raise ConfigurationFault(f"no {what} of {entity.value!r} is shipped for connector {connector!r}; shipped: {known}")


def load_document(source: Path | str, *, file: str = "<text>", base_dirs: Sequence[Path] = ()) -> Document:
    """A document from a file (Path) or from YAML text (str), with everything that it extends.

    file: the name that errors show for a text. base_dirs: where a relative `extends` is looked for, after the
    document's own folder. Raises MappingDocumentFault with file and line.
    """
    return _load(source, file, tuple(base_dirs), ())


def _load(source: Path | str, file: str, base_dirs: tuple[Path, ...], seen: tuple[Path, ...]) -> Document:
    if isinstance(source, Path):
        file, text = str(source), _read(source)
        base_dirs = (source.parent, *(folder for folder in base_dirs if folder != source.parent))
        seen = (*seen, source.resolve())
    else:
        text = source
    root = read_yaml(text, file)
    keys = _mapping(root, file, "a mapping document")
    for key in keys:
        if key not in _KEYS:
            raise Place(file, root.line_of(key)).fault(f"unknown key {key!r} in a document{did_you_mean(key, _KEYS)}")
    parent = _parent(root, keys, file, base_dirs, seen)
    entity = _entity(root, keys, file, parent)
    connector = _connector(root, keys, file, parent)
    direction = _direction(root, keys, file, parent)
    match_place = Place(file, root.line_of("match")) if "match" in keys or parent is None else parent.match_place
    return Document(
        entity=entity,
        connector=connector,
        direction=direction,
        place=Place(file, root.line),
        match=_match(keys["match"], file) if "match" in keys else parent.match if parent else (),
        match_place=match_place,
        rules=_rules(keys.get("fields"), file, parent),
        value_maps=_value_maps(keys.get("value_maps"), file, parent),
        examples=_examples(keys.get("examples"), file, direction),
        files=(file, *(parent.files if parent else ())),
    )


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MappingDocumentFault(f"cannot be read: {error.strerror or error}", file=str(path)) from error
    if len(content) > _MAX_BYTES:
        raise MappingDocumentFault("is larger than 2 MB", file=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MappingDocumentFault("is not UTF-8", file=str(path), line=line) from error


def _mapping(node: Node, file: str, what: str) -> dict[str, Node]:
    if not isinstance(node.content, dict):
        raise Place(file, node.line).fault(f"{what} must be a mapping of names to values")
    return node.content


def _parent(
    root: Node, keys: Mapping[str, Node], file: str, base_dirs: tuple[Path, ...], seen: tuple[Path, ...]
) -> Document | None:
    if "extends" not in keys:
        return None
    place = Place(file, root.line_of("extends"))
    target = keys["extends"].as_text()
    if not target:
        raise place.fault("`extends` is `default` or a relative file")
    if target == "default":
        if "entity" not in keys or "connector" not in keys:
            raise place.fault("`extends: default` needs `entity` and `connector`")
        try:
            path = default_document(
                _connector(root, keys, file, None),
                _entity(root, keys, file, None),
                _direction(root, keys, file, None),
            )
        except MappingDocumentFault:
            raise
        except ConfigurationFault as error:
            raise place.fault(str(error)) from error
    else:
        found = [folder / target for folder in base_dirs if (folder / target).is_file()]
        if not found:
            raise place.fault(f"`extends`: there is no file {target!r} beside this one")
        path = found[0]
    if path.resolve() in seen:
        chain = " -> ".join(step.name for step in (*seen, path))
        raise place.fault(f"`extends` goes in a circle: {chain}")
    return _load(path, "", base_dirs, seen)


def _entity(root: Node, keys: Mapping[str, Node], file: str, parent: Document | None) -> EntityType:
    if "entity" not in keys:
        if parent is None:
            raise Place(file, root.line).fault(f"`entity` is missing; one of {', '.join(EntityType)}")
        return parent.entity
    place, word = Place(file, root.line_of("entity")), keys["entity"].as_text() or ""
    if word not in tuple(EntityType):
        raise place.fault(f"there is no entity {word!r}{did_you_mean(word, [entity.value for entity in EntityType])}")
    if parent is not None and parent.entity != word:
        raise place.fault(f"a mapping of {word} cannot extend one of {parent.entity.value} ({parent.place.file})")
    return EntityType(word)


def _connector(root: Node, keys: Mapping[str, Node], file: str, parent: Document | None) -> str:
    if "connector" not in keys:
        if parent is None:
            raise Place(file, root.line).fault("`connector` is missing")
        return parent.connector
    place, word = Place(file, root.line_of("connector")), keys["connector"].as_text()
    if not word or not word.replace("_", "").isalnum():
        raise place.fault("`connector` is the name of a connector, e.g. `tryton`")
    if parent is not None and parent.connector != word:
        raise place.fault(f"a mapping for {word} cannot extend one for {parent.connector} ({parent.place.file})")
    return word


def _direction(root: Node, keys: Mapping[str, Node], file: str, parent: Document | None) -> Direction:
    if "direction" not in keys:
        return parent.direction if parent is not None else Direction.PULL
    place, word = Place(file, root.line_of("direction")), keys["direction"].as_text() or ""
    if word not in tuple(Direction):
        raise place.fault(f"`direction` is one of {', '.join(Direction)}, not {word!r}")
    if parent is not None and parent.direction != word:
        raise place.fault(f"a {word} mapping cannot extend a {parent.direction} mapping ({parent.place.file})")
    return Direction(word)


def _match(node: Node, file: str) -> tuple[str, ...]:
    names = [item.as_text() for item in node.content] if isinstance(node.content, list) else [None]
    if None in names or len(set(names)) < len(names):
        raise Place(file, node.line).fault("`match` is a list of CRM fields, each once, the strongest first")
    return tuple(name for name in names if name)


def _rules(node: Node | None, file: str, parent: Document | None) -> dict[str, Rule]:
    rules = dict(parent.rules) if parent else {}
    if node is None:
        return rules
    for name, child in _mapping(node, file, "`fields`").items():
        place = Place(file, node.line_of(name))
        if not child.is_null:
            rules[name] = parse_rule(name, child, place)
        elif name in rules:
            del rules[name]
        elif parent is None:
            raise place.fault(f"{name}: `null` removes an inherited rule, and this document extends none")
        else:
            raise place.fault(f"{name}: there is no inherited rule to remove{did_you_mean(name, rules)}")
    return rules


def _value_maps(node: Node | None, file: str, parent: Document | None) -> dict[str, Mapping[str, Node]]:
    maps = dict(parent.value_maps) if parent else {}
    if node is not None:
        for name, child in _mapping(node, file, "`value_maps`").items():
            maps[name] = {**maps.get(name, {}), **read_codes(name, child, file)}
    return maps


def _examples(node: Node | None, file: str, direction: Direction) -> tuple[Example, ...]:
    if node is None:
        return ()
    if not isinstance(node.content, list):
        raise Place(file, node.line).fault("`examples` is a list")
    return tuple(_example(item, file, number, direction) for number, item in enumerate(node.content, 1))


def _example(node: Node, file: str, number: int, direction: Direction) -> Example:
    place, keys = Place(file, node.line), _mapping(node, file, "an example")
    for key in keys:
        if key not in _EXAMPLE_KEYS:
            raise Place(file, node.line_of(key)).fault(
                f"unknown key {key!r} in an example{did_you_mean(key, _EXAMPLE_KEYS)}"
            )
    if "given" not in keys or ("expect" in keys) == ("expect_error" in keys):
        raise place.fault("an example has `given` and one of `expect`, `expect_error`")
    references: dict[EntityType, dict[str, Any]] = {}
    for name, ids in _mapping(keys["references"], file, "`references`").items() if "references" in keys else ():
        line = keys["references"].line_of(name)
        if name not in tuple(EntityType):
            raise Place(file, line).fault(
                f"there is no entity {name!r}{did_you_mean(name, [entity.value for entity in EntityType])}"
            )
        _mapping(ids, file, "`references`")
        references[EntityType(name)] = ids.as_data()
        told = references[EntityType(name)]
        if direction is Direction.PULL and any(type(number) is not int for number in told.values()):
            raise Place(file, line).fault("`references` gives whole numbers for external ids")
    error: tuple[str, str] | None = None
    if "expect_error" in keys:
        said = _mapping(keys["expect_error"], file, "`expect_error`")
        if set(said) - {"field", "contains"} or "field" not in said:
            raise Place(file, node.line_of("expect_error")).fault("`expect_error` has `field` and perhaps `contains`")
        error = (said["field"].as_text() or "", (said["contains"].as_text() or "") if "contains" in said else "")
    expect = _mapping(keys["expect"], file, "`expect`") and keys["expect"].as_data() if "expect" in keys else None
    name = (keys["name"].as_text() if "name" in keys else None) or f"example {number}"
    _mapping(keys["given"], file, "`given`")
    return Example(name, place, keys["given"].as_data(), references, expect, error)
