"""A mapping changes: the kept payloads are mapped again, and the back office is not asked for one record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crm_core.ids import EntityType
from crm_core.store.letters import discard_letter, edit_letter, get_letter
from sync_jobs.pull import Puller
from sync_jobs.replay import replay_letters, replay_payloads
from tests.support.workbench import PRODUCT as PRODUCT_DOCUMENT
from tests.support.workbench import Workbench, decided

PRODUCT, CREDIT, ACCOUNT = EntityType.PRODUCT, EntityType.CREDIT, EntityType.ACCOUNT


def filled(bench: Workbench, count: int = 7) -> None:
    source = bench.source(PRODUCT)
    for number in range(count):
        source.put(f"{number}", code=f"w-{number}", name="Widget", price=Decimal("9.50"), active=True)
    bench.pull()


def replay(bench: Workbench, entity: EntityType) -> int:
    with bench.puller() as puller:
        return replay_payloads(puller, entity)


def test_a_changed_mapping_is_replayed_from_the_store(bench: Workbench) -> None:
    filled(bench)
    served = bench.sources[PRODUCT].pages_served
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("code: code", 'code: {expr: "upper(code)"}')
    assert replay(bench, PRODUCT) == 7
    assert {row["code"] for row in bench.entities(PRODUCT)} == {f"W-{number}" for number in range(7)}
    assert bench.sources[PRODUCT].pages_served == served
    assert replay(bench, PRODUCT) == 0
    assert decided(bench.pull(full=True)) == {"unchanged": 7}


def test_a_replay_that_stopped_goes_on_where_it_was(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(bench)
    monkeypatch.setattr("sync_jobs.replay._RECORDS_AT_ONCE", 2)
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("name: name", "name: code")
    original, calls = Puller.take_records, 0

    def stopping(puller: Puller, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(puller, *arguments)

    with monkeypatch.context() as patched, bench.puller() as puller:
        patched.setattr(Puller, "take_records", stopping)
        with pytest.raises(KeyboardInterrupt):
            replay_payloads(puller, PRODUCT)
    assert replay(bench, PRODUCT) == 3
    assert {row["name"] for row in bench.entities(PRODUCT)} == {f"w-{number}" for number in range(7)}


def test_a_mapping_that_fails_for_a_record_leaves_its_last_good_values(bench: Workbench) -> None:
    filled(bench, 3)
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("currency: {value: EUR}", "currency: name")
    replay(bench, PRODUCT)
    assert {letter.field for letter in bench.letters()} == {"currency"}
    assert {row["currency"] for row in bench.entities(PRODUCT)} == {"EUR"}


def test_an_edited_payload_is_taken_in_and_its_letter_resolved(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price="nine", active=True)
    bench.pull()
    (letter,) = bench.letters()
    with bench.session() as session:
        edit_letter(session, letter.id, payload=letter.payload.replace(b'"nine"', b"9.00"))
        letter = get_letter(session, letter.id)
    with bench.puller() as puller:
        replay_letters(puller, [letter])
    assert bench.by(PRODUCT)["A"]["list_price"] == Decimal(9)
    assert bench.letters() == []


def test_a_discarded_letter_stays_discarded_until_the_back_office_changes_the_record(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price="nine", active=True)
    bench.pull()
    with bench.session() as session:
        discard_letter(session, bench.letters()[0].id, bench.clock())
    bench.pull(full=True)
    assert bench.letters() == []
    source.put("1", code="A", name="A", price="ten", active=True)
    bench.pull(full=True)
    assert len(bench.letters()) == 1


def test_a_replay_never_makes_a_credit_older_than_the_last_look(bench: Workbench) -> None:
    accounts, credits_ = bench.source(ACCOUNT), bench.source(CREDIT)
    accounts.put("a", code="A", name="A")
    credits_.put("a", account="a", limit=Decimal(100), owed=Decimal(10))
    credits_.appended_moment = "2026-11-22T08:00:00Z"
    bench.pull()
    credits_.appended_moment = "2026-11-22T09:30:00Z"
    bench.pull(CREDIT, full=True)
    bench.documents[CREDIT] = bench.documents[CREDIT].replace("currency: {value: EUR}", "currency: {value: CHF}")
    replay(bench, CREDIT)
    (row,) = bench.entities(CREDIT)
    assert row["currency"] == "CHF"
    assert row["as_of"].isoformat() == "2026-11-22T09:30:00+00:00"


def test_payload_pages_that_nobody_needs_go(bench: Workbench) -> None:
    filled(bench, 6)
    for round_ in range(3):
        for number in range(6):
            bench.sources[PRODUCT].put(f"{number}", code=f"w-{number}", name=f"{round_}", price=Decimal(9), active=True)
        bench.pull()
    assert bench.count("payload_pages") == 2
