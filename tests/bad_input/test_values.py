"""Values that mean something else than they seem to: exact, told apart, or refused by name, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.envelopes import Page
from connectors.watermark import watermark_of
from crm_core.ids import EntityType
from simulators.exchange import Request, Response
from sync_jobs.decisions import Decision, PullPolicy
from tests.bad_input.books import PRODUCT, UNITS, Books
from tests.support.memory_source import MIDNIGHT, MemorySource
from tests.support.workbench import Workbench, decided

ACCOUNT, CREDIT, PRICE, PRICE_LIST = EntityType.ACCOUNT, EntityType.CREDIT, EntityType.PRICE, EntityType.PRICE_LIST
whatever = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
fresh = itertools.count()

# -- decimals ---------------------------------------------------------------------------------------------------------

literals = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@whatever
@given(texts=st.lists(literals, min_size=1, max_size=20))
def test_whatever_decimal_the_source_sends_is_stored_exactly_or_refused_by_name(
    bench: Workbench, texts: list[str]
) -> None:
    """A price that is a cent off, or a hundred times too high, in an order."""
    bench.policy = PullPolicy(error_minimum=1_000_000)
    source = bench.source(PRODUCT, page_size=100)
    sent = {f"{next(fresh)}": text for text in texts}
    for key, text in sent.items():
        source.put(key, code=key, name="n", price=msgspec.Raw(text.encode()), active=True)
    bench.pull()
    kept = {row["code"]: row["list_price"] for row in bench.entities(PRODUCT)}
    refused = {letter.external_id: letter for letter in bench.letters()}
    for key, text in sent.items():
        if key in kept:
            assert kept[key] == Decimal(text), text
            assert key not in refused
        else:
            assert (refused[key].cause, refused[key].field) == ("invalid_value", "list_price"), text
        digits, exponent = Decimal(text).as_tuple()[1:]
        if len(digits) <= 20 and isinstance(exponent, int) and abs(exponent) <= 12:
            assert key in kept, text


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("12345678901234567890.12", "12345678901234567890.12"),
        ("0.12345678901234567891", "0.12345678901234567891"),
        ("1.25E3", "1250"),
        ("1e-7", "0.0000001"),
        ("-0", "0"),
        ("99999999999999999999", "99999999999999999999"),
    ],
)
def test_a_price_of_the_back_office_keeps_all_its_digits(books_on_both: Books, literal: str, value: str) -> None:
    """Through HTTP, page, mapping and database: a binary fraction anywhere on the way would change the last digit."""
    books = books_on_both
    number = "100003"
    shown = f'"unitPrice":{books.simulator.get("items", number)["unitPrice"]}'.encode()

    def with_literal(_: Request, response: Response) -> Response:
        return replace(response, body=response.body.replace(shown, b'"unitPrice":' + literal.encode()))

    books.simulator.change = with_literal
    books.pull(UNITS, PRODUCT)
    kept = {row["code"]: row["list_price"] for row in books.kept(PRODUCT).values()}
    assert kept[number] == Decimal(value)
    assert len(kept) == 25
    assert books.pull(UNITS, PRODUCT, full=True).entities[PRODUCT].decisions[Decision.UNCHANGED] == 25


@pytest.mark.parametrize("price", ["NaN", "-Infinity", "sNaN", "1E+400", "1,50", "0x10", "1_000", "\u0661\u0662", True])
def test_what_is_no_exact_number_is_a_dead_letter_and_not_a_price(sqlite_bench: Workbench, price: object) -> None:
    """`NaN` in a sum makes the whole sum NaN; a comma read as thousands makes a price hundredfold."""
    bench = sqlite_bench
    source = bench.source(PRODUCT, page_size=10)
    source.put("1", code="A", name="good", price=Decimal("9.50"), active=True)
    source.put("2", code="B", name="bad", price=price, active=True)
    assert decided(bench.pull()) == {"created": 1, "dead": 1}
    (letter,) = bench.letters()
    assert (letter.external_id, letter.cause, letter.field) == ("2", "invalid_value", "list_price")
    source.put("2", code="B", name="mended", price=Decimal("1.50"), active=True)
    bench.pull()
    assert bench.letters() == []
    assert {code: row["list_price"] for code, row in bench.by(PRODUCT).items()} == {
        "A": Decimal("9.50"),
        "B": Decimal("1.50"),
    }


# -- missing, null, empty ---------------------------------------------------------------------------------------------

MISSING = object()


@pytest.mark.parametrize(
    ("limit", "kept", "said"),
    [
        (MISSING, MISSING, "limit"),
        (None, None, ""),
        ("", MISSING, 'is not a number; `empty: [""]` would take it as null'),
        (Decimal(0), Decimal(0), ""),
        ("0", Decimal(0), ""),
    ],
    ids=["missing", "null", "empty", "zero", "zero as text"],
)
def test_missing_null_and_empty_limits_are_three_things(
    sqlite_bench: Workbench, limit: object, kept: object, said: str
) -> None:
    """Null says `no limit`; taken for it, a limit that was not told would let every order pass."""
    bench = sqlite_bench
    bench.source(ACCOUNT).put("a", code="A", name="A")
    bench.source(CREDIT).put("c", account="a", owed=None, **({} if limit is MISSING else {"limit": limit}))
    bench.sources[CREDIT].appended_moment = "2026-11-22T08:00:00Z"
    bench.pull()
    if kept is MISSING:
        (letter,) = bench.letters()
        assert (letter.field, bench.count("credits")) == ("limit", 0)
        assert said in letter.message
    else:
        (row,) = bench.entities(CREDIT)
        assert (row["limit"], bench.letters()) == (kept, [])


@pytest.mark.parametrize(
    ("values", "barcode"),
    [({}, MISSING), ({"barcode": None}, None), ({"barcode": ""}, None), ({"barcode": " "}, " ")],
    ids=["missing", "null", "empty", "space"],
)
def test_a_field_that_is_not_sent_is_not_taken_for_an_emptied_one(
    sqlite_bench: Workbench, values: dict[str, Any], barcode: object
) -> None:
    """A field left out by a lost right or a new API version: with `missing: error` it does not clear what we know."""
    bench = sqlite_bench
    strict = bench.documents[PRODUCT].replace("barcode: barcode", "barcode: {from: barcode, missing: error}")
    bench.documents[PRODUCT] = strict
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price=None, active=True, barcode="4006381333931")
    bench.pull()
    source.put("1", code="A", name="A", price=None, active=True, **values)
    bench.pull()
    kept = bench.by(PRODUCT)["A"]["barcode"]
    if barcode is MISSING:
        (letter,) = bench.letters()
        assert (kept, letter.field) == ("4006381333931", "barcode")
    else:
        assert (kept, bench.letters()) == (barcode, [])


# -- units, currencies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "field"),
    [
        ({"n": 0, "d": 1}, "numerator"),
        ({"n": 1, "d": 0}, "denominator"),
        ({"n": -12, "d": 1}, "numerator"),
        ({"n": "0.0", "d": 1}, "numerator"),
        ({"n": None, "d": 1}, "numerator"),
    ],
)
def test_a_unit_that_cannot_convert_is_refused_and_the_group_we_know_stays(
    sqlite_bench: Workbench, factor: dict[str, Any], field: str
) -> None:
    """A factor of 0 makes every price per box 0, and every division an error at the moment of an order."""
    bench = sqlite_bench
    groups = bench.source(EntityType.UNIT_GROUP)
    piece = {"code": "pc", "n": 1, "d": 1, "base": True}
    groups.put("1", code="U", units=[piece, {"code": "box", "n": 12, "d": 1}])
    bench.pull()
    known = bench.entities(EntityType.UNIT_GROUP)
    groups.put("1", code="U", units=[piece, {"code": "box", **factor}])
    assert decided(bench.pull()) == {"dead": 1}
    (letter,) = bench.letters()
    assert letter.field == f"units[1].{field}"
    assert bench.entities(EntityType.UNIT_GROUP) == known
    groups.put("1", code="U", units=[piece, {"code": "box", "n": 10, "d": 1}])
    bench.pull()
    assert bench.letters() == []
    (group,) = bench.entities(EntityType.UNIT_GROUP)
    assert [unit[2] for unit in group["units"]] == [1, 10]


def test_a_price_in_a_currency_that_its_list_does_not_have_leaves_the_known_price(bench: Workbench) -> None:
    """5 dollars sold as 5 euros."""
    lists, items, prices = bench.source(PRICE_LIST), bench.source(PRODUCT), bench.source(PRICE)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    items.put("p", code="P", name="P", price=None, active=True, barcode=None)
    prices.put("x", list="1", product="p", currency="EUR", amount=Decimal(5))
    bench.pull()
    prices.put("x", list="1", product="p", currency="USD", amount=Decimal(5))
    prices.put("y", list="1", product="p", currency="JPY", amount=Decimal(700), quantity=10)
    assert decided(bench.pull(), PRICE) == {"dead": 2}
    assert {(one.external_id, one.cause, one.field, one.message) for one in bench.letters()} == {
        ("x", "currency_mismatch", "currency", "price is in USD, but price list 'RETAIL' is in EUR"),
        ("y", "currency_mismatch", "currency", "price is in JPY, but price list 'RETAIL' is in EUR"),
    }
    assert [(row["currency"], row["amount"]) for row in bench.entities(PRICE)] == [("EUR", Decimal(5))]
    assert decided(bench.pull(PRICE, full=True), PRICE) == {"dead": 2}, "still there: not swept as if it were gone"
    assert bench.count("prices") == 1
    prices.put("x", list="1", product="p", currency="EUR", amount=Decimal(6))
    prices.remove("y")
    bench.pull(full=True)
    assert [row["amount"] for row in bench.entities(PRICE)] == [Decimal(6)]


# -- cycles of references ---------------------------------------------------------------------------------------------


def accounts_in_a_row(bench: Workbench, count: int, *, is_closed: bool, page_size: int) -> MemorySource:
    """Each account has the next one as its parent; the last one none, or the first one (a circle)."""
    source = bench.source(ACCOUNT, page_size=page_size)
    for number in range(count):
        parent = f"{number + 1:05}" if number + 1 < count else "00000" if is_closed else None
        source.put(f"{number:05}", code=f"A{number:05}", name="n", parent=parent)
    return source


@pytest.mark.parametrize("page_size", [1])
def test_a_long_chain_of_parents_comes_in_whole(bench: Workbench, page_size: int) -> None:
    """Each parent is fetched because of its child: deep enough, that would exhaust the interpreter's stack."""
    accounts_in_a_row(bench, 200, is_closed=False, page_size=page_size)
    bench.pull()
    assert (bench.deferrals(), bench.letters()) == ([], [])
    rows = bench.by(ACCOUNT)
    assert len(rows) == 200
    assert all(rows[f"A{n:05}"]["parent_id"] == rows[f"A{n + 1:05}"]["id"] for n in range(199))


@pytest.mark.parametrize("page_size", [50])
def test_a_long_circle_of_parents_ends_as_letters_and_heals(bench: Workbench, page_size: int) -> None:
    """Two hundred accounts that wait for each other would wait for ever, without a word."""
    bench.policy = PullPolicy(error_minimum=1_000_000)
    source = accounts_in_a_row(bench, 200, is_closed=True, page_size=page_size)
    bench.pull()
    assert (bench.deferrals(), bench.count("accounts")) == ([], 0)
    assert {letter.cause for letter in bench.letters()} == {"reference_cycle"}
    assert len(bench.letters()) == 200
    source.put("00199", code="A00199", name="n", parent=None)
    bench.pull(full=True)
    assert (bench.deferrals(), bench.letters()) == ([], [])
    assert bench.count("accounts") == bench.count("bindings") == 200


def test_an_account_that_is_its_own_parent_is_a_circle_too(bench: Workbench) -> None:
    """The smallest circle."""
    source = bench.source(ACCOUNT)
    source.put("1", code="A", name="a", parent="1")
    source.put("2", code="B", name="b", parent="1")
    bench.pull()
    (letter,) = bench.letters()
    assert (letter.external_id, letter.cause) == ("1", "reference_cycle")
    assert "account 1 -> account 1" in letter.message
    source.put("1", code="A", name="a", parent=None)
    bench.pull()
    assert (set(bench.by(ACCOUNT)), bench.letters(), bench.deferrals()) == ({"A", "B"}, [], [])


def test_more_waiting_records_than_are_looked_at_at_once_hide_none(bench: Workbench) -> None:
    """Prices of a product that never comes must not keep those of another one waiting for ever."""
    lists, prices = bench.source(PRICE_LIST), bench.source(PRICE, page_size=500)
    bench.policy = PullPolicy(reference_fetches_per_page=0)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    items = bench.source(PRODUCT)
    for number in range(1_100):
        prices.put(f"{number:05}", list="1", product="never", currency="EUR", amount=Decimal(1))
    prices.put("99999", list="1", product="p", currency="EUR", amount=Decimal(5))
    bench.pull(PRICE_LIST, PRICE)
    items.put("p", code="P", name="P", price=None, active=True, barcode=None)
    bench.pull(PRODUCT)
    assert [row["amount"] for row in bench.entities(PRICE)] == [Decimal(5)]


# -- the same id again ------------------------------------------------------------------------------------------------


@dataclass
class ListedSource(MemorySource):
    """Gives exactly these rows in exactly this order, however often an id comes again."""

    listed: tuple[tuple[str, str], ...] = ()

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        start = int(resume or 0)
        while True:
            part = self.listed[start : start + self.page_size]
            start += self.page_size
            is_last = start >= len(self.listed)
            records = []
            for key, name in part:
                self.put(key, code=f"code of {key}", name=name, price=None, active=True, barcode=None)
                records.append(self._record(key))
            yield Page(
                records, watermark=watermark_of(MIDNIGHT) if is_last else None, resume=None if is_last else str(start)
            )
            if is_last:
                return


ids = st.text(st.characters(exclude_characters="\0?", exclude_categories=("Cs",)), min_size=1, max_size=4)
names = st.sampled_from(["one", "two", "three"])


@whatever
@given(
    rows=st.lists(ids, min_size=1, max_size=6, unique=True).flatmap(
        lambda some: st.lists(st.tuples(st.sampled_from(some), names), max_size=15)
    ),
    page_size=st.integers(1, 8),
)
def test_whatever_the_ids_their_order_their_doubles_and_the_page_size_each_is_one_product(
    bench: Workbench, rows: list[tuple[str, str]], page_size: int
) -> None:
    """A product twice in the CRM, or in the version that was given first."""
    for table in ("products", "bindings", "checkpoints", "payload_pages", "dead_letters"):
        with bench.session() as session:
            session.run(f"DELETE FROM {table}")
    source = ListedSource(page_size=page_size, listed=tuple(rows))
    bench.sources = {PRODUCT: source}
    for full in (False, True):
        bench.pull(full=full)
        assert {row["code"]: row["name"] for row in bench.entities(PRODUCT)} == {
            f"code of {key}": name for key, name in rows
        }
        assert bench.count("products") == bench.count("bindings") == len({key for key, _ in rows})
        with bench.session() as session:
            live = session.all("SELECT coalesce(sum(live), 0) FROM payload_pages")[0][0]
        assert live == bench.count("bindings"), "every kept payload belongs to one record"


@pytest.mark.parametrize("key", ["\\u0000", "A\\u0000B"])
def test_an_id_that_no_database_can_hold_is_one_dead_letter(books_on_both: Books, key: str) -> None:
    """PostgreSQL has no NUL in its texts: one such id would stop the whole catalogue, with every pull again."""
    books = books_on_both
    first = str(books.simulator.rows("items")[0]["id"])

    def with_nul(request: Request, response: Response) -> Response:
        return replace(response, body=response.body.replace(f'"id":"{first}"'.encode(), f'"id":"{key}"'.encode()))

    books.simulator.change = with_nul
    books.pull(UNITS, PRODUCT)
    (letter,) = books.letters()
    assert letter.message == "the record has no usable 'id'"
    assert len(books.kept(PRODUCT)) == 24
    books.simulator.change = None
    books.pull(full=True)
    assert books.ours() == books.theirs()
