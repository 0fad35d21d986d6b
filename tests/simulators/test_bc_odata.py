"""The simulator's OData: a wrong page or filter here would let a connector pass that loses records in the field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.business_central.filters import compile_filter
from simulators.business_central.odata import (
    Expand,
    Kind,
    ODataError,
    Position,
    choice_name,
    parse_query,
    read_token,
    sort_key,
    walk,
    write_token,
)

KINDS = {
    "id": Kind.GUID,
    "number": Kind.TEXT,
    "price": Kind.DECIMAL,
    "blocked": Kind.BOOLEAN,
    "state": Kind.CHOICE,
    "day": Kind.DATE,
    "modified": Kind.MOMENT,
}
ROW = {
    "id": "5c2d9594-9cf6-44ff-aafe-20ca302f62e1",
    "number": "O'Neill 5",
    "price": Decimal("10.50"),
    "blocked": False,
    "state": "In_x0020_Review",
    "day": date(2026, 3, 1),
    "modified": datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("number eq 'O''Neill 5'", True),
        ("number eq 'o''neill 5'", False),
        ("price eq 10.5", True),
        ("price gt 10.5", False),
        ("price ge 1.05e1 and price lt 11", True),
        ("blocked eq false", True),
        ("blocked ne false", False),
        ("id eq 5C2D9594-9CF6-44FF-AAFE-20CA302F62E1", True),
        ("state eq 'In Review'", True),
        ("state eq 'In_x0020_Review'", True),
        ("state eq 'Draft'", False),
        ("day ge 2026-03-01", True),
        ("day lt 2026-03-01", False),
        ("modified gt 2026-03-01T12:00:00Z", True),
        ("modified gt 2026-03-01T12:00:00.123Z", False),
        ("modified ge 2026-03-01T13:00:00.123+01:00", True),
        ("modified ge 2026-03-02", False),
        ("contains(number,'Neill')", True),
        ("startswith(number, 'N')", False),
        ("endswith(number,' 5')", True),
        ("number ne null", True),
        ("not (price eq 10.5)", False),
        ("price eq 1 or price ge 10 and price lt 10.5", False),
        ("(price eq 1 or price eq 10.5) and blocked eq false", True),
    ],
)
def test_a_filter_selects_what_it_says(text: str, expected: bool) -> None:
    assert compile_filter(text, KINDS, "thing")(ROW) is expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("colour eq 'red'", "Could not find a property named 'colour' on type 'Microsoft.NAV.thing'"),
        ("price eq '10.5'", "incompatible types"),
        ("modified gt '2026-03-01'", "incompatible types"),
        ("price eq", "end of the $filter"),
        ("price eq 1)", "Syntax error near ')'"),
        ("(price eq 1", "Syntax error near 'the end'"),
        ("price almost 1", "Syntax error near 'almost'"),
        ("price gt null", "does not work with null"),
        ("modified gt 2026-13-01T00:00:00Z", "not a valid moment"),
        ("price eq 1 ; drop", "Syntax error at position"),
        ("price eq 1 or blocked eq true", "'OR' operator is not supported on distinct fields"),
        ("price eq 1 and (number eq 'a' or (price eq 2 and blocked eq true))", "on distinct fields"),
        ("(" * 500, "nested too deeply"),
        ("not " * 500 + "blocked eq true", "nested too deeply"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_cause(text: str, part: str) -> None:
    with pytest.raises(ODataError) as caught:
        compile_filter(text, KINDS, "thing")
    assert caught.value.status == 400
    assert part in caught.value.message


def test_a_filter_over_many_ids_works() -> None:
    """A connector that fetches what changed by id sends one long `or`."""
    matches = compile_filter(" or ".join(f"price eq {number}" for number in range(3000)), KINDS, "thing")
    assert matches(ROW | {"price": Decimal(2999)})
    assert not matches(ROW | {"price": Decimal(3000)})


def test_query_options_are_parsed_once_and_completely() -> None:
    query = parse_query(
        "$filter=price%20gt%201&$select=id,%20number&$orderby=modified%20desc,number&$top=5&$skip=2&$count=true"
        "&$expand=lines($select=id,price),customer&aid=FIN&$schemaversion=2.0"
    )
    assert query.filter == "price gt 1"
    assert query.select == ("id", "number")
    assert query.orderby == (("modified", True), ("number", False))
    assert (query.top, query.skip, query.wants_count) == (5, 2, True)
    assert query.expand == (Expand("lines", ("id", "price")), Expand("customer"))


@pytest.mark.parametrize("text", ["$top=-1", "$top=x", "$skip=1.5", "$count=yes", "$apply=x", "$orderby=a upwards"])
def test_a_malformed_option_is_refused(text: str) -> None:
    with pytest.raises(ODataError) as caught:
        parse_query(text)
    assert caught.value.status == 400


def test_enum_values_are_spelled_as_the_api_spells_them() -> None:
    assert [choice_name(text) for text in (" ", "In Review", "Non-Inventory", "All")] == [
        "_x0020_",
        "In_x0020_Review",
        "Non_x002D_Inventory",
        "All",
    ]


Rows = list[tuple[int, int | None]]
ORDERS = (("rank", False), ("key", False)), (("rank", True), ("key", False)), (("key", True),)


@given(
    ranks=st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=40),
    size=st.integers(1, 45),
    order=st.sampled_from(ORDERS),
    skip=st.integers(0, 5),
    with_filter=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_page_size_a_walk_gives_each_row_once(
    ranks: list[int | None], size: int, order: tuple[tuple[str, bool], ...], skip: int, with_filter: bool
) -> None:
    """Ties, nulls and falling orders included; a token goes through its text form between two pages."""
    rows = [
        {"key": f"{number:03d}", "rank": None if rank is None else Decimal(rank)} for number, rank in enumerate(ranks)
    ]
    pairs = sorted(((sort_key([row[name] for name, _ in order], order), row) for row in rows), key=lambda pair: pair[0])
    keys, ordered = [key for key, _ in pairs], [row for _, row in pairs]
    wanted = (lambda row: row["rank"] != 1) if with_filter else None
    expected = [row for row in ordered if wanted is None or wanted(row)][skip:]
    seen: list[dict[str, object]] = []
    after = None
    for _ in range(len(rows) + 1):
        page, has_more = walk(keys, ordered, after=after, skip=skip if after is None else 0, limit=size, wanted=wanted)
        seen += page
        if not has_more:
            break
        token = write_token(Position(tuple(page[-1][name] for name, _ in order)))
        after = sort_key(read_token(token, order).values, order)
    assert seen == expected


@pytest.mark.parametrize("token", ["", "x", "eyJhIjoxfQ", "bnVsbA"])
def test_a_token_of_somebody_else_is_refused(token: str) -> None:
    with pytest.raises(ODataError) as caught:
        read_token(token, (("key", False),))
    assert caught.value.status == 400


@given(
    st.tuples(
        st.text(max_size=20),
        st.decimals(allow_nan=False, allow_infinity=False),
        st.datetimes(timezones=st.just(UTC)),
        st.dates(),
        st.one_of(st.none(), st.booleans()),
    )
)
@settings(max_examples=100, deadline=None)
def test_a_token_brings_every_kind_of_value_back(values: tuple[object, ...]) -> None:
    order = tuple((f"field{number}", False) for number in range(5))
    back = read_token(write_token(Position(values, 7)), order)  # type: ignore[arg-type]
    assert back == Position(values, 7)  # type: ignore[arg-type]
