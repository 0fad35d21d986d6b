"""Without these, the hub could be fast because it loses orders, or the floor slow because it sends others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import push
from bench.push import Prepared, WrongResult, prepared, push_by_floor, push_by_hub
from bench.push_office import running_office, scaffold_installed

RECORDS = 30


@pytest.fixture(scope="module")
def scaffold() -> Iterator[None]:
    with scaffold_installed():
        yield


@pytest.fixture(scope="module", params=push.CONNECTORS)
def books(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, scaffold: None
) -> Iterator[Prepared]:
    with prepared(request.param, RECORDS, tmp_path_factory.mktemp("push"), None) as filled:
        yield filled


def test_floor_and_hub_bring_the_same_orders_over_once(books: Prepared) -> None:
    """Both are asked for their books after each round; what they measured is then the same work."""
    assert push_by_floor(books)(0).seconds > 0
    assert push_by_hub(books, "sqlite")(0).seconds > 0
    assert push_by_hub(books, "sqlite")(1).seconds > 0, "the store of the first round was a copy"


def test_the_floor_sends_what_the_hub_sends(books: Prepared) -> None:
    """A floor of thinner orders would be one that nobody has to reach."""
    calls = [json.loads(line) for line in (books.folder / "calls.jsonl").read_text().splitlines()]
    assert len(calls) == RECORDS
    lines = {"business_central": "salesOrderLines", "acme": "lines"}[books.connector]
    assert all(call["body"][lines] for call in calls)
    assert len({json.dumps(call["body"]) for call in calls}) == RECORDS


def test_orders_that_are_missing_in_the_books_are_found(books: Prepared, tmp_path: Path) -> None:
    """The check is what makes a figure honest: it must be able to fail."""
    fewer = Prepared(books.connector, RECORDS + 1, books.folder, None, None)
    with pytest.raises(WrongResult, match=f"must have {RECORDS + 1} orders once each"):
        push_by_floor(fewer)(0)


def test_an_office_counts_what_carries_our_reference(scaffold: None) -> None:
    """Orders of its own people are none of ours."""
    with running_office("acme", 0) as office:
        assert office.counted() == {"orders": 0, "references": 0}
