"""Without these, two runs of the benchmark could measure different work, and a wrong store could pass as verified."""

from __future__ import annotations

import hashlib
import json
import statistics
from decimal import Decimal
from pathlib import Path

import pytest

from bench.data import FIELDS, VARIANTS, Totals, Variant, Work, changed_indexes, ensure_pages, pages, totals_after

WORK = Work(records=2_000, page_size=500)


def decoded(variant: Variant, work: Work = WORK) -> list[dict[str, object]]:
    bodies = [json.loads(body, parse_float=Decimal) for body in pages(work, variant)]
    return [record for body in bodies for record in body["value"]]


def test_the_pages_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(b"".join(pages(WORK, "init"))).hexdigest()
    assert digest == "abf7d2c08c5f8151c8c0f25015210c30d023a7181ac3c97af5dc39b99d8ee1bd"


def test_a_record_has_21_fields_and_about_557_bytes() -> None:
    records = decoded("init")
    assert {tuple(record) for record in records} == {FIELDS}
    assert len(FIELDS) == 21
    sizes = [len(body) / 500 for body in pages(WORK, "init")]
    assert statistics.mean(sizes) == pytest.approx(557, abs=10)


def test_identifiers_are_unique() -> None:
    assert len({record["id"] for record in decoded("init")}) == 2_000


def test_number_literals_keep_their_digits() -> None:
    for record in decoded("init"):
        scales = [
            -int(Decimal(str(record[name])).as_tuple().exponent) for name in ("inventory", "unitPrice", "unitCost")
        ]
        assert scales == [3, 2, 4]


def test_each_page_links_to_the_next_and_the_last_to_none() -> None:
    links = [json.loads(body).get("@odata.nextLink") for body in pages(WORK, "init")]
    assert links == ["00001.json", "00002.json", "00003.json", None]


def test_the_second_reading_changes_two_percent_spread_evenly() -> None:
    work = Work(records=2_000)
    changed = [one != other for one, other in zip(decoded("init", work), decoded("second", work), strict=True)]
    assert [sum(changed[:1_000]), sum(changed[1_000:])] == [20, 20]


def test_the_delta_is_exactly_the_changed_records_at_a_newer_state() -> None:
    second = {record["id"]: record for record in decoded("second")}
    first = decoded("init")
    delta = decoded("delta")
    assert [record["id"] for record in delta] == [first[index]["id"] for index in changed_indexes(WORK)]
    for record in delta:
        before = second[record["id"]]
        assert str(record["lastModifiedDateTime"]) > str(before["lastModifiedDateTime"])
        assert record["unitPrice"] != before["unitPrice"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_totals_are_those_of_a_store_that_took_the_pages_in(variant: Variant) -> None:
    store = {record["id"]: record for record in decoded("init")}
    store |= {record["id"]: record for record in decoded(variant)}
    sums = [
        sum(Decimal(str(record[name])) for record in store.values()) for name in ("inventory", "unitPrice", "unitCost")
    ]
    assert totals_after(WORK, variant) == Totals(2_000, *map(Decimal, sums))


def test_pages_are_written_once_and_published_whole(tmp_path: Path) -> None:
    first = ensure_pages(tmp_path, WORK, "delta")
    stamp = (first.folder / "00000.json").stat().st_mtime_ns
    again = ensure_pages(tmp_path, WORK, "delta")
    assert again == first
    assert (again.pages, again.records) == (1, 40)
    assert (again.folder / "00000.json").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [first.folder.name]
    assert ensure_pages(tmp_path, Work(records=1_000, page_size=500), "delta").folder != first.folder


def test_a_folder_without_a_manifest_is_not_taken_for_complete(tmp_path: Path) -> None:
    folder = ensure_pages(tmp_path, WORK, "delta").folder
    (folder / "manifest.json").unlink()
    with pytest.raises(OSError, match="not empty"):
        ensure_pages(tmp_path, WORK, "delta")
