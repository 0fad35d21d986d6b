"""The first pull into a CRM that has accounts and products already: link what is the same, never guess."""

from __future__ import annotations

from decimal import Decimal

from crm_core.ids import ConnectionName, EntityType
from sync_jobs.replay import replay_letters
from tests.support.workbench import Workbench, decided

ACCOUNT, PRODUCT = EntityType.ACCOUNT, EntityType.PRODUCT


def crm_with(bench: Workbench, *accounts: dict[str, str]) -> None:
    """Fill the CRM through another connection, as a company with two systems would."""
    other = Workbench(bench.database, bench.clock, connection=ConnectionName("accounting"))
    source = other.source(ACCOUNT)
    for number, values in enumerate(accounts):
        source.put(f"x{number}", **values)
    other.pull()


def test_the_same_tax_id_links_whatever_its_spaces_and_case(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "Old name", "tax": "be 0897.290.877"})
    (known,) = bench.entities(ACCOUNT)
    bench.source(ACCOUNT).put("1", code="C-1", name="Customer 01", tax="BE0897.290.877")
    assert decided(bench.pull()) == {"linked": 1}
    (row,) = bench.entities(ACCOUNT)
    assert (row["id"], row["name"], row["code"]) == (known["id"], "Customer 01", "C-1")


def test_a_weaker_rule_serves_where_the_stronger_one_has_nothing_to_say(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "A", "email": "Desk@Example.com"})
    bench.source(ACCOUNT).put("1", code="C-1", name="A", tax="BE1", email="desk@example.com")
    assert decided(bench.pull()) == {"linked": 1}
    assert bench.count("accounts") == 1


def test_two_candidates_wait_for_a_person_who_chooses_one(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "A", "tax": "BE1"}, {"code": "200", "name": "B", "tax": "BE1"})
    bench.source(ACCOUNT).put("1", code="C-1", name="Which", tax="BE1")
    assert decided(bench.pull()) == {"dead": 1}
    (letter,) = bench.letters()
    chosen = bench.by(ACCOUNT)["200"]["id"]
    assert letter.cause == "doubtful_match"
    assert chosen in letter.candidates
    assert len(letter.candidates) == 2
    assert {row["name"] for row in bench.entities(ACCOUNT)} == {"A", "B"}
    from crm_core.store.letters import edit_letter, get_letter

    with bench.session() as session:
        edit_letter(session, letter.id, link=str(chosen))
        letter = get_letter(session, letter.id)
    with bench.puller() as puller:
        replay_letters(puller, [letter])
    assert bench.letters() == []
    assert {row["id"]: row["name"] for row in bench.entities(ACCOUNT)}[chosen] == "Which"
    assert bench.count("accounts") == 2


def test_a_person_may_say_that_it_is_a_new_one(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "A", "tax": "BE1"}, {"code": "200", "name": "B", "tax": "BE1"})
    bench.source(ACCOUNT).put("1", code="C-1", name="New", tax="BE1")
    bench.pull()
    from crm_core.store.letters import edit_letter, get_letter

    with bench.session() as session:
        edit_letter(session, bench.letters()[0].id, link="new")
        letter = get_letter(session, bench.letters()[0].id)
    with bench.puller() as puller:
        replay_letters(puller, [letter])
    assert bench.count("accounts") == 3


def test_two_records_that_want_the_same_account_are_both_doubtful(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "A", "tax": "BE1"})
    source = bench.source(ACCOUNT)
    source.put("1", code="C-1", name="One", tax="BE1")
    source.put("2", code="C-2", name="Two", tax="BE1")
    assert decided(bench.pull()) == {"dead": 2}
    assert bench.count("accounts") == 1


def test_products_match_by_code_or_barcode(bench: Workbench) -> None:
    other = Workbench(bench.database, bench.clock, connection=ConnectionName("shop"))
    other.source(PRODUCT).put("s1", code="W-1", name="Shop name", price=Decimal(1), active=True)
    other.source(PRODUCT).put(
        "s2", code="other", name="Shop two", barcode="4006381333931", price=Decimal(1), active=True
    )
    other.pull()
    source = bench.source(PRODUCT)
    source.put("1", code="W-1", name="Widget", price=Decimal(2), active=True)
    source.put("2", code="W-2", name="Gadget", barcode="4006381333931", price=Decimal(2), active=True)
    source.put("3", code="W-3", name="New", price=Decimal(2), active=True)
    assert decided(bench.pull()) == {"linked": 2, "created": 1}
    assert bench.count("products") == 3


def test_a_second_pull_matches_nothing_again(bench: Workbench) -> None:
    crm_with(bench, {"code": "100", "name": "A", "tax": "BE1"})
    bench.source(ACCOUNT).put("1", code="C-1", name="A", tax="BE1")
    bench.pull()
    assert decided(bench.pull(full=True)) == {"unchanged": 1}
