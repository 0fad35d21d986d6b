"""The pages that every participant reads: deterministic, written once, cached by their parameters.

A page is `{"value": [records], "@odata.nextLink": "00001.json"}` in UTF-8; the link is relative and absent on the last
page. A record has 21 fields and about 557 bytes, like an item of an ERP. The shape is ours; its field names are those
of an item in Business Central's API v2.0, so that a reader recognises them. Variants:

- `init`: every record at version 0
- `second`: every record again; 2 % of them, the same number on each page, at version 1
- `delta`: only those 2 %, at version 2 (so each of them differs from both earlier states)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

Variant = Literal["init", "second", "delta"]
VARIANTS: Final[tuple[Variant, ...]] = ("init", "second", "delta")
FORMAT_VERSION = 1  # part of the cache key: raise it when the content of a page changes
CHANGED_EVERY = 50  # 2 % of the records
CHANGED_OFFSET = 7
MASK = (1 << 64) - 1
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)

FIELDS: Final = (
    "id",
    "number",
    "displayName",
    "displayName2",
    "type",
    "itemCategoryCode",
    "blocked",
    "gtin",
    "inventory",
    "unitPrice",
    "priceIncludesTax",
    "unitCost",
    "taxGroupCode",
    "baseUnitOfMeasureCode",
    "salesUnit",
    "postingGroup",
    "vendor",
    "netWeight",
    "leadTime",
    "createdDateTime",
    "lastModifiedDateTime",
)
DECIMAL_FIELDS: Final = ("inventory", "unitPrice", "unitCost", "netWeight")
TIMESTAMP_FIELDS: Final = ("createdDateTime", "lastModifiedDateTime")
BOOLEAN_FIELDS: Final = ("blocked", "priceIncludesTax")
SUMMED_FIELDS: Final = ("inventory", "unitPrice", "unitCost")

CATEGORIES = ("CHAIRS", "DESKS", "LAMPS", "STORAGE", "SUPPLIES", "FABRICS", "FITTINGS", "TOOLS")
MATERIALS = ("oak", "beech", "steel", "walnut", "glass", "recycled plastic", "aluminium", "birch plywood")
THINGS = ("Swivel chair", "Standing desk", "Reading lamp", "Filing cabinet", "Shelf bracket", "Table top", "Hinge set")
UNITS = ("PCS", "BOX", "SET", "PAIR", "KG")


@dataclass(frozen=True)
class Work:
    """How much: `records` in all, `page_size` records on a page."""

    records: int = 200_000
    page_size: int = 1_000

    def __post_init__(self) -> None:
        if self.records < 1 or self.page_size < 1:
            raise ValueError("records and page_size must be at least 1")


@dataclass(frozen=True)
class Totals:
    """What a store must hold: the number of records and the exact sums of three decimal fields."""

    records: int
    inventory: Decimal
    unit_price: Decimal
    unit_cost: Decimal

    def as_json(self) -> dict[str, int | str]:
        return {
            "records": self.records,
            "inventory": str(self.inventory),
            "unitPrice": str(self.unit_price),
            "unitCost": str(self.unit_cost),
        }


@dataclass(frozen=True)
class PageSet:
    """Pages on disk, `folder/00000.json` onwards, and the totals of a store that has taken them all in."""

    folder: Path
    variant: Variant
    pages: int
    records: int
    size_bytes: int
    totals_afterwards: Totals


def changed_indexes(work: Work) -> range:
    """The records that `second` and `delta` change."""
    return range(CHANGED_OFFSET, work.records, CHANGED_EVERY)


def record_indexes(work: Work, variant: Variant) -> range:
    return changed_indexes(work) if variant == "delta" else range(work.records)


def version_of(index: int, variant: Variant) -> int:
    """The version at which record `index` stands in a store that has taken in `variant`."""
    if index % CHANGED_EVERY != CHANGED_OFFSET:
        return 0
    return VARIANTS.index(variant)


def _mixed(value: int) -> int:
    """64 well-spread bits of `value` (the SplitMix64 finaliser), the same on every machine and Python version."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def _amounts(index: int, version: int) -> tuple[int, int, int]:
    """Inventory in 1/1000, unit price in 1/100, unit cost in 1/10000."""
    bits = _mixed(index * 4 + version)
    price = 100 + bits % 9_999_900
    return (bits >> 24) % 5_000_000, price, price * 61 + (bits >> 48) % 100


def _literal(value: int, digits: int) -> str:
    """`value / 10**digits` as a JSON number with all its digits, trailing zeros too."""
    text = f"{value:0{digits + 1}d}"
    return f"{text[:-digits]}.{text[-digits:]}"


def record_json(index: int, version: int) -> str:
    """One record, as the JSON text of a page."""
    bits = _mixed(~index & MASK)
    inventory, price, cost = _amounts(index, version)
    created = EPOCH + timedelta(seconds=index * 13, milliseconds=bits % 1000)
    modified = created if version == 0 else EPOCH + timedelta(days=365 + 30 * version, seconds=index, milliseconds=7)
    material, thing = MATERIALS[bits % 8], THINGS[(bits >> 8) % 7]
    unit, category, tail = UNITS[(bits >> 16) % 5], CATEGORIES[bits >> 20 & 7], bits & 0xFFFF_FFFF_FFFF
    # The identifier grows with the index, like a server's sequential GUIDs; random ones would measure B-tree splits.
    return (
        f'{{"id":"{index:08x}-{bits >> 48:04x}-4{bits >> 36 & 0xFFF:03x}-a{bits >> 24 & 0xFFF:03x}-{tail:012x}",'
        f'"number":"I-{index:08d}","displayName":"{thing}, {material} {index}",'
        f'"displayName2":"{material} {unit.lower()}","type":"Inventory","itemCategoryCode":"{category}",'
        f'"blocked":{"true" if bits % 97 == 0 else "false"},"gtin":"{4_000_000_000_000 + index * 10 + bits % 10}",'
        f'"inventory":{_literal(inventory, 3)},"unitPrice":{_literal(price, 2)},"priceIncludesTax":false,'
        f'"unitCost":{_literal(cost, 4)},"taxGroupCode":"TAX{bits % 3}","baseUnitOfMeasureCode":"{unit}",'
        f'"salesUnit":"{unit}","postingGroup":"RETAIL","vendor":"V{bits % 5000:05d}",'
        f'"netWeight":{_literal(bits % 90_000, 3)},"leadTime":"{bits % 30}D",'
        f'"createdDateTime":"{_timestamp(created)}","lastModifiedDateTime":"{_timestamp(modified)}"}}'
    )


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def pages(work: Work, variant: Variant) -> Iterator[bytes]:
    """The bodies of all pages in order; holds one page at a time."""
    indexes = record_indexes(work, variant)
    count = page_count(work, variant)
    for page in range(count):
        rows = [
            record_json(index, version_of(index, variant))
            for index in indexes[page * work.page_size : (page + 1) * work.page_size]
        ]
        link = f',"@odata.nextLink":"{page_name(page + 1)}"' if page + 1 < count else ""
        yield f'{{"value":[{",".join(rows)}]{link}}}'.encode()


def page_name(page: int) -> str:
    return f"{page:05d}.json"


def page_count(work: Work, variant: Variant) -> int:
    """At least one: a variant without records is one empty page."""
    return max(1, -(-len(record_indexes(work, variant)) // work.page_size))


def totals_after(work: Work, variant: Variant) -> Totals:
    """What a store holds that took in `init` and then, if it is another one, `variant`."""
    inventory = price = cost = 0
    for index in range(work.records):
        one, two, three = _amounts(index, version_of(index, variant))
        inventory += one
        price += two
        cost += three
    return Totals(work.records, Decimal(inventory).scaleb(-3), Decimal(price).scaleb(-2), Decimal(cost).scaleb(-4))


def ensure_pages(root: Path, work: Work, variant: Variant) -> PageSet:
    """The page set below `root`, written now if it is not there yet; complete or absent, never half written."""
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, asdict(work), variant]).encode()).hexdigest()[:16]
    folder = root / f"{variant}-{work.records}-{key}"
    if not (folder / "manifest.json").exists():
        root.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=root))
        try:
            _write(building, work, variant)
            _publish(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return _read_manifest(folder)


def _publish(building: Path, folder: Path) -> None:
    try:
        os.rename(building, folder)
    except OSError:
        if not (folder / "manifest.json").exists():  # otherwise another process was first, with the same bytes
            raise


def _write(folder: Path, work: Work, variant: Variant) -> None:
    size = 0
    for page, body in enumerate(pages(work, variant)):
        (folder / page_name(page)).write_bytes(body)
        size += len(body)
    manifest = {
        "variant": variant,
        "pages": page_count(work, variant),
        "records": len(record_indexes(work, variant)),
        "size_bytes": size,
        "totals_afterwards": totals_after(work, variant).as_json(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _read_manifest(folder: Path) -> PageSet:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    totals = manifest["totals_afterwards"]
    return PageSet(
        folder=folder,
        variant=manifest["variant"],
        pages=manifest["pages"],
        records=manifest["records"],
        size_bytes=manifest["size_bytes"],
        totals_afterwards=Totals(
            totals["records"], Decimal(totals["inventory"]), Decimal(totals["unitPrice"]), Decimal(totals["unitCost"])
        ),
    )
