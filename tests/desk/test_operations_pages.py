"""What integrators see and do, by a browser without JavaScript."""

from __future__ import annotations

import html
import re

import msgspec
import pytest

from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.store import letters as letter_store
from crm_core.store import outbox, repository
from crm_core.store.letters import DeadLetter
from simulators.faults import Fault, FaultKind, Rule
from sync_jobs.operations import opened, pull
from sync_jobs.push_operations import push
from tests.desk.conftest import Desk, Visitor
from tests.desk.test_sales_pages import order_fields, text_of

_TEXT = re.compile(r"<textarea[^>]*>(.*?)</textarea>", re.DOTALL)


def letter_of(desk: Desk, number: str) -> DeadLetter:
    """A customer with a salesperson that the mapping does not know, as it was set aside."""
    desk.office.simulator.update_customer(number, salespersonCode="ZZ")
    assert pull(desk.hub, "erp").status == "partial"
    with opened(desk.hub) as session:
        found = letter_store.list_letters(session, entity=EntityType.ACCOUNT)
    return next(one for one in found if f'"{number}"'.encode() in one.payload)


def text_in(page: str) -> str:
    """What stands in the form."""
    found = _TEXT.search(page)
    assert found is not None
    return html.unescape(found[1])


def test_a_connection_tells_its_health(desk: Desk, visitor: Visitor) -> None:
    """Whether the ERP is reached is the first question of the morning."""
    told = text_of(visitor.get("/desk/connections"))
    assert "Microsoft Dynamics 365 Business Central" in told
    assert re.search(r"Last run (pull|push|replay of dead letters) ", told)


def test_runs_are_drawn_and_listed(desk: Desk, visitor: Visitor) -> None:
    """A run that nobody sees is a run that nobody misses when it stops."""
    page = visitor.get("/desk/runs")
    assert page.count('role="img"') == 2
    assert "Run 1, succeeded" in page
    told = text_of(visitor.get("/desk/runs/1"))
    assert "product 12 12" in told  # read, created
    visitor.get("/desk/runs/99999", expect=404)


def test_a_dead_letter_is_compared_mended_and_taken_in(desk: Desk, visitor: Visitor) -> None:
    """From `why` to `done` without a command line."""
    letter = letter_of(desk, "10002")
    groups = visitor.get("/desk/set-aside")
    assert text_of(groups).count("account") >= 1
    page = visitor.get(f"/desk/letters/{letter.id}")
    told = text_of(page)
    assert letter.message in html.unescape(told)
    assert "salespersonCode &#34;JO&#34; &#34;ZZ&#34;" in told  # against what was taken in before
    text = text_in(page)
    assert msgspec.json.decode(text)["number"] == "10002"
    mended = text.replace('"ZZ"', '"JO"').replace("Customer 2 Gent", "Mended GmbH")
    compared = visitor.post(f"/desk/letters/{letter.id}", page, {"payload": mended, "action": "compare"})
    assert "displayName &#34;Customer 2 Gent&#34; &#34;Mended GmbH&#34;" in text_of(compared)
    assert _kept(desk, letter) == letter.payload  # nothing was written
    done = visitor.post(f"/desk/letters/{letter.id}", compared, {"payload": mended, "action": "replay"})
    assert "The record was taken in." in done
    found = repository.find_by_code(desk.hub.database.engine, EntityType.ACCOUNT, "10002")
    assert getattr(found, "name", None) == "Mended GmbH"


def test_nonsense_for_a_record_is_refused_and_stays_in_the_form(desk: Desk, visitor: Visitor) -> None:
    """A missing bracket must not cost what somebody typed."""
    letter = letter_of(desk, "10003")
    page = visitor.get(f"/desk/letters/{letter.id}")
    refused = visitor.post(
        f"/desk/letters/{letter.id}", page, {"payload": '{"number": "10003"', "action": "save"}, expect=422
    )
    assert "what you wrote is no JSON" in refused
    assert text_in(refused) == '{"number": "10003"'
    assert _kept(desk, letter) == letter.payload


def test_a_group_is_replayed_and_what_fails_again_is_counted(desk: Desk, visitor: Visitor) -> None:
    """Two hundred letters of one cause are one press of a button."""
    letter = letter_of(desk, "10003")
    page = visitor.get("/desk/set-aside")
    with opened(desk.hub) as session:
        open_ones = len(letter_store.list_letters(session, entity=EntityType.ACCOUNT, cause=letter.cause))
    done = visitor.post("/desk/letters/replay", page, {"connection": "erp", "entity": "account", "cause": letter.cause})
    assert "0 records were taken in." in done
    assert ("1 is still set aside." if open_ones == 1 else f"{open_ones} are still set aside.") in done


def test_a_letter_is_discarded(desk: Desk, visitor: Visitor) -> None:
    """What nobody wants must not be counted as trouble for ever."""
    letter = letter_of(desk, "10005")
    page = visitor.get(f"/desk/letters/{letter.id}")
    done = visitor.post(f"/desk/letters/{letter.id}", page, {"payload": text_in(page), "action": "discard"})
    assert "Discarded." in done
    after = visitor.get(f"/desk/letters/{letter.id}")
    assert "<textarea" not in after
    visitor.post(f"/desk/letters/{letter.id}", after, {"payload": "{}", "action": "save"}, expect=409)


def test_a_refused_write_is_edited_compared_and_goes_out_again(desk: Desk, visitor: Visitor) -> None:
    """An order that the back office refused is mended where it is seen."""
    intent_id = _refused_order(desk, visitor, "PO 21")
    groups = visitor.get("/desk/set-aside")
    assert "refused by the back office" in text_of(groups)
    page = visitor.get(f"/desk/intents/{intent_id}")
    assert _intent(desk, intent_id).message in html.unescape(page)
    text = text_in(page)
    mended = text.replace('"externalDocumentNumber": "', '"externalDocumentNumber": "X')
    assert mended != text
    compared = visitor.post(f"/desk/intents/{intent_id}", page, {"payload": mended, "action": "compare"})
    assert "externalDocumentNumber" in text_of(compared).partition("What you changed")[2]
    assert _intent(desk, intent_id).is_edited is False
    visitor.post(f"/desk/intents/{intent_id}", page, {"payload": "[]", "action": "save"}, expect=422)
    assert _intent(desk, intent_id).is_edited is False
    done = visitor.post(f"/desk/intents/{intent_id}", page, {"payload": mended, "action": "retry"})
    assert "It goes out again with the next push." in done
    after = _intent(desk, intent_id)
    assert (after.state, after.is_edited) == (IntentState.QUEUED, True)


def test_refused_writes_of_a_cause_go_out_again_together(desk: Desk, visitor: Visitor) -> None:
    """After the period was opened again, everything that was refused for it goes."""
    intent_id = _refused_order(desk, visitor, "PO 22")
    fields = {"connection": "erp", "entity": "order", "cause": "validation_rejected"}
    done = visitor.post("/desk/intents/retry", visitor.get("/desk/set-aside"), fields)
    assert re.search(r"[0-9]+ writes? goe?s? out again\.", done)
    assert _intent(desk, intent_id).state is IntentState.QUEUED


def test_a_write_without_an_answer_is_settled_by_who_has_looked(desk: Desk, visitor: Visitor) -> None:
    """An order that may be there twice is the worst of all."""
    intent_id = _lost_order(desk, visitor, "PO 23")
    page = visitor.get(f"/desk/intents/{intent_id}")
    refused = visitor.post(f"/desk/intents/{intent_id}", page, {"external_id": "", "action": "there"}, expect=422)
    assert "say under which id it is there" in refused
    assert _intent(desk, intent_id).state is IntentState.OUTCOME_UNKNOWN
    done = visitor.post(f"/desk/intents/{intent_id}", page, {"external_id": "77", "action": "there"})
    assert "Noted: it is there." in done
    after = _intent(desk, intent_id)
    assert (after.state, after.external_id) == (IntentState.CONFIRMED, "77")


@pytest.mark.parametrize("path", ["/desk/letters/99999", "/desk/intents/99999"])
def test_what_is_not_there_is_said(visitor: Visitor, path: str) -> None:
    """A bookmark of last year leads to a page with a way back."""
    assert "There is nothing here" in visitor.get(path, expect=404)


def test_an_action_that_there_is_not_changes_nothing(desk: Desk, visitor: Visitor) -> None:
    """A button of a later version must not be taken for another one."""
    letter = letter_of(desk, "10003")
    page = visitor.get(f"/desk/letters/{letter.id}")
    visitor.post(f"/desk/letters/{letter.id}", page, {"payload": "{}", "action": "explode"}, expect=422)
    assert _kept(desk, letter) == letter.payload


def _kept(desk: Desk, letter: DeadLetter) -> bytes:
    with opened(desk.hub) as session:
        return letter_store.get_letter(session, letter.id).payload


def _intent(desk: Desk, intent_id: int) -> outbox.Intent:
    with opened(desk.hub) as session:
        return outbox.get_intent(session, intent_id)


def _refused_order(desk: Desk, visitor: Visitor, reference: str) -> int:
    """An order of a customer whom the back office has blocked since: placed at the desk, pushed, refused."""
    _placed(desk, visitor, reference)
    desk.office.simulator.update_customer("10001", blocked="All")
    try:
        push(desk.hub, "erp", wait_seconds=0)
    finally:
        desk.office.simulator.update_customer("10001", blocked="_x0020_")
    return _newest(desk, IntentState.REJECTED)


def _lost_order(desk: Desk, visitor: Visitor, reference: str) -> int:
    """An order that was sent, and no answer came."""
    _placed(desk, visitor, reference)
    lost = Fault(FaultKind.CUT_REQUEST, resets=True)  # absent when it is looked up, and may still arrive
    desk.office.simulator.set_plan([Rule(lost, kind="write", times=None)])
    try:
        push(desk.hub, "erp", wait_seconds=0)
    finally:
        desk.office.simulator.set_plan([])
    return _newest(desk, IntentState.OUTCOME_UNKNOWN)


def _placed(desk: Desk, visitor: Visitor, reference: str) -> None:
    account = desk.id_of(EntityType.ACCOUNT, "10001")
    page = visitor.get(f"/desk/orders/new?account={account}")
    visitor.post("/desk/orders/new", page, order_fields(desk, page, reference=reference, action="place"))


def _newest(desk: Desk, where: IntentState) -> int:
    with opened(desk.hub) as session:
        return outbox.list_intents(session, states=[where])[-1].id
