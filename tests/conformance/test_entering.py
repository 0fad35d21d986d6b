"""What is entered stays the same record, whatever number the back office gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.conformance.audit import audit, books_of
from connectors.conformance.rig import Rig, begin, timing_of
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.ids import EntityType
from crm_core.model.sales import Order
from sync_jobs.entering import enter
from sync_jobs.entry_text import read_entry


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[tuple[Rig, Rehearsal]]:
    with Rehearsal() as office:
        yield begin(office, tmp_path / "hub", **timing_of(office)), office


def test_an_order_is_known_by_its_number_after_the_back_office_gave_it_another(acme: tuple[Rig, Rehearsal]) -> None:
    """Otherwise the second file of the same order makes a second order over there."""
    rig, office = acme
    before = books_of(office)
    text = "{number: WEB-1, account: C-1, status: confirmed, currency: EUR, requested_date: 2026-12-24, lines: %s}"
    lines = "[{product: W-1, quantity: 2, unit_price: 1.50}, {product: W-2, quantity: 1, unit_price: 2.50}]"
    account = '{code: "C-NEW", name: Newcomer, email: new@example.com}'
    enter(rig.hub, EntityType.ACCOUNT, read_entry(account, "x"))
    first = enter(rig.hub, EntityType.ORDER, read_entry(text % lines, "x"))
    rig.push()
    rig.pull()
    order = rig.get(first)
    assert isinstance(order, Order)
    assert order.number not in (None, "WEB-1")
    assert order.custom == {"entered_as": "WEB-1"}
    again = enter(rig.hub, EntityType.ORDER, read_entry(text % lines, "x"))
    assert (again.crm_id, again.is_changed, again.intents) == (first.crm_id, False, ())
    same = enter(rig.hub, EntityType.ACCOUNT, read_entry(account, "x"))
    assert (same.is_changed, same.intents) == (False, ())
    edit = enter(rig.hub, EntityType.ORDER, read_entry(text % lines.replace("quantity: 2", "quantity: 3"), "x"))
    assert (edit.crm_id, len(edit.intents)) == (first.crm_id, 1)
    rig.push()
    found = audit(rig.hub, office, before)
    assert (found.is_clean, found.written) == (True, 3), found.faults
    assert [len(office.held(name)) for name in ("account", "order")] == [7, 7], "one more of each"
