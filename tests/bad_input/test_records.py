"""One bad record in a good page: it is set aside with its cause, the others arrive, and it comes in once it is well."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from crm_core.errors import ProtocolViolation
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from sync_jobs.decisions import Decision
from tests.bad_input.books import PRODUCT, UNITS, Books

ITEMS = r"/items$"
FIRST_PAGE = 2


def test_invalid_utf8_sets_one_record_aside_and_the_next_full_read_brings_it_in(books_on_both: Books) -> None:
    """A half-converted name: the catalogue arrives without this product, which a person can find and mend."""
    books = books_on_both
    books.simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="displayName"), path=ITEMS, nth=FIRST_PAGE)])
    assert books.pull(UNITS, PRODUCT).entities[PRODUCT].decisions[Decision.DEAD] == 1
    (letter,) = books.letters()
    first = books.simulator.rows("items")[0]
    assert (letter.cause, letter.external_id) == ("unreadable", str(first["id"]))
    assert "invalid UTF-8" in letter.message
    assert b'"displayName":"\xff\xfe' in letter.payload, "the very bytes, for the person who mends them"
    assert len(books.kept(PRODUCT)) == 24
    books.simulator.set_plan([])
    books.pull(full=True)
    books.assert_both_sides_agree()


def test_a_known_record_that_becomes_unreadable_is_not_taken_for_deleted(books_on_both: Books) -> None:
    """A product would vanish from the shop because of one broken letter in its name."""
    books = books_on_both
    books.pull(UNITS, PRODUCT)
    books.simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="displayName"), path=ITEMS, nth=FIRST_PAGE)])
    report = books.pull(UNITS, PRODUCT, full=True)
    assert report.entities[PRODUCT].decisions[Decision.DELETED] == 0
    first = books.simulator.rows("items")[0]
    assert books.kept(PRODUCT)[str(first["id"])]["status"] == "active"
    books.simulator.set_plan([])
    books.pull(full=True)
    books.assert_both_sides_agree()


def test_a_full_read_with_a_record_without_an_id_deletes_nothing(books_on_both: Books) -> None:
    """Nobody can say which record that was; it must not be found missing. The next sound read finds what is gone."""
    books = books_on_both
    items = books.simulator.rows("items")
    nameless, gone = items[0], items[7]
    books.pull(UNITS, PRODUCT)

    def without_an_id(request: Request, response: Response) -> Response:
        return replace(response, body=response.body.replace(f'"id":"{nameless["id"]}",'.encode(), b""))

    books.simulator.delete_item(str(gone["number"]))
    books.simulator.change = without_an_id
    report = books.pull(UNITS, PRODUCT, full=True)
    assert report.entities[PRODUCT].decisions[Decision.DELETED] == 0
    assert {row["status"] for key, row in books.kept(PRODUCT).items()} == {"active"}
    assert [letter.message for letter in books.letters()] == ["the record has no 'id'"]
    books.simulator.change = None
    report = books.pull(UNITS, PRODUCT, full=True)
    assert report.entities[PRODUCT].decisions[Decision.DELETED] == 1
    with books.session() as session:
        stati = dict(session.all("SELECT code, status FROM products"))
    assert (stati[str(nameless["number"])], stati[str(gone["number"])]) == ("active", "inactive")


def test_two_records_without_an_id_that_are_alike_make_one_letter(books: Books) -> None:
    """The same cause twice in a person's list, of which one stays open for ever."""

    def without_ids(request: Request, response: Response) -> Response:
        if not request.path.endswith("/items") or b"unitPrice" not in response.body:
            return response
        return replace(response, body=response.body.replace(b'"value":[', b'"value":[{"number":"X"},{"number":"X"},'))

    books.simulator.change = without_ids
    books.page_size = 100
    books.pull(UNITS, PRODUCT)
    assert [letter.payload for letter in books.letters()] == [b'{"number":"X","@company_currency":"EUR"}'] or [
        letter.payload for letter in books.letters()
    ] == [b'{"number":"X"}']
    assert len(books.kept(PRODUCT)) == 25


def test_a_record_of_50_mb_is_set_aside_and_the_others_arrive(books_on_both: Books) -> None:
    """One absurd description must neither stop the catalogue nor end up as a product's name."""
    books = books_on_both
    giant = Fault(FaultKind.GIANT_BODY, field="displayName", size_bytes=50_000_000)
    books.simulator.set_plan([Rule(giant, path=ITEMS, nth=FIRST_PAGE)])
    assert books.pull(UNITS, PRODUCT).entities[PRODUCT].decisions[Decision.DEAD] == 1
    (letter,) = books.letters()
    assert (letter.cause, letter.field) == ("invalid_value", "name")
    assert re.search(r"has 50000\d{3} characters, may have", letter.message)
    assert len(letter.message) < 300
    assert len(letter.payload) > 50_000_000
    assert len(books.kept(PRODUCT)) == 24
    books.simulator.set_plan([])
    books.pull(full=True)
    books.assert_both_sides_agree()


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_answer_over_the_bound_is_refused_before_it_fills_the_memory(books: Books, is_announced: bool) -> None:
    """With the length in its header or without: the read ends with the setting's name, the checkpoint stays."""
    books.most_megabytes = 1
    giant = Fault(FaultKind.GIANT_BODY, field="displayName", size_bytes=3_000_000, without_length=not is_announced)
    books.simulator.set_plan([Rule(giant, path=ITEMS, nth=FIRST_PAGE + 1)])
    with pytest.raises(ProtocolViolation, match=r"larger than 1 MB \(max_answer_megabytes\); ask for smaller pages"):
        books.pull(UNITS, PRODUCT)
    assert books.count("products") == 10
    books.simulator.set_plan([])
    books.pull()
    books.assert_both_sides_agree()


def test_a_record_twice_in_a_page_is_one_product_as_given_last(books_on_both: Books) -> None:
    """Two products for one, or the older of two versions."""
    books = books_on_both
    twice = Fault(FaultKind.DUPLICATE_IDS, changes=(("displayName", "the later one"),))
    books.simulator.set_plan([Rule(twice, path=ITEMS, nth=FIRST_PAGE)])
    books.pull(UNITS, PRODUCT)
    first = books.simulator.rows("items")[0]
    kept = books.kept(PRODUCT)
    assert len(kept) == 25
    assert kept[str(first["id"])]["name"] == "the later one"
    books.simulator.set_plan([])
    books.pull(full=True)
    books.assert_both_sides_agree()


def test_a_record_that_moves_to_the_next_page_during_the_read_is_one_product(books: Books) -> None:
    """A back office that pages by offset repeats records when others are inserted before them."""
    last = str(books.simulator.rows("items")[9]["id"])

    def shifted(request: Request, response: Response) -> Response:
        if request.path.endswith("/items") and b"aid=FIN" not in response.body[:0] and seen:
            body = response.body.replace(b'"value":[', b'"value":[' + seen[0] + b",", 1)
            seen.clear()
            return replace(response, body=body)
        found = re.search(rb'\{[^{}]*"id":"' + last.encode() + rb'"[^{}]*\}', response.body)
        if found and b"unitPrice" in found.group():
            seen.append(found.group())
        return response

    seen: list[bytes] = []
    books.simulator.change = shifted
    report = books.pull(UNITS, PRODUCT)
    assert report.entities[PRODUCT].read == 26
    assert report.entities[PRODUCT].decisions[Decision.CREATED] == 25
    assert report.entities[PRODUCT].decisions[Decision.UNCHANGED] == 1
    books.simulator.change = None
    books.pull()
    books.assert_both_sides_agree()
