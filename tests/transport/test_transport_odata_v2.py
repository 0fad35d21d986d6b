"""OData V2: literals that mean one thing, records that a mapping can read, lists to their end, refusals with fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from connectors.config import ConnectionConfig
from connectors.transport.http import HttpClient
from connectors.transport.odata_v2 import (
    CSRF_REFUSED,
    asked,
    entity_of,
    json_date,
    keyed,
    list_pages,
    literal,
    moment_of,
    plain,
    read_refusal,
    rows_of,
    version_of,
)
from crm_core.errors import ProtocolViolation

Reply = Callable[..., bytes]
BANGKOK = timezone(timedelta(hours=7))


def client_of(loopback: Any) -> HttpClient:
    return HttpClient(
        ConnectionConfig(attempts=2), loopback.url + "/sap", refusal_reader=read_refusal, sleep=lambda seconds: None
    )


def page(*ids: str, link: str | None = None) -> bytes:
    return json.dumps({"d": {"results": [{"Id": i} for i in ids], **({"__next": link} if link else {})}}).encode()


# -- on the way out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("O'Neil", "'O''Neil'"),
        ("สวัสดี 😀", "'สวัสดี 😀'"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (Decimal("1.50"), "1.50M"),
        (Decimal("1E+3"), "1000M"),
        (UUID(int=1), "guid'00000000-0000-0000-0000-000000000001'"),
        (date(2026, 1, 31), "datetime'2026-01-31T00:00:00'"),
        (datetime(2026, 1, 31, 10, tzinfo=UTC), "datetimeoffset'2026-01-31T10:00:00Z'"),
        (datetime(2026, 1, 31, 17, 0, 0, 500, tzinfo=BANGKOK), "datetimeoffset'2026-01-31T10:00:00.0005Z'"),
    ],
)
def test_a_literal_says_what_it_means(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize("value", [datetime(2026, 1, 31), Decimal("NaN"), Decimal("Infinity")])  # noqa: DTZ001
def test_a_literal_that_would_mean_nothing_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        literal(value)


def test_keys_and_queries_are_quoted_for_an_address() -> None:
    assert keyed("A_Order", "1/2 ü") == "A_Order('1%2F2%20%C3%BC')"
    assert keyed("A_Item", {"Order": "1", "Item": "10"}) == "A_Item(Order='1',Item='10')"
    assert asked("A_Order", {"$filter": "Name eq 'a&b'", "$top": 5}) == "A_Order?$filter=Name%20eq%20'a%26b'&$top=5"
    assert asked("A_Order", {}) == "A_Order"


def test_days_and_instants_go_out_as_milliseconds() -> None:
    assert json_date(date(2026, 3, 1)) == "/Date(1772323200000)/"
    assert json_date(datetime(2026, 3, 1, 7, 0, 0, 250_000, tzinfo=BANGKOK)) == "/Date(1772323200250+0000)/"
    assert json_date(date(1, 1, 1)) == "/Date(-62135596800000)/"


# -- on the way in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("/Date(1772323200000)/", datetime(2026, 3, 1, tzinfo=UTC)),
        ("/Date(1772323200250+0420)/", datetime(2026, 3, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("/Date(-1)/", datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("/Date(253402300799999)/", datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("/Date(999999999999999)/", None),
        ("2026-03-01", None),
        ("/Date(12a)/", None),
    ],
)
def test_the_milliseconds_count_and_the_minutes_are_only_where_somebody_stood(
    text: str, moment: datetime | None
) -> None:
    assert moment_of(text) == moment


SHAPE = {
    "Id": "text",
    "Amount": "number",
    "Count": "integer",
    "Day": "date",
    "At": "instant",
    "Held": "boolean",
    "to_Item": [{"Quantity": "number"}],
    "to_Head": {"Day": "date"},
}


def test_a_record_loses_its_wrappers_and_keeps_its_exact_values() -> None:
    entity = {
        "__metadata": {"uri": "x", "etag": 'W/"1"'},
        "Id": "00042",
        "Amount": "12345678901234567890.123456789",
        "Count": "0000000007",
        "Day": "/Date(1772323200000)/",
        "At": "/Date(1772323200250+0000)/",
        "Held": False,
        "to_Item": {"results": [{"__metadata": {}, "Quantity": " 1.500"}]},
        "to_Head": {"Day": "/Date(253402214400000)/", "to_Other": {"__deferred": {"uri": "x"}}},
        "to_Nothing": {"__deferred": {"uri": "x"}},
        "to_Missing": None,
    }
    assert plain(entity, SHAPE) == {
        "Id": "00042",
        "Amount": Decimal("12345678901234567890.123456789"),
        "Count": 7,
        "Day": "2026-03-01",
        "At": "2026-03-01T00:00:00.250Z",
        "Held": False,
        "to_Item": [{"Quantity": Decimal("1.500")}],
        "to_Head": {"Day": "9999-12-31"},
        "to_Missing": None,
    }
    assert version_of(entity) == 'W/"1"'
    assert version_of({"__metadata": {"uri": "x"}}) is None


def test_a_value_that_is_not_what_it_should_be_stays_for_the_mapping_to_refuse() -> None:
    odd = {"Amount": "NaN", "Count": "many", "Day": "tomorrow", "At": "/Date(x)/", "to_Item": "none"}
    assert plain(odd, SHAPE) == odd


def test_a_list_without_the_word_results_is_a_list_too() -> None:
    rows = rows_of(b'{"d":[{"Id":"1"}]}', operation="GET")
    assert (rows.rows, rows.next_link, rows.count) == ([{"Id": "1"}], None, None)
    assert rows_of(b'{"d":{"__count":"17","results":[]}}', operation="GET").count == 17


def test_one_row_that_nobody_can_read_costs_only_itself() -> None:
    body = b'{"d":{"results":[{"Id":"1"},{"Id":"\xff"},7,{"Id":"2"}]}}'
    rows = rows_of(body, operation="GET")
    assert [row["Id"] for row in rows.rows] == ["1", "2"]
    assert [bad.payload for bad in rows.unreadable] == [b'{"Id":"\xff"}', b"7"]
    assert len(rows.raws) == 4


def test_a_byte_order_mark_before_a_list_is_no_part_of_it() -> None:
    assert rows_of(b'\xef\xbb\xbf{"d":{"results":[{"Id":"1"}]}}', operation="GET").rows == [{"Id": "1"}]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"value":[]}', b'{"d":{"results":7}}', b"\xff", b"[" * 9999])
def test_an_answer_that_is_no_list_is_never_an_empty_one(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        rows_of(body, operation="GET")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"d":[]}', b'{"d":null}', b"{"])
def test_an_answer_without_the_record_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        entity_of(body, operation="POST")


def test_next_links_are_followed_to_the_end_and_a_read_goes_on_where_it_stopped(loopback: Any, answer: Reply) -> None:
    loopback.script = [
        answer(body=page("1", "2", link=f"{loopback.url}/sap/Items?$skiptoken=2")),
        answer(body=page("3", link="Items?$skiptoken=3")),
        answer(body=page()),
    ]
    with client_of(loopback) as client:
        pages = list(list_pages(client, "Items?$top=9", operation="GET Items"))
        assert [[row["Id"] for row in rows.rows] for rows, _ in pages] == [["1", "2"], ["3"], []]
        assert [following for _, following in pages] == [
            f"{loopback.url}/sap/Items?$skiptoken=2",
            f"{loopback.url}/sap/Items?$skiptoken=3",
            None,
        ]
        (again,) = list_pages(client, "Items?$top=9", operation="GET Items", resume=pages[1][1])
        assert again[0].rows == []


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("https://elsewhere.invalid/Items", "elsewhere.invalid"),
        ("Items?$top=9", "before"),
        ("Items?$skiptoken=2", "twice"),
    ],
)
def test_a_link_that_leads_astray_or_round_in_circles_ends_the_read(
    loopback: Any, answer: Reply, link: str, reason: str
) -> None:
    loopback.script = [answer(body=page("1", link=link))]
    with client_of(loopback) as client, pytest.raises(ProtocolViolation, match=reason):
        list(list_pages(client, "Items?$top=9", operation="GET Items"))


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_refusal_tells_the_message_behind_the_general_one_and_the_field() -> None:
    body = json.dumps(
        {
            "error": {
                "code": "/IWBEP/CM_MGW_RT/022",
                "message": {"lang": "en", "value": "An exception was raised"},
                "innererror": {
                    "transactionid": "4A17",
                    "errordetails": [
                        {"code": "V1/312", "message": "Customer 9 is not known", "severity": "error",
                         "target": "/A_SalesOrder('')/SoldToParty"},
                        {"code": "V1/555", "message": "Saved", "severity": "info", "target": "Other"},
                        {"code": "/IWBEP/CX_SD_GEN", "message": "Business error", "severity": "error",
                         "propertyref": "to_Item/RequestedQuantity"},
                    ],
                },
            }
        }
    ).encode()  # fmt: skip
    refusal = read_refusal(400, {}, body)
    assert refusal.message == "An exception was raised; Customer 9 is not known; Business error"
    assert (refusal.code, refusal.request_id) == ("V1/312", "4A17")
    assert refusal.fields == ("SoldToParty", "RequestedQuantity")


def test_a_bare_refusal_is_read_as_well() -> None:
    assert read_refusal(404, {}, b'{"error":{"code":"X/1","message":"gone"}}').message == "gone"
    assert read_refusal(502, {}, b"<html><title>Bad gateway</title></html>").status == 502


def test_a_refused_token_is_told_from_a_lack_of_rights() -> None:
    refused = read_refusal(403, {"x-csrf-token": "Required"}, b"CSRF token validation failed")
    assert (refused.code, refused.message) == (CSRF_REFUSED, "CSRF token validation failed")
    assert read_refusal(403, {}, b"CSRF token validation failed").code != CSRF_REFUSED
