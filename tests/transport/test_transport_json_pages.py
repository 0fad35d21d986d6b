"""Pages are cut into records without parsing them, and nothing is lost or guessed on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.transport.json_pages import decode, encode, page_reader
from crm_core.errors import ProtocolViolation


def test_numbers_keep_all_their_digits() -> None:
    """A price of 20 digits must not be rounded on its way in."""
    got = decode(b'{"a": 0.10, "b": 12345678901234567890.12345, "c": 123456789012345678901234567890, "d": 1E5}')
    assert got == {
        "a": Decimal("0.10"),
        "b": Decimal("12345678901234567890.12345"),
        "c": 123456789012345678901234567890,
        "d": Decimal("1E+5"),
    }
    assert str(got["a"]) == "0.10"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": NaN}', "JSON is malformed: invalid character (byte 6)"),
        (b"[1, Infinity]", "JSON is malformed: invalid character (byte 4)"),
        (b"[1, -Infinity]", "JSON is malformed"),
        (b'{"value": [{"id": 1}', "ends too early (byte 20)"),
        (b"", "ends too early (byte 0)"),
        (b'{"a": "\xff"}', "invalid UTF-8 (byte 7)"),
        (b"<html></html>", "invalid character (byte 0)"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_told_in_one_line_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(body, operation="GET items")
    assert str(caught.value).startswith("GET items: the answer is not JSON: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_reason_to_stop() -> None:
    assert decode(b"\xef\xbb\xbf[1.5]") == [Decimal("1.5")]
    assert page_reader(None, "id")(b'\xef\xbb\xbf[{"id": 1}]').records[0].external_id == "1"


def test_what_goes_out_keeps_its_digits_and_its_moment() -> None:
    moment = datetime(2026, 11, 22, 5, 30, tzinfo=timezone(timedelta(hours=2)))
    value = {"p": Decimal("12345678901234567890.10"), "t": moment, "d": date(2026, 1, 2), "n": None, "l": (1, True)}
    assert encode(value) == (
        b'{"p":12345678901234567890.10,"t":"2026-11-22T03:30:00Z","d":"2026-01-02","n":null,"l":[1,true]}'
    )
    assert encode(UUID(int=5)) == b'"00000000-0000-0000-0000-000000000005"'


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), float("nan"), float("inf")])
def test_what_has_no_form_in_json_is_not_sent_as_null(value: Any) -> None:
    with pytest.raises(ValueError, match="no form in JSON"):
        encode({"limit": [value]})


def test_a_moment_without_a_zone_is_not_sent() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        encode({"at": datetime(2026, 1, 1)})  # noqa: DTZ001
    with pytest.raises(TypeError, match="object has no form"):
        encode(object())


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_decimal_comes_back_as_it_went(value: Decimal) -> None:
    assert decode(encode(value)) == value


READER = page_reader(
    "value", "id", version_key="@odata.etag", modified_key="lastModifiedDateTime", next_key="@odata.nextLink"
)


def test_a_page_is_cut_and_its_records_are_the_very_bytes() -> None:
    first = b'{ "@odata.etag": "W/1", "id": "a", "price": 1.50, "lastModifiedDateTime": "2026-11-22T03:55:17.5Z" }'
    second = b'{"id": 7, "lastModifiedDateTime": "2026-11-22T03:55:17Z", "more": {"id": "x"}}'
    body = b'{"@odata.context": "c", "value": [' + first + b", " + second + b'], "@odata.nextLink": "http://h/n"}'
    cut = READER(body)
    assert [(r.external_id, bytes(r.payload), r.version) for r in cut.records] == [
        ("a", first, "W/1"),
        ("7", second, None),
    ]
    assert cut.next_link == "http://h/n"
    assert cut.highest_modified == datetime(2026, 11, 22, 3, 55, 17, 500000, tzinfo=UTC)
    assert (cut.row_count, cut.unreadable, cut.notes) == (2, [], ())


def test_the_last_page_names_no_next_one() -> None:
    for body in (b'{"value": []}', b'{"value": [], "@odata.nextLink": null}', b'{"value":[],"@odata.nextLink":""}'):
        cut = READER(body)
        assert (cut.records, cut.next_link, cut.highest_modified, cut.row_count) == ([], None, None, 0)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"number": "A"}', "the record has no 'id'"),
        (b'{"id": null}', "the record has an empty 'id'"),
        (b'{"id": ""}', "the record has an empty 'id'"),
        (b'{"id": true}', "the record has no usable 'id'"),
        (b'{"id": 1.5}', "the record has no usable 'id'"),
        (b'{"id": {"a": 1}}', "the record has no usable 'id'"),
        (b"null", "the record is no JSON object"),
        (b"[1]", "the record is no JSON object"),
        (b'"text"', "the record is no JSON object"),
        (b'{"id": 1, "name": "\xff\xfe"}', "the record is not JSON: invalid UTF-8 (byte 19)"),
    ],
)
def test_one_bad_record_becomes_unreadable_and_the_others_stay(record: bytes, reason: str) -> None:
    cut = READER(b'{"value": [{"id": "a", "name": "\xc3\xa9"},' + record + b',{"id": "z"}]}')
    assert [r.external_id for r in cut.records] == ["a", "z"]
    assert [(u.payload, u.reason) for u in cut.unreadable] == [(record, reason)]
    assert cut.row_count == 3


def test_a_record_whose_time_cannot_be_read_is_kept_and_noted() -> None:
    cut = READER(b'{"value": [{"id": "a", "lastModifiedDateTime": "yesterday", "@odata.etag": "W/2"}]}')
    assert [(r.external_id, r.version) for r in cut.records] == [("a", "W/2")]
    assert cut.highest_modified is None
    assert cut.notes == ("record 'a': its version or modification time cannot be read",)


def test_the_same_record_twice_counts_once_and_the_later_version_wins() -> None:
    same, old, new = b'{"id": 1}', b'{"id": 2, "v": 1}', b'{"id": 2, "v": 2}'
    cut = READER(b'{"value": [' + b",".join([same, old, same, b'{"id": 3}', new]) + b"]}")
    assert [bytes(r.payload) for r in cut.records] == [same, b'{"id": 3}', new]
    assert cut.notes == ("record '2' is in the page twice, with different content",)
    assert cut.row_count == 5


@pytest.mark.parametrize("body", [b"{}", b'{"value": null}', b'{"value": {"id": 1}}', b"[]", b'"x"', b'{"Value": []}'])
def test_a_page_without_its_list_is_told(body: bytes) -> None:
    """It must not read as an empty page: all records would look deleted."""
    with pytest.raises(ProtocolViolation, match="no list of records under 'value'"):
        READER(body)


@pytest.mark.parametrize("body", [b'{"value": [{"id": 1}', b'{"value": [{"id": NaN}]}', b"<html>", b""])
def test_a_page_that_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="is not JSON"):
        READER(body)


def test_other_shapes_a_nested_list_a_bare_list_and_an_object_as_time() -> None:
    nested = page_reader("d.results", "Id", next_key="__next")
    cut = nested(b'{"d": {"results": [{"Id": 1}], "__next": "http://h/2"}}')
    assert ([r.external_id for r in cut.records], cut.next_link) == (["1"], "http://h/2")

    class Instant(msgspec.Struct):
        year: int
        month: int
        day: int
        microsecond: int = 0

    def moment(at: Instant) -> datetime:
        return datetime(at.year, at.month, at.day, microsecond=at.microsecond, tzinfo=UTC)

    bare = page_reader(None, "id", modified_key="write_date", modified_type=Instant, modified_value=moment)
    body = b'[{"id": 1, "write_date": {"__class__": "datetime", "year": 2026, "month": 11, "day": 22}},{"id":2}]'
    assert bare(msgspec.Raw(body)).highest_modified == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_modification_time_without_a_zone_is_told() -> None:
    with pytest.raises(ProtocolViolation, match="has no time zone"):
        READER(b'{"value": [{"id": 1, "lastModifiedDateTime": "2026-11-22T03:55:17"}]}')


@given(st.lists(st.tuples(st.integers(0, 5), st.text(max_size=3)), max_size=12))
def test_whatever_the_page_each_id_comes_out_once_with_its_last_content(rows: list[tuple[int, str]]) -> None:
    cut = READER(encode({"value": [{"id": number, "name": name} for number, name in rows]}))
    assert {r.external_id: decode(r.payload)["name"] for r in cut.records} == {
        str(number): name for number, name in rows
    }
    assert len(cut.records) == len({number for number, _ in rows})
    assert cut.row_count == len(rows)
