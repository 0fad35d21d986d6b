"""What differs between two records."""

from __future__ import annotations

from http_api.desk.differences import Difference, differences, pretty, read_record


def test_each_place_that_differs_is_named() -> None:
    """Who mends a record of 80 fields sees the two that matter."""
    before = read_record(b'{"code":"W-1","price":9.50,"active":true,"lines":[{"q":1},{"q":2}],"old":null}')
    after = read_record(b'{"code":"W-1","price":9.75,"active":1,"lines":[{"q":1}],"new":"x"}')
    assert differences(before, after) == [
        Difference("price", "9.50", "9.75"),
        Difference("active", "true", "1"),
        Difference("lines[1]", '{"q":2}', None),
        Difference("old", "null", None),
        Difference("new", None, '"x"'),
    ]


def test_the_same_number_written_otherwise_is_no_difference() -> None:
    """9.50 and 9.5 are one price."""
    assert differences(read_record(b'{"a":9.50}'), read_record(b'{"a":9.5}')) == []


def test_a_record_is_shown_line_by_line_and_nonsense_as_it_is() -> None:
    """A back office that sends HTML is seen to have sent HTML."""
    assert pretty(b'{"a":9.50,"b":[]}') == '{\n  "a": 9.50,\n  "b": []\n}'
    assert pretty(b"<html>\xff") == "<html>\ufffd"
