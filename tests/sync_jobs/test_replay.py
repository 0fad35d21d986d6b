"""A mapping changes: the kept payloads are mapped again, and the back office is not asked for one record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crm_core.errors import ConfigurationFault
from crm_core.ids import EntityType
from crm_core.store.letters import DeadLetter, discard_letter, edit_letter, get_letter
from sync_jobs.pull import Puller
from sync_jobs.replay import replay_letters, replay_payloads
from sync_jobs.report import EntityReport, SilentListener
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

    def stopping(puller: Puller, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(puller, *arguments, **options)

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
    assert decided(bench.pull(full=True)) == {"discarded": 1}
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


def edited(bench: Workbench, old: bytes, new: bytes) -> DeadLetter:
    (letter,) = bench.letters()
    with bench.session() as session:
        edit_letter(session, letter.id, payload=letter.payload.replace(old, new))
        return get_letter(session, letter.id)


def replay_open(bench: Workbench) -> None:
    with bench.puller() as puller:
        replay_letters(puller, bench.letters())


def test_an_edit_outlives_another_reading_of_the_record_that_did_not_change(bench: Workbench) -> None:
    """A person mends a letter, the nightly full pull comes before the replay: the work must not be gone."""
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price="nine", active=True)
    bench.pull()
    mended = edited(bench, b'"nine"', b"9.00").payload
    bench.pull(full=True)
    (letter,) = bench.letters()
    assert (letter.payload, letter.attempts) == (mended, 2)
    source.put("1", code="A", name="A", price="ten", active=True)
    bench.pull()
    assert b'"ten"' in bench.letters()[0].payload, "the back office changed it: the edit was of something else"


def test_an_edit_that_fails_again_is_kept_to_be_edited_further(bench: Workbench) -> None:
    bench.source(PRODUCT).put("1", code="A", name="A", price="nine", active="perhaps")
    bench.pull()
    half_mended = edited(bench, b'"nine"', b'"9,00"').payload
    replay_open(bench)
    assert bench.letters()[0].payload == half_mended
    assert bench.letters()[0].attempts == 2


def test_a_record_taken_in_as_edited_stays_so_until_the_back_office_changes_it(bench: Workbench) -> None:
    """Otherwise every full pull would set the same record aside again, and the edit would hold for a day."""
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price="nine", active=True)
    bench.pull()
    edited(bench, b'"nine"', b"9.00")
    replay_open(bench)
    assert decided(bench.pull(full=True)) == {"unchanged": 1}
    assert bench.letters() == []
    assert bench.by(PRODUCT)["A"]["list_price"] == Decimal(9)
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("name: name", "name: code")
    assert replay(bench, PRODUCT) == 1
    assert decided(bench.pull(full=True)) == {"unchanged": 1}, "a replay of the mapping keeps what the edit stands for"
    source.put("1", code="A", name="A", price=Decimal(10), active=True)
    assert decided(bench.pull()) == {"updated": 1}
    assert bench.by(PRODUCT)["A"]["list_price"] == Decimal(10)


def test_an_edited_record_that_had_to_wait_stays_as_edited_too(bench: Workbench) -> None:
    lists, accounts = bench.source(EntityType.PRICE_LIST), bench.source(ACCOUNT)
    accounts.put("a", code=["A"], name="A", list="7")
    bench.pull(ACCOUNT)
    edited(bench, b'["A"]', b'"A"')
    replay_open(bench)
    assert [waiting.external_id for waiting in bench.deferrals()] == ["a"]
    lists.put("7", code="RETAIL", name="Retail", currency="EUR")
    bench.pull(EntityType.PRICE_LIST)
    assert set(bench.by(ACCOUNT)) == {"A"}
    assert bench.letters() == []
    assert decided(bench.pull(ACCOUNT, full=True), ACCOUNT) == {"unchanged": 1}


def test_an_edit_is_taken_in_although_the_source_went_back_to_what_was_known(bench: Workbench) -> None:
    """A mapping that failed was put back: the letter's record is the known one, but a person changed our copy."""
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price=Decimal(9), active=True)
    bench.pull()
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("currency: {value: EUR}", "currency: name")
    replay(bench, PRODUCT)
    edited(bench, b'"name":"A"', b'"name":"Edited"')
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT
    replay_open(bench)
    assert bench.by(PRODUCT)["A"]["name"] == "Edited"


def test_a_discarded_stock_or_credit_stays_discarded_although_its_moment_moves(bench: Workbench) -> None:
    bench.source(ACCOUNT).put("a", code="A", name="A")
    credits_ = bench.source(CREDIT)
    credits_.put("a", account="a", owed=Decimal(10))
    credits_.appended_moment = "2026-11-22T08:00:00Z"
    bench.pull()
    with bench.session() as session:
        discard_letter(session, bench.letters()[0].id, bench.clock())
    credits_.appended_moment = "2026-11-22T09:00:00Z"
    assert decided(bench.pull(CREDIT, full=True), CREDIT) == {"discarded": 1}
    assert bench.letters() == []


@pytest.mark.parametrize("link", ["4711", "somebody"])
def test_a_link_to_an_entity_that_is_not_there_is_refused(bench: Workbench, link: str) -> None:
    """A slip in a number would make an account with an id out of thin air."""
    bench.source(ACCOUNT).put("1", code=["C-1"], name="New")
    bench.pull()
    letter = edited(bench, b'["C-1"]', b'"C-1"')
    with bench.session() as session:
        edit_letter(session, letter.id, link=link)
    replay_open(bench)
    (letter,) = bench.letters()
    assert (letter.cause, letter.link) == ("record_rejected", link)
    assert letter.message == f"is linked to account {link}, which the CRM does not have"
    assert bench.count("accounts") == 0


def test_a_letter_without_an_id_is_refused_by_name_and_not_passed_over(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price=Decimal(9), active=True)
    source.unreadable = [b'{"code": "no id"}']
    bench.pull()
    with pytest.raises(ConfigurationFault, match="dead letter 1 is of a record without an id"):
        replay_open(bench)


def test_replays_take_their_time_and_tell_of_it(bench: Workbench) -> None:
    told: list[str] = []

    class Tells(SilentListener):
        def entity_started(self, report: EntityReport) -> None:
            told.append(f"started {report.entity}")

        def entity_finished(self, report: EntityReport) -> None:
            told.append(f"finished {report.entity}")
            assert report.seconds > 0

    filled(bench, 2)
    bench.sources[PRODUCT].put("9", code="A", name="A", price="nine", active=True)
    bench.pull()
    bench.documents[PRODUCT] = PRODUCT_DOCUMENT.replace("name: name", "name: code")
    with bench.puller(listener=Tells()) as puller:
        replay_payloads(puller, PRODUCT)
    with bench.puller(listener=Tells()) as puller:
        replay_letters(puller, bench.letters())
    assert told == ["started product", "finished product"] * 2
